"""The default networks learn the demo data, and learn nothing from shuffled labels."""

from __future__ import annotations

from pathlib import Path

import pytest
from scipy.stats import binom

from bench.config.selection import Selection
from bench.config.settings import Settings
from bench.plugins.discovery import discover
from bench.running.runner import Runner

pytestmark = pytest.mark.usefixtures("warm_workers")

DEFAULTS = sorted(s.name for s in discover().models.specs() if "default" in s.sets)
NETWORKS = [name for name in DEFAULTS if not name.startswith("classical.")]
TEST_CLIPS = 80


@pytest.fixture(scope="module")
def accuracies(tmp_path_factory) -> dict[tuple[str, str], float]:
    """Accuracy of every default model by data set with recipe ``smoke``; chance takes fewer clips to train on."""
    found = {}
    for dataset, limit in (("demo", None), ("demo-shuffled", TEST_CLIPS)):
        selection = Selection(
            models=("default",), datasets=(dataset,), recipe="smoke", profile=False, limit=limit,
            overrides=("recipe.budget_seconds=none",),
        )  # fmt: skip
        settings = Settings(
            out=tmp_path_factory.mktemp("defaults"), plugins=(Path(__file__).with_name("shuffled_plugin.py"),), jobs=2,
            keep_checkpoints=False,
        )  # fmt: skip
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("BENCH_CACHE", str(tmp_path_factory.getbasetemp() / "engine-cache"))
            records = Runner(selection, settings).run().records
        assert {(r.status, r.provenance["dataset"]["test"]) for r in records} == {("ok", TEST_CLIPS)}
        found |= {(r.cell.model, dataset): r.score("accuracy") for r in records}
    return found


def test_there_are_defaults() -> None:
    assert {"meamtm.micro", "convnext_attention.tiny"} <= set(NETWORKS)
    assert {"classical.knn", "classical.svm", "classical.forest"} <= set(DEFAULTS)


@pytest.mark.slow
@pytest.mark.parametrize("model", NETWORKS)
def test_reaches_three_quarters_on_demo(accuracies, model: str) -> None:
    assert accuracies[model, "demo"] >= 0.75


@pytest.mark.slow
@pytest.mark.parametrize("model", DEFAULTS)
def test_stays_at_chance_with_shuffled_labels(accuracies, model: str) -> None:
    low, high = binom.interval(0.99, TEST_CLIPS, 0.1)
    assert low <= accuracies[model, "demo-shuffled"] * TEST_CLIPS <= high
