"""One command, one number: front ends that draw, whatever ran before, beside them, or was stored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.cell import Cell
from bench.config.selection import Selection
from bench.config.settings import Settings
from bench.errors import PluginError
from bench.job import Job
from bench.plugins.discovery import load
from bench.recipe import Recipe
from bench.running.runner import Runner

PLUGIN = Path(__file__).with_name("frontend_plugin.py")
SMALL = {
    "epochs": 2, "batch": 16, "trim_db": None, "roll": False, "gain_db": 0.0, "shift": 0.0, "mixup_alpha": 0.0,
    "fill": "zeros",
}  # fmt: skip


@pytest.fixture(scope="module")
def registry():
    return load((PLUGIN,)).registry


@pytest.fixture
def logits(registry, evaluated, monkeypatch, tmp_path):
    """``logits(cache, model, seed, feeding)`` of the test clips, computed in this process."""

    def one(cache: str, model: str, seed: int, feeding: str) -> np.ndarray:
        monkeypatch.setenv("BENCH_CACHE", str(tmp_path / cache))
        cell = Cell(
            kind="evaluate", dataset="tones", protocol="official@1", fold=0, model=model, frontend=model.split(".")[1],
            recipe="smoke", batch=16, clip_samples=800, seed=seed, feeding=feeding,
        )  # fmt: skip
        recipe = Recipe(name="smoke", ema=None, **SMALL)
        return evaluated(registry, Job(cell=cell, recipe=recipe, fingerprint="f")).arrays["logits"]

    return one


def test_the_order_of_cells_and_stored_features_change_nothing(logits) -> None:
    cells = [
        ("net.drawn", 0, "fly"), ("plain.drawn", 1, "precomputed"), ("net.drawn", 1, "precomputed"),
        ("net.dropping", 0, "fly"), ("plain.drawn", 0, "precomputed"), ("net.drawn", 0, "precomputed"),
        ("net.dropping", 1, "fly"), ("plain.drawn", 1, "fly"), ("net.drawn", 1, "fly"), ("plain.dropping", 0, "fly"),
    ]  # fmt: skip
    found = {cell: logits("first", *cell) for cell in cells}
    for cell in reversed(cells):
        np.testing.assert_array_equal(logits("second", *cell), found[cell], err_msg=str(cell))
    for (model, seed, feeding), values in found.items():
        if (other := (model, seed, "fly")) in found:
            np.testing.assert_allclose(values, found[other], atol=1e-4, err_msg=f"{model} {seed} {feeding}")
    assert not np.allclose(found["net.drawn", 0, "fly"], found["net.drawn", 1, "fly"])


@pytest.mark.parametrize("model", ["net.dropping", "plain.dropping", "net.dithering", "plain.dithering"])
def test_what_draws_at_each_call_is_never_stored(logits, model: str) -> None:
    with pytest.raises(PluginError, match=r"other features each time or in training.*use --feeding fly"):
        logits("stored", model, 0, "precomputed")


@pytest.mark.slow
def test_workers_and_resuming_change_nothing(logits, tmp_path) -> None:
    sets = tuple(f"recipe.{name}={value}".lower() for name, value in (SMALL | {"ema": None}).items())
    chosen = Selection(
        models=("net.drawn", "plain.drawn"), datasets=("tones",), recipe="smoke", profile=False, seeds=(1,),
        feeding="precomputed", overrides=sets, device="cpu",
    )  # fmt: skip
    how = Settings(out=tmp_path / "out", jobs=2, plugins=(PLUGIN,))
    assert len(Runner(chosen, how).run().records) == 2
    runner = Runner(replace(chosen, seeds=(0, 1)), how)
    result = runner.run()
    assert [record.status for record in result.records] == ["ok"] * 4
    assert len(result.reused) == 2
    for record in result.records:
        cell = record.cell
        stored = runner.store.predictions(record)["logits"]
        np.testing.assert_allclose(stored, logits("own", cell.model, cell.seed, "fly"), atol=1e-4, err_msg=cell.id)
