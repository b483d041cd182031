"""Suites: one aggregate a model, with its interval, and never one over what happens to be there."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from bench.analysis.board import build_board
from bench.config.suites import suite_of
from bench.reports import formats, html, terminal
from bench.results.store import Store

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


def suite(aggregate="mean", **weights):
    tables = {name: {"protocol": "4+1", "metric": "accuracy", "weight": weight} for name, weight in weights.items()}
    return suite_of({"name": "both", "title": "Both kinds", "aggregate": aggregate, "datasets": tables}, "suite both")


def measured(samples, store, model, dataset, accuracy, *, folds=(1, 2), seeds=3, **more):
    told = {"dataset__title": dataset.title(), "dataset__manifest_sha256": dataset[0] * 64} | more
    axes = {"recipe": told.pop("recipe", "quick"), "dataset": dataset}
    return [
        samples.evaluated(store, samples.cell(model, fold, seed, **axes), accuracy, **told)
        for fold in folds
        for seed in range(seeds)
    ]


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


@pytest.fixture(scope="module")
def stored(samples, tmp_path_factory):
    """Two models on two data sets, one that lacks a fold of one, one that was not run on it, one not inductive."""
    store = Store(tmp_path_factory.mktemp("suite"))
    for model, accuracy in (("good", 0.9), ("poor", 0.5), ("holed", 0.7), ("absent", 0.8), ("mates", 0.95)):
        inductive = {"model__inductive": model != "mates"}
        measured(samples, store, model, "noises", accuracy, **inductive)
        if model != "absent":
            measured(samples, store, model, "words", accuracy, folds=(1,) if model == "holed" else (1, 2), **inductive)
    measured(samples, store, "absent", "other", 0.8)
    return store


def board_of(samples, store, made, **options):
    return build_board(
        store.records()[0], predictions=store.predictions, suite=made, **{"metrics": samples.STORED_METRICS, **options}
    )


def by_model(section):
    return {row.key.model: row for row in section.rows}


def values(samples, store):
    board = board_of(samples, store, None)
    return {(row.key.model, one.dataset.name): row.value for one in board.sections for row in one.rows}


def test_the_mean_is_weighted_and_a_model_that_lacks_a_data_set_has_none(samples, stored):
    table = board_of(samples, stored, suite(noises=3, words=1)).sections[-1]
    single, rows = values(samples, stored), by_model(table)
    for model in ("good", "poor"):
        expected = (3 * single[model, "noises"] + single[model, "words"]) / 4
        assert rows[model].value == pytest.approx(expected, abs=1e-12)
        assert rows[model].interval.low < expected < rows[model].interval.high
    assert [(row.key.model, row.rank.best, row.rank.worst) for row in table.rows[:2]] == [
        ("good", 1, 1),
        ("poor", 2, 2),
    ]
    assert rows["holed"].notes == ("no aggregate: words: no result on fold 2",)
    assert rows["absent"].notes == ("no aggregate: words: no result",)
    assert {rows[name].value for name in ("holed", "absent", "mates")} == {None}
    assert [(one.name, one.value) for one in rows["absent"].scores] == [("noises accuracy", single["absent", "noises"])]
    assert "not inductive" in rows["mates"].not_ranked[0]


@pytest.mark.parametrize(("aggregate", "expected"), [("rank", [1.0, 2.0]), ("borda", [1.0, 0.0])])
def test_places_are_those_among_the_models_with_an_aggregate(samples, stored, aggregate, expected):
    table = board_of(samples, stored, suite(aggregate, noises=1, words=1)).sections[-1]
    assert [(row.key.model, row.value) for row in table.rows[:2]] == list(zip(["good", "poor"], expected, strict=True))
    assert table.primary.higher_is_better == (aggregate == "borda")


def test_a_data_set_that_was_not_run_leaves_no_aggregate(samples, stored):
    table = board_of(samples, stored, suite(noises=1, elsewhere=1)).sections[-1]
    assert {row.value for row in table.rows} == {None}
    assert {reason for row in table.rows for reason in row.notes} >= {"no aggregate: elsewhere: not run by 4+1"}
    shown = terminal.text(board_of(samples, stored, suite(noises=1, elsewhere=1)))
    assert "Speed and memory alone" not in shown
    assert "noises accuracy" in shown


def test_resampling_is_paired_over_models_and_independent_over_data_sets(samples, store):
    """Two data sets of the same clips and answers: their draws differ, and the mean is more certain."""
    for dataset in ("noises", "words"):
        measured(samples, store, "a", dataset, 0.7, seeds=1)
    board = board_of(samples, store, suite(noises=1, words=1))
    alone, both = board.sections[0].rows[0].interval, board.sections[-1].rows[0].interval
    assert both.estimate == pytest.approx(alone.estimate)
    assert both.width / alone.width == pytest.approx(2**-0.5, rel=0.15)


def test_few_seeds_give_an_interval_over_clips_and_no_rank(samples, store):
    for dataset in ("noises", "words"):
        measured(samples, store, "a", dataset, 0.7, seeds=1)
    (row,) = board_of(samples, store, suite(noises=1, words=1)).sections[-1].rows
    assert row.rank is None
    assert "over clips only" in row.interval.method
    assert row.not_ranked[0].startswith("noises: few seeds (1 of at least 3)")


def test_rows_of_one_model_stay_apart(samples, store):
    for dataset, recipes in (("noises", ("quick", "full")), ("words", ("quick",))):
        for recipe in recipes:
            measured(samples, store, "a", dataset, 0.7, recipe=recipe)
    table = board_of(samples, store, suite(noises=1, words=1)).sections[-1]
    assert {row.key.recipe: row.value is None for row in table.rows} == {"quick": False, "full": True}


def test_scores_of_two_kinds_have_no_mean(samples, store):
    for dataset in ("noises", "words"):
        measured(samples, store, "a", dataset, 0.7)
    mixed = suite_of(
        {"name": "m", "datasets": {"noises": {"metric": "accuracy"}, "words": {"metric": "log_loss"}}}, "suite m"
    )
    table = board_of(samples, store, mixed, metrics=samples.METRICS).sections[-1]
    assert table.rows[0].value is None
    assert "one unit and direction" in table.rows[0].notes[0]
    ranks = board_of(samples, store, mixed.model_copy(update={"aggregate": "rank"}), metrics=samples.METRICS).sections[
        -1
    ]
    assert ranks.rows[0].value == 1.0


@pytest.mark.parametrize("name", ["suite.md", "suite.txt", "suite.csv"])
def test_golden(name, samples, stored):
    """Set BENCH_GOLDEN=write to make the files again after a deliberate change."""
    board = board_of(samples, stored, suite(noises=3, words=1))
    render = {".md": formats.markdown, ".txt": terminal.text, ".csv": formats.csv}[Path(name).suffix]
    made = render(board)
    if os.environ.get("BENCH_GOLDEN") == "write":
        (GOLDEN / name).write_text(made, encoding="utf-8")
    assert made == (GOLDEN / name).read_text(encoding="utf-8")


def test_json_and_page_hold_the_suite(samples, stored):
    board = board_of(samples, stored, suite(noises=1, words=1))
    told = json.loads(formats.json_(board))["sections"][-1]
    assert (told["dataset"]["name"], told["primary"]) == ("suite:both", "mean accuracy")
    assert [row["key"]["model"] for row in told["rows"]][:2] == ["good", "poor"]
    assert np.isfinite(told["rows"][0]["interval"]["low"])
    assert "Both kinds" in html.render(board)
    assert "Both kinds" in formats.latex(board)
