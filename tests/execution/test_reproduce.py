"""A stored number comes out again, bit by bit, and is compared with its interval."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.cell import Cell
from bench.config.settings import Settings
from bench.errors import SelectionError
from bench.results.provenance import weights_label, weights_sha256
from bench.results.records import Record
from bench.studies.reproduce.run import base_recipe, find_record, reproduce, selection_of

PLUGIN = Path(__file__).with_name("faulty_plugin.py")


@pytest.mark.slow
def test_a_record_is_reproduced_exactly(make_runner, tmp_path: Path) -> None:
    runner = make_runner("tones.good", folds=(1, 2), overrides=("recipe.epochs=2", "recipe.lr=0.003"))
    runner.run()
    record = find_record(runner.store, "fold2")
    settings = Settings(out=tmp_path / "again", plugins=(PLUGIN,), jobs=1)
    found = reproduce(runner.store, record, settings, None, None)
    assert found.same_predictions
    assert found.within
    assert found.changed == ()
    assert found.after.recipe["lr"] == 0.003
    with pytest.raises(SelectionError, match="matches 2 records"):
        find_record(runner.store, "tones.good")
    with pytest.raises(SelectionError, match="no record"):
        find_record(runner.store, "tones.bad")


@pytest.mark.slow
def test_every_setting_of_the_recipe_is_given(make_runner) -> None:
    runner = make_runner("tones.good", folds=(1,), seeds=(3,), limit=6)
    record = runner.run().records[0]
    selection = selection_of(record, None)
    assert (selection.folds, selection.seeds, selection.limit) == ((1,), (3,), 6)
    assert len(selection.overrides) == len(record.recipe) - 1


def test_base_of_a_label() -> None:
    labels = {"quick": "quick", "full~ab12cd": "full", "smoke@limit5": "smoke", "mine~00ff00": "quick"}
    assert {label: base_recipe(label) for label in labels} == labels


def test_a_cell_from_a_file_needs_that_file(tmp_path: Path) -> None:
    weights, other = tmp_path / "ssl.safetensors", tmp_path / "other.safetensors"
    weights.write_bytes(b"weights")
    other.write_bytes(b"others")
    sha256 = weights_sha256(weights)
    cell = Cell(
        kind="evaluate", dataset="tones", protocol="4+1@1", fold=1, model="tones.good", mode="finetune",
        weights=weights_label(weights), inputs="audio.shuffled",
    )  # fmt: skip
    record = Record(cell=cell, status="ok", started_at="2026-01-01", provenance={"weights": {"sha256": sha256}})
    with pytest.raises(SelectionError, match=f"sha256 {sha256}.* --weights FILE"):
        selection_of(record, None)
    with pytest.raises(SelectionError, match=f"other.* has sha256 .*{sha256}"):
        selection_of(record, None, other)
    selection = selection_of(record, None, weights)
    assert (selection.mode, selection.weights, selection.inputs) == ("finetune", weights, "audio.shuffled")
    untold = record.model_copy(update={"provenance": {}})
    assert selection_of(untold, None, weights).weights == weights
    with pytest.raises(SelectionError, match=f"sha256 {sha256[:6]}"):
        selection_of(untold, None, other)
    masked = record.model_copy(update={"cell": replace(cell, weights="masked")})
    assert selection_of(masked, None).weights == "masked"
    with pytest.raises(SelectionError, match="leave out --weights"):
        selection_of(masked, None, weights)
