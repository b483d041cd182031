"""The plugins that the pages show are plugins: each block is found and keeps its contract."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.data.contents import file_digests
from bench.plugins.checks import KINDS
from bench.plugins.discovery import discover
from bench.plugins.references import referring
from bench.testing.results import Effort
from bench.testing.subjects import given_by

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "plugins.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^### ([^\n]+)\n(?:(?!^#).)*?^```python\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
PYTHON = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
OTHERS = [
    (f"{page.stem} {number}", text)
    for page in sorted(DOCS.glob("*.md"))
    if page.name != "plugins.md"
    for number, text in enumerate(PYTHON.findall(page.read_text(encoding="utf-8")), 1)
    if "@hookimpl" in text
]
NETWORK = ("logits", "gradient", "batch_mates")
"""What is tried of a network: its training is tried where the page's models are the tests' own."""


@pytest.fixture(params=BLOCKS + OTHERS, ids=[title for title, _ in BLOCKS + OTHERS])
def example(request, tmp_path):
    """The registry with one block, and all that the block gives."""
    path = tmp_path / "example.py"
    path.write_text(request.param[1], encoding="utf-8")
    others = [found.plugin for found in discover().plugins if found.distribution != "bench-audio"]  # of the same names
    registry = discover([path], without=others)
    return registry, given_by(registry, [str(path)])


def test_every_block_of_the_page_keeps_its_contract(example) -> None:
    registry, subjects = example
    assert subjects
    for subject in subjects:
        estimator = subject.kind == "model" and registry.models[subject.name].spec.estimator
        results = subject.check(registry, effort=Effort(only=() if estimator else NETWORK))
        assert [str(result) for result in results if result.status == "failed"] == []
        assert any(result.status == "passed" for result in results)


def test_the_page_shows_what_was_promised() -> None:
    assert len(BLOCKS) == PAGE.count("```python") == 7
    text = "".join(block for _, block in BLOCKS)
    words = "timm. transformers sklearn multi_label groups= pretrain_loss param_groups embed"
    assert [word for word in words.split() if word not in text] == []
    for kind in KINDS:
        assert f"### `{kind.spec.__name__}`" in PAGE


def test_an_option_of_the_page_reaches_the_factory(tmp_path) -> None:
    from bench import TaskInfo
    from bench.execution.build import build_model

    path = tmp_path / "example.py"
    path.write_text(BLOCKS[0][1], encoding="utf-8")
    registry = referring(discover([path]), ["example.conv?width=8"], file_digests)
    entry = registry.models["example.conv@width=8"]
    assert build_model(entry, TaskInfo(num_classes=3, feature_shape=(16, 20)), 0).head.in_features == 8
