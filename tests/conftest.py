"""Shared fixtures: where the real clips are, and one thread per test process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder with the real clips (``esc10/``, ``esc50/``, ``digits/``), or a skip that says where it looked."""
    places = [Path(p) for p in (os.environ.get("BENCH_DATA"),) if p]
    places.append(Path(__file__).resolve().parents[2] / "shared" / "data")
    for place in places:
        if (place / "esc10" / "meta").is_dir():
            return place
    pytest.skip(f"no real clips: looked in {', '.join(map(str, places))}; set BENCH_DATA to a folder with esc10/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a GPU where there is none."""
    if not any(item.get_closest_marker("gpu") for item in items):
        return
    import torch

    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="no CUDA device on this machine"))
