"""transformers beside a torchaudio that does not load."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from bench import import_transformers
from bench.measurement.machine import libraries


@pytest.fixture
def refusing(tmp_path, monkeypatch):
    """A torchaudio that refuses to load, as it does beside a torch of another CUDA."""
    package = tmp_path / "torchaudio"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('compiled with different CUDA versions')\n")
    monkeypatch.syspath_prepend(tmp_path)
    # What stands there is put back afterwards.
    monkeypatch.setitem(sys.modules, "torchaudio", None)
    del sys.modules["torchaudio"]


def test_a_torchaudio_that_does_not_load_counts_as_not_installed(refusing):
    assert importlib.util.find_spec("torchaudio") is not None
    libraries()  # what was said before the import is not said for good
    assert import_transformers().__name__ == "transformers"
    assert importlib.util.find_spec("torchaudio") is None  # what transformers asks
    assert libraries()["torchaudio"] is None
    assert import_transformers().BertConfig
