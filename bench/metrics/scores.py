"""The scores: ``function(logits, targets)`` gives a float, or ``None`` where it is not defined for these clips.

``logits`` are ``(clips, classes)``; ``targets`` are class indices ``(clips,)`` or, for multi-label tasks, indicators
``(clips, classes)``. All raise ``ValueError`` on arrays that do not fit or are not finite. An undefined score is
``None``, never 0: it becomes a hole in the board.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from bench.metrics.arrays import (
    Floats,
    check_indicators,
    check_indices,
    check_logits,
    decisions_and_indicators,
    is_multi_label,
    log_softmax,
    scores_and_indicators,
)

CALIBRATION_BINS = 15


def accuracy(logits: ArrayLike, targets: ArrayLike) -> float:
    """Fraction of clips whose largest logit (the first of equals) is that of the target."""
    values = check_logits(logits)
    return float((values.argmax(axis=1) == check_indices(targets, values.shape)).mean())


def top5_accuracy(logits: ArrayLike, targets: ArrayLike) -> float | None:
    """Fraction of clips whose target is among the five largest logits; ``None`` with five classes or fewer.

    Of equal logits the lower class comes first, as in :func:`accuracy`.
    """
    values = check_logits(logits)
    indices = check_indices(targets, values.shape)
    if values.shape[1] <= 5:
        return None
    own = values[np.arange(indices.size), indices][:, None]
    earlier = np.arange(values.shape[1]) < indices[:, None]
    rank = ((values > own) | ((values == own) & earlier)).sum(axis=1)
    return float((rank < 5).mean())


def balanced_accuracy(logits: ArrayLike, targets: ArrayLike) -> float:
    """Recall averaged over the classes that occur in the targets."""
    values = check_logits(logits)
    indices = check_indices(targets, values.shape)
    right = np.bincount(indices, weights=values.argmax(axis=1) == indices)
    total = np.bincount(indices)
    return float((right[total > 0] / total[total > 0]).mean())


def macro_f1(logits: ArrayLike, targets: ArrayLike) -> float | None:
    """F1 averaged over the classes that occur in targets or predictions; ``None`` where none does."""
    predicted, true = decisions_and_indicators(logits, targets)
    both = (predicted & true).sum(axis=0)
    either = predicted.sum(axis=0) + true.sum(axis=0)
    seen = either > 0
    return float((2 * both[seen] / either[seen]).mean()) if seen.any() else None


def micro_f1(logits: ArrayLike, targets: ArrayLike) -> float | None:
    """F1 of all decisions together; ``None`` without any label in targets and predictions."""
    predicted, true = decisions_and_indicators(logits, targets)
    either = int(predicted.sum() + true.sum())
    return float(2 * (predicted & true).sum() / either) if either else None


def log_loss(logits: ArrayLike, targets: ArrayLike) -> float:
    """Mean cross-entropy in nats; for indicators the mean binary cross-entropy over clips and classes."""
    values = check_logits(logits)
    if is_multi_label(targets):
        true = check_indicators(targets, values.shape)
        return float((np.logaddexp(0.0, values) - values * true).mean())
    indices = check_indices(targets, values.shape)
    return float(-log_softmax(values)[np.arange(indices.size), indices].mean())


def expected_calibration_error(logits: ArrayLike, targets: ArrayLike) -> float:
    """Mean distance between confidence and accuracy over 15 equal bins of confidence, weighted by their clips.

    Source: Guo et al. (2017), "On calibration of modern neural networks", section 2.
    """
    values = check_logits(logits)
    indices = check_indices(targets, values.shape)
    confidence = np.exp(log_softmax(values).max(axis=1))
    right = values.argmax(axis=1) == indices
    bins = np.clip(np.ceil(confidence * CALIBRATION_BINS).astype(np.int64) - 1, 0, CALIBRATION_BINS - 1)
    gaps = np.bincount(bins, weights=confidence - right, minlength=CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / indices.size)


def auroc(logits: ArrayLike, targets: ArrayLike) -> float | None:
    """Area under the ROC curve, one class against the rest, averaged over all classes.

    Equal scores count half. ``None`` where a class has no clip, or all of them.
    """
    scores, true = scores_and_indicators(logits, targets)
    positives = true.sum(axis=0)
    if (positives == 0).any() or (positives == len(true)).any():
        return None
    areas = [_area(scores[:, c], true[:, c]) for c in range(true.shape[1])]
    return float(np.mean(areas))


def mean_average_precision(logits: ArrayLike, targets: ArrayLike) -> float | None:
    """Average precision, one class against the rest, averaged over all classes; ``None`` where a class has no clip.

    The step-wise sum over thresholds, clips of equal score entering together.
    """
    scores, true = scores_and_indicators(logits, targets)
    if (true.sum(axis=0) == 0).any():
        return None
    return float(np.mean([_average_precision(scores[:, c], true[:, c]) for c in range(true.shape[1])]))


def d_prime(logits: ArrayLike, targets: ArrayLike) -> float | None:
    """Distance of two unit normals that have this AUROC: ``sqrt(2)`` times its normal quantile.

    ``None`` where AUROC is undefined, or exactly 0 or 1 (then d-prime is infinite).

    Source: Gemmeke et al. (2017), "Audio Set", section 4.
    """
    area = auroc(logits, targets)
    if area is None or not 0 < area < 1:
        return None
    return math.sqrt(2) * float(ndtri(area))


def _area(scores: Floats, true: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> float:
    """Mann-Whitney form of the area: the share of (positive, negative) pairs in the right order."""
    negatives = np.sort(scores[~true])
    positives = scores[true]
    below = negatives.searchsorted(positives, "left") + negatives.searchsorted(positives, "right")
    return float(below.sum() / (2 * negatives.size * positives.size))


def _average_precision(scores: Floats, true: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> float:
    """Mean over positives of the precision among the clips scored at least as high."""
    everything, positives = np.sort(scores), np.sort(scores[true])
    reached = everything.size - everything.searchsorted(positives, "left")
    hits = positives.size - positives.searchsorted(positives, "left")
    return float((hits / reached).mean())
