"""How rows name their mode, weights and inputs, in every format."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench import builtin
from bench.analysis.board import build_board
from bench.analysis.comparison import parse_choice
from bench.analysis.grouping import RowGroup, matches, row_key
from bench.analysis.row_metadata import ModelFacts, command
from bench.cell import Cell
from bench.gate.collect import row_name
from bench.metrics.scoring import catalog
from bench.plugins.discovery import load_modules
from bench.reports import formatting
from bench.reports.columns import columns
from bench.reports.terminal import text
from bench.results.store import Store

METRICS = catalog(load_modules(builtin).registry)


CELL = Cell(kind="evaluate", dataset="toy", protocol="4+1@1", fold=1, model="avmae.tiny")
TUNED = replace(CELL, mode="finetune", weights="masked", inputs="audio.shuffled+image.missing")


@pytest.mark.parametrize(
    ("axes", "label"),
    [
        ({}, "avmae.tiny"),
        ({"mode": "finetune", "weights": "masked"}, "avmae.tiny, finetune from masked"),
        ({"mode": "knn"}, "avmae.tiny, knn"),
        ({"mode": "probe", "weights": "ssl~ab12cd"}, "avmae.tiny, probe from ssl~ab12cd"),
    ],
)
def test_a_row_is_named_by_how_it_was_trained(axes, label: str) -> None:
    assert formatting.label(row_key(replace(CELL, **axes))) == label


def test_weights_make_another_row_for_boards_comparisons_and_baselines() -> None:
    masked, from_file = (replace(CELL, mode="finetune", weights=name) for name in ("masked", "ssl~ab12cd"))
    assert row_key(masked) != row_key(from_file)
    chosen = parse_choice("avmae.tiny,weights=masked")
    assert chosen.fits(row_key(masked))
    assert not chosen.fits(row_key(from_file))
    assert row_name(masked) != row_name(from_file)
    first, second = (replace(CELL, dataset=f"manifest@own~{contents}") for contents in ("ab12cd", "12ab34"))
    assert row_name(first) == row_name(second), "a gate names other contents by the row's identity"
    assert row_name(CELL) == "toy/4+1@1/avmae.tiny/evaluate-scratch-audio-waveform-fly-quick-cpu-fp32-b16-n80000"
    profile = replace(CELL, kind="profile", protocol="profile@1")
    assert matches(row_key(masked), profile), "speed does not depend on the weights"


def test_a_row_says_how_its_inputs_came_and_how_to_run_it_again() -> None:
    board = build_board([], metrics=METRICS, planned=[CELL, TUNED])
    (section,) = board.sections
    rows = {formatting.label(row.key): row for row in section.rows}
    row = rows["avmae.tiny, finetune from masked"]
    assert formatting.inputs(row) == "audio (shuffled) + image (missing)"
    remarks = formatting.remarks(row)
    assert "audio taken from other clips (control)" in remarks
    assert "image left out in test" in remarks
    table = {column.title: column for column in columns(section)}
    assert table["model"].text(row) == "avmae.tiny, finetune from masked"
    assert "mode" not in table
    shown = text(board)
    assert "avmae.tiny, finetune from masked" in shown
    assert "audio (shuffled) + image (missing)" in shown
    line = command(RowGroup(row.key), [TUNED])
    assert "--mode finetune --weights masked --inputs audio.shuffled+image.missing" in line
    assert "--mode " not in command(RowGroup(row_key(CELL)), [CELL])


def test_what_only_the_record_says_counts_too() -> None:
    (section,) = build_board([], metrics=METRICS, planned=[replace(CELL, inputs="audio+image")]).sections
    row = replace(section.rows[0], model=ModelFacts(inputs={"audio": "given", "image": "derived, shuffled"}))
    assert formatting.inputs(row) == "audio + image (derived, shuffled)"


def test_a_seed_with_fewer_folds_is_not_counted_as_done(samples, tmp_path):
    store = Store(tmp_path)
    for fold, seed in ((1, 0), (2, 0), (1, 1)):
        samples.evaluated(store, samples.cell("net", fold, seed), 0.7)
    (row,) = build_board(store.records()[0], metrics=METRICS, predictions=store.predictions).sections[0].rows
    assert formatting.done(row) == "2/2 x 1/2"
