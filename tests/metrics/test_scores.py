"""Every score against scikit-learn, ties included, and where it is not defined."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, softmax
from scipy.stats import norm
from sklearn import metrics as sk

from bench.metrics import scores


@st.composite
def single_label(draw: st.DrawFn, *, every_class: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Logits on a coarse grid, so that many are equal, and class indices."""
    classes = draw(st.integers(2, 8))
    clips = draw(st.integers(classes + 1 if every_class else 1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    step = draw(st.sampled_from([1.0, 0.25, 1e-3]))
    logits = np.round(rng.normal(0, 2, (clips, classes)) / step) * step
    targets = rng.integers(0, classes, clips)
    if every_class:
        targets[:classes] = np.arange(classes)
    return logits, targets


SLOW = settings(max_examples=40, deadline=None)


@st.composite
def multi_label(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Logits with ties and indicators, each class with and without clips."""
    classes, clips = draw(st.integers(2, 6)), draw(st.integers(3, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    logits = np.round(rng.normal(0, 2, (clips, classes)), draw(st.integers(0, 3)))
    targets = rng.random((clips, classes)) < 0.3
    targets[0], targets[1] = True, False
    return logits, targets.astype(int)


def one_hot(targets: np.ndarray, classes: int) -> np.ndarray:
    return (np.arange(classes) == targets[:, None]).astype(int)


class TestSingleLabel:
    @given(single_label())
    @settings(deadline=None)
    def test_decisions(self, case: tuple[np.ndarray, np.ndarray]) -> None:
        logits, targets = case
        predicted = logits.argmax(1)
        assert scores.accuracy(logits, targets) == pytest.approx(sk.accuracy_score(targets, predicted))
        assert scores.micro_f1(logits, targets) == pytest.approx(sk.f1_score(targets, predicted, average="micro"))
        assert scores.macro_f1(logits, targets) == pytest.approx(sk.f1_score(targets, predicted, average="macro"))
        recalls = sk.recall_score(targets, predicted, labels=np.unique(targets), average="macro")
        assert scores.balanced_accuracy(logits, targets) == pytest.approx(recalls)

    @given(single_label())
    @settings(deadline=None)
    def test_log_loss(self, case: tuple[np.ndarray, np.ndarray]) -> None:
        logits, targets = case
        expected = sk.log_loss(targets, softmax(logits, axis=1), labels=np.arange(logits.shape[1]))
        assert scores.log_loss(logits, targets) == pytest.approx(expected, abs=1e-9)

    @given(st.integers(0, 10_000), st.integers(2, 8))
    @SLOW
    def test_threshold_free_on_probabilities(self, seed: int, classes: int) -> None:
        rng = np.random.default_rng(seed)
        logits, targets = rng.normal(size=(40, classes)), np.arange(40) % classes
        true, chances = one_hot(targets, classes), softmax(logits, axis=1)
        assert scores.auroc(logits, targets) == pytest.approx(sk.roc_auc_score(true, chances, average="macro"))
        precision = sk.average_precision_score(true, chances, average="macro")
        assert scores.mean_average_precision(logits, targets) == pytest.approx(precision)

    @given(single_label(every_class=True))
    @SLOW
    def test_threshold_free_with_ties(self, case: tuple[np.ndarray, np.ndarray]) -> None:
        from bench.metrics.arrays import check_logits, log_softmax

        logits, targets = case
        same, true = log_softmax(check_logits(logits)), one_hot(targets, logits.shape[1])
        assert scores.auroc(logits, targets) == pytest.approx(sk.roc_auc_score(true, same, average="macro"))
        expected = sk.average_precision_score(true, same, average="macro")
        assert scores.mean_average_precision(logits, targets) == pytest.approx(expected)

    @given(st.integers(0, 10_000), st.sampled_from([1.0, 0.1]))
    @settings(deadline=None)
    def test_top5(self, seed: int, step: float) -> None:
        """scikit-learn lets the higher class win a tie, so it is given the classes in reverse."""
        rng = np.random.default_rng(seed)
        logits, targets = np.round(rng.normal(size=(30, 9)) / step) * step, rng.integers(0, 9, 30)
        expected = sk.top_k_accuracy_score(8 - targets, logits[:, ::-1], k=5, labels=np.arange(9))
        assert scores.top5_accuracy(logits, targets) == pytest.approx(expected)

    @given(single_label(), st.floats(-50, 50))
    @settings(deadline=None)
    def test_an_offset_per_clip_changes_nothing(self, case: tuple[np.ndarray, np.ndarray], offset: float) -> None:
        logits, targets = case
        shift = np.round(offset) * np.ones((len(logits), 1))
        for score in (scores.accuracy, scores.log_loss, scores.macro_f1):
            assert score(logits + shift, targets) == pytest.approx(score(logits, targets), abs=1e-9)

    def test_a_model_that_answers_the_same_gains_nothing_from_ties(self) -> None:
        targets = np.arange(10)
        constant = np.zeros((10, 10))
        assert scores.accuracy(constant, targets) == 0.1
        assert scores.top5_accuracy(constant, targets) == 0.5
        assert scores.auroc(constant, targets) == 0.5
        assert scores.mean_average_precision(constant, targets) == pytest.approx(0.1)

    def test_huge_logits_stay_finite(self) -> None:
        logits, targets = np.array([[1e4, -1e4], [-1e4, 1e4], [1e4, 0.0]]), np.array([0, 1, 1])
        assert scores.log_loss(logits, targets) == pytest.approx(1e4 / 3)
        assert scores.auroc(logits, targets) == pytest.approx((0.75 + 1.0) / 2)
        assert scores.expected_calibration_error(logits, targets) == pytest.approx(1 / 3)


class TestCalibration:
    def test_by_hand(self) -> None:
        """Confidences 0.90 (two clips, one right) and 0.60 (two clips, both right): (2 * 0.4 + 2 * 0.4) / 4."""
        logits = np.log([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.4, 0.6]])
        assert scores.expected_calibration_error(logits, np.array([0, 1, 0, 1])) == pytest.approx(0.4)

    def test_honest_confidences_are_calibrated(self) -> None:
        rng = np.random.default_rng(0)
        logits = rng.normal(0, 1.5, (40_000, 5))
        cumulative = softmax(logits, axis=1).cumsum(1)
        targets = (rng.random((40_000, 1)) > cumulative).sum(1).clip(0, 4)
        assert scores.expected_calibration_error(logits, targets) < 0.01
        assert scores.expected_calibration_error(3 * logits, targets) > 0.1

    @given(single_label())
    @settings(deadline=None)
    def test_against_a_loop_over_bins(self, case: tuple[np.ndarray, np.ndarray]) -> None:
        logits, targets = case
        chances = softmax(logits, axis=1)
        confidence, right = chances.max(1), chances.argmax(1) == targets
        if (np.abs(confidence * 15 - np.round(confidence * 15)) < 1e-9).any():
            return
        total = 0.0
        for low in np.arange(15) / 15:
            inside = (confidence > low) & (confidence <= low + 1 / 15)
            if inside.any():
                total += inside.mean() * abs(confidence[inside].mean() - right[inside].mean())
        assert scores.expected_calibration_error(logits, targets) == pytest.approx(total, abs=1e-9)


class TestMultiLabel:
    @given(multi_label())
    @SLOW
    def test_against_scikit_learn(self, case: tuple[np.ndarray, np.ndarray]) -> None:
        logits, targets = case
        predicted = (logits > 0).astype(int)
        micro = sk.f1_score(targets, predicted, average="micro", zero_division=np.nan)
        assert scores.micro_f1(logits, targets) == pytest.approx(micro)
        macro = sk.f1_score(targets, predicted, average="macro", zero_division=np.nan)
        assert scores.macro_f1(logits, targets) == pytest.approx(macro)
        assert scores.auroc(logits, targets) == pytest.approx(sk.roc_auc_score(targets, logits, average="macro"))
        precision = sk.average_precision_score(targets, logits, average="macro")
        assert scores.mean_average_precision(logits, targets) == pytest.approx(precision)
        loss = np.mean([sk.log_loss(t, expit(x), labels=[0, 1]) for t, x in zip(targets.T, logits.T, strict=True)])
        assert scores.log_loss(logits, targets) == pytest.approx(loss, abs=1e-9)

    def test_bools_and_integers_are_the_same(self) -> None:
        logits = np.random.default_rng(0).normal(size=(20, 3))
        targets = np.random.default_rng(1).random((20, 3)) < 0.5
        assert scores.auroc(logits, targets) == scores.auroc(logits, targets.astype(np.int64))


class TestDPrime:
    def test_two_normals_one_apart(self) -> None:
        """The separation of the two classes' scores is d-prime itself, whichever class counts as positive."""
        rng = np.random.default_rng(0)
        targets = np.repeat([0, 1], 20_000)
        score = rng.normal(size=40_000) + targets
        value = scores.d_prime(np.stack([-score, score], axis=1), targets)
        assert value == pytest.approx(1.0, abs=0.03)

    def test_formula(self) -> None:
        logits = np.random.default_rng(0).normal(size=(30, 3))
        targets = np.arange(30) % 3
        area = scores.auroc(logits, targets)
        assert area is not None
        assert scores.d_prime(logits, targets) == pytest.approx(math.sqrt(2) * norm.ppf(area))

    def test_audio_sets_published_pair(self) -> None:
        """Gemmeke et al. 2017 report AUC 0.959 beside d-prime 2.452; here 41 of 1000 others score higher."""
        score = np.concatenate([[0.0], np.full(959, -1.0), np.full(41, 1.0)])
        logits, targets = np.stack([-score, score], axis=1), np.arange(1001) == 0
        assert scores.auroc(logits, targets.astype(int)) == pytest.approx(0.959)
        assert scores.d_prime(logits, targets.astype(int)) == pytest.approx(2.452, abs=0.015)

    def test_perfect_is_infinite_and_so_not_defined(self) -> None:
        assert scores.d_prime(np.eye(3) * 5, np.arange(3)) is None


class TestUndefined:
    def test_class_without_clips(self) -> None:
        logits, targets = np.random.default_rng(0).normal(size=(6, 3)), np.array([0, 1, 0, 1, 0, 1])
        assert scores.auroc(logits, targets) is None
        true = np.eye(3)[targets]
        present = scores.mean_average_precision(logits[:, :2], true[:, :2])
        assert scores.mean_average_precision(logits, true) == pytest.approx(present)
        assert scores.mean_average_precision(logits, np.zeros((6, 3))) is None
        assert scores.d_prime(logits, targets) is None

    def test_class_with_every_clip(self) -> None:
        logits, targets = np.random.default_rng(0).normal(size=(4, 2)), np.array([[1, 0], [1, 1], [1, 0], [1, 1]])
        assert scores.auroc(logits, targets) is None
        assert scores.mean_average_precision(logits, targets) is not None

    def test_top5_of_five(self) -> None:
        assert scores.top5_accuracy(np.zeros((3, 5)), np.array([0, 1, 2])) is None

    def test_f1_without_labels(self) -> None:
        logits, targets = -np.ones((4, 3)), np.zeros((4, 3), dtype=int)
        assert scores.micro_f1(logits, targets) is None
        assert scores.macro_f1(logits, targets) is None


EVERY: list[Callable[..., object]] = [
    scores.accuracy,
    scores.top5_accuracy,
    scores.balanced_accuracy,
    scores.macro_f1,
    scores.micro_f1,
    scores.log_loss,
    scores.expected_calibration_error,
    scores.auroc,
    scores.mean_average_precision,
    scores.d_prime,
]


@pytest.mark.parametrize("score", EVERY)
@pytest.mark.parametrize(
    ("logits", "targets", "match"),
    [
        (np.zeros((0, 6)), np.zeros(0, dtype=int), "logits have shape"),
        (np.zeros((4, 1)), np.zeros(4, dtype=int), "logits have shape"),
        (np.zeros(4), np.zeros(4, dtype=int), "logits have shape"),
        (np.full((4, 6), np.nan), np.zeros(4, dtype=int), "24 values that are not finite"),
        (np.full((4, 6), -np.inf), np.zeros(4, dtype=int), "not finite"),
        (np.zeros((4, 6)), np.zeros(3, dtype=int), "expected 4 class indices"),
        (np.zeros((4, 6)), np.zeros(4), "dtype float64"),
        (np.zeros((4, 6)), np.array([0, 1, 2, 6]), "classes 0 to 5"),
        (np.zeros((4, 6)), np.array([0, 1, 2, -1]), "classes 0 to 5"),
    ],
)
def test_wrong_calls(score: Callable[..., object], logits: np.ndarray, targets: np.ndarray, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        score(logits, targets)


@pytest.mark.parametrize("score", [scores.macro_f1, scores.micro_f1, scores.log_loss, scores.auroc])
def test_wrong_indicators(score: Callable[..., object]) -> None:
    for wrong in (np.zeros((4, 5)), np.full((4, 6), 2)):
        with pytest.raises(ValueError, match="indicators"):
            score(np.zeros((4, 6)), wrong)
