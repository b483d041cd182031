"""Confusion, recall per class and the trivial classifiers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from sklearn.dummy import DummyClassifier

from bench.metrics.scores import accuracy
from bench.metrics.tables import chance, confusion_matrix, majority_rate, per_class_recall


@given(st.integers(0, 10_000), st.integers(2, 7), st.integers(1, 50))
@settings(deadline=None)
def test_confusion_and_recall_agree_with_scikit_learn(seed: int, classes: int, clips: int) -> None:
    rng = np.random.default_rng(seed)
    logits, targets = np.round(rng.normal(size=(clips, classes))), rng.integers(0, classes, clips)
    counts = confusion_matrix(logits, targets)
    assert (counts == sk.confusion_matrix(targets, logits.argmax(1), labels=np.arange(classes))).all()
    assert counts.trace() / clips == pytest.approx(accuracy(logits, targets))
    recalls = sk.recall_score(targets, logits.argmax(1), labels=np.arange(classes), average=None, zero_division=np.nan)
    for ours, theirs in zip(per_class_recall(logits, targets), recalls, strict=True):
        assert (ours is None and np.isnan(theirs)) or ours == pytest.approx(theirs)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.lists(st.integers(0, 4), min_size=1, max_size=60))
@settings(deadline=None)
def test_majority_agrees_with_scikit_learn(train: list[int], test: list[int]) -> None:
    dummy = DummyClassifier(strategy="most_frequent").fit(np.zeros((len(train), 1)), train)
    assert majority_rate(train, test) == pytest.approx(dummy.score(np.zeros((len(test), 1)), test))


def test_majority_of_balanced_classes_is_chance() -> None:
    assert majority_rate(np.arange(50).repeat(32), np.arange(50).repeat(8)) == chance(50) == 0.02


def test_wrong_calls() -> None:
    with pytest.raises(ValueError, match="train_targets"):
        majority_rate([], [1])
    with pytest.raises(ValueError, match="test_targets"):
        majority_rate([1], [0.5])
    with pytest.raises(ValueError, match="num_classes is 1"):
        chance(1)
