"""Rows sorted by mean average precision: interval, and A against B."""

from __future__ import annotations

import numpy as np
import pytest

from bench import builtin
from bench.analysis.board import build_board
from bench.analysis.comparison import Source, compare, parse_choice
from bench.cli.compare import describe, sentence
from bench.metrics.scores import mean_average_precision
from bench.metrics.scoring import catalog
from bench.plugins.discovery import load_modules
from bench.reports import formats
from bench.results.records import Score
from bench.results.store import Store
from bench.statistics.paired import Comparison

METRICS = catalog(load_modules(builtin).registry)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def tagged(samples, store, model, noise, fold=1, seed=0, shuffle=False, **changes):
    """An ``ok`` record of a multi-label data set; more noise is a worse model."""
    where = samples.cell(model, fold, seed)
    record = samples.evaluated(store, where, 0.9, dataset__primary_metric="map", **changes)
    arrays = dict(store.predictions(record))
    clips = np.random.default_rng(fold)
    targets = (clips.random((samples.CLIPS, 4)) < 0.4).astype(np.float32)
    rng = np.random.default_rng(sum(map(ord, model)) + 100 * seed + fold)
    arrays |= {"targets": targets, "logits": (2 * targets - 1 + rng.normal(0, noise, targets.shape)).astype("f4")}
    value = mean_average_precision(arrays["logits"], targets)
    if shuffle:
        order = rng.permutation(samples.CLIPS)
        arrays |= {name: arrays[name][order] for name in ("ids", "groups", "targets", "logits")}
    return store.write(record.model_copy(update={"scores": (Score(name="map", value=value),)}), arrays)


def verdict_of(store):
    (verdict,), problems = compare(
        store.records()[0], parse_choice("a"), parse_choice("b"), Source(predictions=store.predictions, metrics=METRICS)
    )
    assert problems == []
    return verdict


def test_the_interval_is_of_the_score_and_says_how_it_was_made(samples, store):
    values = [tagged(samples, store, "a", 1.5, fold, seed).score("map") for fold in (1, 2) for seed in range(3)]
    board = build_board(store.records()[0], metrics=METRICS, predictions=store.predictions)
    (row,) = board.sections[0].rows
    assert row.value == pytest.approx(np.mean(values))
    assert row.interval.low < row.value < row.interval.high
    assert row.interval.high - row.interval.low < 0.3
    assert row.interval.method == "bootstrap over 40 groups of the score itself (centred percentile, t) and 3 seeds (t)"
    assert (row.rank.best, row.rank.worst, row.not_ranked) == (1, 1, ())
    assert f"[{100 * row.interval.low:.1f}, {100 * row.interval.high:.1f}]" in formats.markdown(board)


def test_rows_are_ranked_by_the_score_itself(samples, store):
    for model, noise in (("a", 0.5), ("b", 2.5), ("c", 2.6)):
        for fold in (1, 2):
            for seed in range(3):
                tagged(samples, store, model, noise, fold, seed)
    section = build_board(store.records()[0], metrics=METRICS, predictions=store.predictions).sections[0]
    best, *others = section.rows
    assert (best.key.model, best.rank.best, best.rank.worst, best.rank.tie) == ("a", 1, 1, "a")
    assert [(row.rank.best, row.rank.worst, row.rank.tie) for row in others] == [(2, 3, "b"), (2, 3, "b")]
    assert 0 < section.resolution.low <= section.resolution.high < best.value - others[0].value
    assert section.resolution.clips == 80


def test_a_row_without_all_folds_is_not_ranked_by_its_score(samples, store):
    for model, folds in (("a", (1, 2)), ("b", (1,))):
        for fold in folds:
            for seed in range(3):
                tagged(samples, store, model, 1.0, fold, seed)
    section = build_board(store.records()[0], metrics=METRICS, predictions=store.predictions).sections[0]
    rows = {row.key.model: row for row in section.rows}
    assert rows["a"].rank is not None
    assert rows["b"].rank is None
    assert rows["b"].interval is not None
    assert any("missing fold 2" in why for why in rows["b"].not_ranked)


def test_order_of_stored_clips_does_not_matter(samples, store, tmp_path):
    other = Store(tmp_path / "other")
    for where, shuffle in ((store, False), (other, True)):
        for model in "ab":
            tagged(samples, where, model, 1.0, shuffle=shuffle and model == "b")
    one, two = (
        build_board(s.records()[0], metrics=METRICS, predictions=s.predictions).sections[0].rows for s in (store, other)
    )
    for first, second in zip(one, two, strict=True):
        assert (first.interval.low, first.interval.high) == pytest.approx((second.interval.low, second.interval.high))


def test_the_better_of_two_is_found_on_the_same_draws(samples, store):
    for fold in (1, 2):
        for seed in range(3):
            tagged(samples, store, "a", 0.5, fold, seed)
            tagged(samples, store, "b", 2.5, fold, seed)
    verdict = verdict_of(store)
    assert isinstance(verdict.paired, Comparison)
    assert (verdict.metric.name, verdict.paired.clips, verdict.paired.groups) == ("map", 80, 40)
    assert verdict.paired.difference == pytest.approx(verdict.value_a - verdict.value_b)
    assert verdict.paired.difference == pytest.approx(np.mean(verdict.fold_differences))
    assert sentence(verdict).startswith("a is better than b by ")
    assert "points of map" in sentence(verdict)
    assert any("% map (seeds 0-2)" in line for line in describe(verdict))


def test_equal_rows_are_refused_with_the_reason(samples, store):
    record = tagged(samples, store, "a", 1.0)
    store.write(record.model_copy(update={"cell": samples.cell("b")}), store.predictions(record))
    assert "cannot be compared: no draw of groups changes the difference" in sentence(verdict_of(store))


def test_a_fold_that_lacks_a_class_is_pooled_with_the_others(samples, store):
    """One absent class made mAP None: no value, no interval, no rank."""
    whole = [[], []]
    for fold in (1, 2):
        record = tagged(samples, store, "a", 1.5, fold)
        arrays = {name: values.copy() for name, values in store.predictions(record).items()}
        arrays["targets"][:, 0] *= fold - 1
        value = mean_average_precision(arrays["logits"], arrays["targets"])
        store.write(record.model_copy(update={"scores": (Score(name="map", value=value),)}), arrays)
        whole[0].append(arrays["logits"])
        whole[1].append(arrays["targets"])
        assert value is not None
    (row,) = build_board(store.records()[0], metrics=METRICS, predictions=store.predictions).sections[0].rows
    assert row.value == pytest.approx(mean_average_precision(*map(np.concatenate, whole)))
    assert row.interval.low < row.value < row.interval.high
    mean = np.mean([cell.value for cell in row.cells])
    assert f"pooled over folds, one of which lacks a class; the mean over folds is {mean:.4f}" in row.notes


def test_lost_predictions_are_said(samples, store):
    record = tagged(samples, store, "a", 1.0)
    store.write(record.model_copy(update={"artifacts": {}}))
    (row,) = build_board(store.records()[0], metrics=METRICS, predictions=store.predictions).sections[0].rows
    assert "no interval: no stored predictions" in row.notes


def test_another_primary_score_is_never_shown_as_accuracy(samples, store):
    records = [
        samples.evaluated(store, samples.cell("a", 1, seed), 0.7, dataset__primary_metric="macro_f1")
        for seed in range(3)
    ]
    (row,) = build_board(store.records()[0], metrics=METRICS, predictions=store.predictions).sections[0].rows
    known = {name: np.mean([record.score(name) for record in records]) for name in ("macro_f1", "accuracy")}
    assert row.value == pytest.approx(known["macro_f1"]) != known["accuracy"]
    assert (row.rank.best, row.rank.worst) == (1, 1)
    assert row.interval.low < row.value < row.interval.high
