"""Scores of weighted clips: a weight is a repetition, and a mean over clips is a mean over clips."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.clips import TaskType
from bench.metrics import weighted
from bench.metrics.specs import METRICS
from bench.plugins.factories import load_factory
from bench.plugins.specs import MetricSpec

CASES = [(spec, task) for spec in METRICS for task in spec.task_types if spec.reads == "logits"]


def clips_of(rng: np.random.Generator, clips: int, task: TaskType) -> tuple[np.ndarray, np.ndarray]:
    """Logits with ties over six classes, and targets in which every class occurs."""
    classes = 6
    targets = np.arange(clips) % classes
    true = np.eye(classes, dtype=bool)[targets] | ((task == "multi_label") & (rng.random((clips, classes)) < 0.2))
    logits = np.round(rng.normal(size=(clips, classes)) + 1.5 * true, 1)
    return logits, true.astype(np.float32) if task == "multi_label" else targets


def test_every_builtin_says_how_it_is_resampled() -> None:
    assert all((spec.per_clip is None) != (spec.weighted is None) for spec in METRICS)


@pytest.mark.parametrize(
    ("spec", "task"), [case for case in CASES if case[0].weighted], ids=lambda value: getattr(value, "name", value)
)
@given(seed=st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_a_weight_is_a_repetition(spec: MetricSpec, task: TaskType, seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits, targets = clips_of(rng, 30, task)
    weights = rng.integers(0, 4, (6, 30)).astype(np.float32)
    weights[:, :6] = 1
    found = load_factory(spec.weighted or "")(logits, targets, weights)
    assert found.shape == (6,)
    for value, row in zip(found, weights.astype(int), strict=True):
        expected = load_factory(spec.compute)(np.repeat(logits, row, axis=0), np.repeat(targets, row, axis=0))
        assert (math.isnan(value) and expected is None) or value == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("spec", "task"), [case for case in CASES if case[0].per_clip], ids=lambda value: getattr(value, "name", value)
)
def test_the_mean_of_the_values_per_clip_is_the_score(spec: MetricSpec, task: TaskType) -> None:
    logits, targets = clips_of(np.random.default_rng(0), 40, task)
    values = load_factory(spec.per_clip or "")(logits, targets)
    assert values.shape == (40,)
    assert values.mean() == pytest.approx(load_factory(spec.compute)(logits, targets))


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    logits, targets = rng.normal(size=(40, 4)), np.arange(40) % 4
    weights = rng.integers(0, 3, (9, 40)).astype(np.float32)
    whole = weighted.mean_average_precision(logits, targets, weights)
    monkeypatch.setattr("bench.metrics.weighted._CHUNK_CELLS", 100)
    np.testing.assert_allclose(weighted.mean_average_precision(logits, targets, weights), whole)


def test_a_class_without_a_drawn_clip_is_left_out() -> None:
    logits, targets = np.array([[2.0, 1.0], [1.0, 2.0], [0.0, 0.5]]), np.array([[1, 0], [0, 1], [0, 1]])
    weights = np.array([[1, 1, 1], [0, 1, 1], [0, 0, 0]], dtype=np.float32)
    found = weighted.mean_average_precision(logits, targets, weights)
    assert found[0] == pytest.approx((1 + (1 + 2 / 3) / 2) / 2)
    assert found[1] == 1
    assert np.isnan(found[2])
    assert np.isnan(weighted.auroc(logits, targets, weights)[2])


def test_weights_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="weights have shape"):
        weighted.mean_average_precision(np.zeros((3, 2)), np.array([0, 1, 0]), np.ones((2, 4), dtype=np.float32))
