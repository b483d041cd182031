"""Boards by any metric: sorted best first, ranked the right way round, with an interval; golden files of four."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest

from bench.analysis.board import build_board
from bench.analysis.predictions import verify
from bench.errors import UnknownNameError
from bench.metrics.scoring import Metric
from bench.reports import formats
from bench.results.provenance import source_hash
from bench.results.store import Store

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
NAMES = ("log_loss", "macro_f1", "costly_errors", "map")


@pytest.fixture(scope="module")
def boards(samples, tmp_path_factory):
    return {name: samples.metric_board(tmp_path_factory.mktemp(name), name) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("suffix", "render"), [("md", formats.markdown), ("json", formats.json_)])
def test_golden_files(boards, name, suffix, render):
    """Set BENCH_GOLDEN=write to make the files again after a deliberate change."""
    golden, made = GOLDEN / f"board_{name}.{suffix}", render(boards[name])
    if os.environ.get("BENCH_GOLDEN") == "write":
        golden.write_text(made, encoding="utf-8")
    assert made == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_the_best_stands_first_and_is_ranked_above_the_worst(boards, name):
    (section,) = boards[name].sections
    assert section.primary.name == name
    rows = {row.key.model: row for row in section.rows}
    signed = [row.primary.sign * row.value for row in section.rows]
    assert signed == sorted(signed, reverse=True)
    assert section.rows[-1].key.model == "poor"
    assert (rows["poor"].rank.best, rows["poor"].rank.worst) == (3, 3)
    assert max(rows["good"].rank.worst, rows["near"].rank.worst) == 2
    assert all(row.interval.low < row.value < row.interval.high for row in section.rows)
    assert 0 < section.resolution.low < section.resolution.high < abs(rows["good"].value - rows["poor"].value)


def test_units_and_directions_are_shown(boards):
    text = {name: " ".join(formats.markdown(board).split()) for name, board in boards.items()}
    assert "| log_loss nats |" in text["log_loss"]
    assert "| macro_f1 % |" in text["macro_f1"]
    assert "| costly_errors classes |" in text["costly_errors"]
    assert "majority class" not in text["log_loss"]
    assert " nats (paired, " in text["log_loss"]
    section = json.loads(formats.json_(boards["costly_errors"]))["sections"][0]
    assert (section["primary"], section["unit"], section["higher_is_better"]) == ("costly_errors", "classes", False)


def test_a_multi_label_board_has_intervals_and_no_accuracy(boards):
    text = " ".join(formats.markdown(boards["map"]).split())
    assert "| map % |" in text
    assert "accuracy" not in text
    assert "not evaluated" not in text


def test_a_metric_is_asked_for_and_what_lacks_it_keeps_its_own(samples, tmp_path):
    store = Store(tmp_path)
    samples.evaluated(store, samples.cell("a"), 0.8)
    samples.tagged(store, samples.cell("b", dataset="tags"), 1.0)
    options = {"metrics": samples.METRICS, "predictions": store.predictions}
    board = build_board(store.records()[0], metric="accuracy", **options)
    assert sorted(section.primary.name for section in board.sections) == ["accuracy", "map"]
    told = next(section.notes for section in board.sections if section.primary.name == "map")
    assert "accuracy is not defined for these clips; sorted by map." in told
    board = build_board(store.records()[0], metric="log_loss", **options)
    assert {section.primary.name for section in board.sections} == {"log_loss"}
    with pytest.raises(UnknownNameError, match="log_loss"):
        build_board(store.records()[0], metric="logloss", **options)


def test_a_metric_whose_plugin_is_gone_is_shown_without_an_interval(samples, tmp_path):
    store = Store(tmp_path)
    for model, accuracy in (("a", 0.9), ("b", 0.6)):
        samples.evaluated(store, samples.cell(model), accuracy, dataset__primary_metric="macro_f1")
    (section,) = build_board(store.records()[0], metrics={}, predictions=store.predictions).sections
    assert [row.key.model for row in section.rows] == ["a", "b"]
    assert all(row.value is not None and row.interval is None and row.rank is None for row in section.rows)
    assert all("no plugin here gives the metric 'macro_f1'" in row.not_ranked[0] for row in section.rows)


def test_a_metric_that_raises_is_named_and_spoils_nothing_else(samples, tmp_path):
    store = Store(tmp_path)
    samples.evaluated(store, samples.cell("a"), 0.9)
    broken = Metric(
        name="broken", unit="", higher_is_better=True, task_types=("single_label",), compute="math:no_such_function"
    )
    offered = {**samples.STORED_METRICS, "broken": broken}
    board = build_board(store.records()[0], metrics=offered, predictions=store.predictions)
    assert [problem for problem in board.problems if problem.startswith("metric 'broken' raised")]
    assert board.sections[0].rows[0].interval is not None
    gone = dataclasses.replace(offered["accuracy"], compute="math:no_such_function")
    _, problems = verify(store.records()[0], store.predictions, {**offered, "accuracy": gone})
    assert [problem for problem in problems if "accuracy cannot be recomputed: it raised" in problem]


def test_a_plugin_metric_is_computed_from_stored_logits(samples, tmp_path):
    store = Store(tmp_path)
    record = samples.evaluated(store, samples.cell("a"), 0.7)
    offered = {**samples.STORED_METRICS, "costly_errors": samples.PLUGIN_METRIC}
    (section,) = build_board(store.records()[0], metrics=offered, predictions=store.predictions).sections
    arrays = store.predictions(record)
    expected = np.abs(arrays["logits"].argmax(axis=1) - arrays["targets"]).mean()
    assert section.rows[0].score("costly_errors") == pytest.approx(expected)


def test_a_model_without_scatter_takes_no_rank_from_others(samples, tmp_path):
    store = Store(tmp_path)
    flat = np.zeros((samples.CLIPS, len(samples.LABELS)), dtype=np.float32)
    for seed in range(3):
        for model, accuracy in (("good", 0.9), ("poor", 0.4)):
            samples.evaluated(store, samples.cell(model, 1, seed), accuracy)
        samples.evaluated(store, samples.cell("flat", 1, seed), 0.5, arrays={"logits": flat})
    options = {"metrics": samples.METRICS, "predictions": store.predictions, "metric": "log_loss"}
    (section,) = build_board(store.records()[0], **options).sections
    rows = {row.key.model: row for row in section.rows}
    assert rows["good"].rank is not None
    assert rows["poor"].rank is not None
    why = "no draw of groups changes the score: its scatter is unknown"
    assert (rows["flat"].rank, rows["flat"].interval, rows["flat"].not_ranked) == (None, None, (why,))


def test_a_score_that_a_fold_alone_cannot_have_is_pooled(samples, tmp_path):
    store, seen = Store(tmp_path), []
    for fold, seed in ((1, 0), (2, 0)):
        arrays = samples.fold_arrays(fold, 0.8, np.random.default_rng(fold))
        arrays["targets"] = np.where(arrays["targets"] == fold, 0, arrays["targets"])
        samples.evaluated(store, samples.cell("a", fold, seed), 0.8, arrays=arrays)
        seen.append(arrays)
    options = {"metrics": samples.METRICS, "predictions": store.predictions, "metric": "auroc"}
    row = build_board(store.records()[0], **options).sections[0].rows[0]
    joined = (np.concatenate([arrays[name] for arrays in seen]) for name in ("logits", "targets"))
    assert row.value == pytest.approx(samples.METRICS["auroc"].score(*joined).value)
    assert row.interval.low < row.value < row.interval.high
    assert "pooled over folds, one of which lacks a class; not every fold has a score alone" in row.notes


def test_an_undefined_score_is_no_missing_result(samples, tmp_path):
    store = Store(tmp_path)
    samples.evaluated(store, samples.cell("a"), 0.8)
    options = {"metrics": samples.METRICS, "predictions": store.predictions, "metric": "top5_accuracy"}
    board = build_board(store.records()[0], **options)
    text = formats.markdown(board)
    assert "not evaluated" not in text
    assert "no score" in text
    assert "[1] `a`: not ranked: top5_accuracy is not defined for every fold" in text
    assert json.loads(formats.json_(board))["sections"][0]["rows"][0]["primary"] is None


@pytest.mark.parametrize("edited", [False, True])
def test_a_stored_score_holds_as_long_as_the_code_of_its_metric(samples, tmp_path, edited):
    store, metric = Store(tmp_path), samples.PLUGIN_METRIC
    code = "0" * 16 if edited else source_hash(metric.compute)
    record = samples.evaluated(store, samples.cell("a"), 0.7, metrics={metric.name: code})
    stored = record.model_copy(update={"scores": (*record.scores, metric.described.of(99.0))})
    store.write(stored, store.predictions(record))
    offered = {**samples.STORED_METRICS, metric.name: metric}
    (section,) = build_board(store.records()[0], metrics=offered, predictions=store.predictions).sections
    arrays = store.predictions(record)
    now = samples.costly_errors(arrays["logits"], arrays["targets"])
    assert section.rows[0].score(metric.name) == pytest.approx(now if edited else 99.0)
