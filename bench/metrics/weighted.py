"""Scores that are no mean over clips, for many weightings of the clips at once: what a bootstrap needs.

Every function takes ``(logits, targets, weights)`` with ``weights`` ``(draws, clips)``, 0 or more (a whole number
counts a clip so many times), and gives ``(draws,)``, NaN where a draw leaves the score undefined. Classes that a draw
gives no clip are left out of the averages over classes. All raise ``ValueError`` on arrays that do not fit.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from bench.metrics.arrays import (
    Floats,
    Indicators,
    check_indices,
    check_logits,
    check_weights,
    decisions_and_indicators,
    log_softmax,
    scores_and_indicators,
)

CALIBRATION_BINS = 15
_CHUNK_CELLS = 8_000_000


def balanced_accuracy(logits: ArrayLike, targets: ArrayLike, weights: ArrayLike) -> Floats:
    """Recall averaged over the classes that occur in the targets."""
    values = check_logits(logits)
    indices = check_indices(targets, values.shape)
    true = (np.arange(values.shape[1]) == indices[:, None]).astype(np.float64)
    each = check_weights(weights, len(values))
    return _mean_ratio(each @ (true * (values.argmax(axis=1) == indices)[:, None]), each @ true)


def macro_f1(logits: ArrayLike, targets: ArrayLike, weights: ArrayLike) -> Floats:
    """F1 averaged over the classes that occur in targets or predictions."""
    return _mean_ratio(*_f1_parts(logits, targets, weights))


def micro_f1(logits: ArrayLike, targets: ArrayLike, weights: ArrayLike) -> Floats:
    """F1 of all decisions together."""
    both, either = _f1_parts(logits, targets, weights)
    return _mean_ratio(both.sum(axis=1, keepdims=True), either.sum(axis=1, keepdims=True))


def _f1_parts(logits: ArrayLike, targets: ArrayLike, weights: ArrayLike) -> tuple[Floats, Floats]:
    """Numerator and denominator of each class's F1 ``(draws, classes)``."""
    predicted, true = decisions_and_indicators(logits, targets)
    each = check_weights(weights, len(true))
    return 2 * (each @ (predicted & true)), each @ (predicted.astype(np.float64) + true)


def _mean_ratio(above: Floats, below: Floats) -> Floats:
    """Mean over classes of ``above / below`` where ``below`` is not 0; arrays ``(draws, classes)``."""
    known = below > 0
    ratio = np.divide(above, below, out=np.zeros_like(below), where=known)
    return _divide(ratio.sum(axis=1), known.sum(axis=1).astype(np.float64))


def _divide(above: Floats, below: Floats) -> Floats:
    """The quotient, NaN where ``below`` is 0."""
    result: Floats = np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)
    return result


def expected_calibration_error(logits: ArrayLike, targets: ArrayLike, weights: ArrayLike) -> Floats:
    """Mean distance between confidence and accuracy over 15 equal bins of confidence, weighted by their clips."""
    values = check_logits(logits)
    right = values.argmax(axis=1) == check_indices(targets, values.shape)
    each = check_weights(weights, len(values))
    confidence = np.exp(log_softmax(values).max(axis=1))
    bins = np.clip(np.ceil(confidence * CALIBRATION_BINS).astype(np.int64) - 1, 0, CALIBRATION_BINS - 1)
    gaps = each @ ((confidence - right)[:, None] * (bins[:, None] == np.arange(CALIBRATION_BINS)))
    return _divide(np.abs(gaps).sum(axis=1), each.sum(axis=1))


def mean_average_precision(logits: ArrayLike, targets: ArrayLike, weights: ArrayLike) -> Floats:
    """Average precision, one class against the rest, averaged over classes; clips of equal score enter together."""
    return _mean_over_classes(_average_precision, logits, targets, weights)


def auroc(logits: ArrayLike, targets: ArrayLike, weights: ArrayLike) -> Floats:
    """Area under the ROC curve, one class against the rest, averaged over classes; equal scores count half."""
    return _mean_over_classes(_area, logits, targets, weights)


def d_prime(logits: ArrayLike, targets: ArrayLike, weights: ArrayLike) -> Floats:
    """Distance of two unit normals with this AUROC; NaN where that is 0 or 1."""
    areas = auroc(logits, targets, weights)
    result: Floats = np.sqrt(2) * ndtri(np.where((areas > 0) & (areas < 1), areas, np.nan))
    return result


_OneClass = Callable[[Floats, Indicators, Floats], Floats]
"""Scores ``(clips,)``, whether they are positive, weights ``(clips, draws)`` -> ``(draws,)``, NaN where undefined."""


def _mean_over_classes(one: _OneClass, logits: ArrayLike, targets: ArrayLike, weights: ArrayLike) -> Floats:
    scores, true = scores_and_indicators(logits, targets)
    columns = np.ascontiguousarray(check_weights(weights, len(scores)).T)
    step = max(1, _CHUNK_CELLS // len(scores))
    parts = [columns[:, at : at + step] for at in range(0, columns.shape[1], step)]
    return np.concatenate([_chunk(one, scores, true, part) for part in parts])


def _chunk(one: _OneClass, scores: Floats, true: Indicators, weights: Floats) -> Floats:
    total, known = np.zeros(weights.shape[1]), np.zeros(weights.shape[1])
    for label in range(scores.shape[1]):
        order = np.argsort(-scores[:, label], kind="stable")  # clips stand in order of falling score
        values = one(scores[order, label], true[order, label], weights[order])
        total += np.where(np.isnan(values), 0.0, values)
        known += ~np.isnan(values)
    return _divide(total, known)


def _average_precision(ranked: Floats, positive: Indicators, weights: Floats) -> Floats:
    """Mean over positives of the precision among the clips scored at least as high."""
    reached = (-ranked).searchsorted(-ranked[positive], "right") - 1
    hits = reached.searchsorted(reached, "right") - 1
    own = weights[positive]
    among = np.cumsum(weights, axis=0)[reached]
    found = np.cumsum(own, axis=0)[hits]
    precision = np.divide(found, among, out=np.zeros_like(found), where=among > 0)
    return _divide((own * precision).sum(axis=0), own.sum(axis=0))


def _area(ranked: Floats, positive: Indicators, weights: Floats) -> Floats:
    """Mann-Whitney form of the area: the share of (positive, negative) pairs in the right order."""
    own, others = weights[positive], weights[~positive]
    above = np.concatenate([np.zeros((1, weights.shape[1])), np.cumsum(others, axis=0)])
    negatives = -ranked[~positive]
    places = [negatives.searchsorted(-ranked[positive], side) for side in ("left", "right")]
    below = above[-1] - (above[places[0]] + above[places[1]]) / 2
    return _divide((own * below).sum(axis=0), own.sum(axis=0) * above[-1])
