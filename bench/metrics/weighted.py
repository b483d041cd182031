"""Scores of weighted clips, for many weightings at once: what a bootstrap over clips or groups needs."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.metrics.arrays import Floats, Indicators, scores_and_indicators

_CHUNK_CELLS = 8_000_000


def weighted_mean_average_precision(logits: ArrayLike, targets: ArrayLike, weights: NDArray[np.float32]) -> Floats:
    """Mean average precision under each weighting; integer weights count a clip so many times.

    Args:
        logits: ``(clips, classes)``.
        targets: Class indices ``(clips,)`` or indicators ``(clips, classes)``.
        weights: ``(clips, weightings)``, 0 or more.

    Returns:
        ``(weightings,)``: averaged over the classes that a weighting gives any positive clip; NaN where it gives none.

    Raises:
        ValueError: If shapes or values do not fit.
    """
    scores, true = scores_and_indicators(logits, targets)
    if weights.ndim != 2 or len(weights) != len(scores) or not weights.size or weights.min() < 0:
        raise ValueError(
            f"weights have shape {weights.shape}; expected ({len(scores)}, weightings), none empty, none below 0"
        )
    step = max(1, _CHUNK_CELLS // len(scores))
    parts = [_mean_over_classes(scores, true, weights[:, at : at + step]) for at in range(0, weights.shape[1], step)]
    return np.concatenate(parts)


def _mean_over_classes(scores: Floats, true: Indicators, weights: NDArray[np.float32]) -> Floats:
    total = np.zeros(weights.shape[1])
    known = np.zeros(weights.shape[1])
    for label in range(scores.shape[1]):
        values, weight = _average_precision(scores[:, label], true[:, label], weights)
        total += values
        known += weight > 0
    result: Floats = np.divide(total, known, out=np.full_like(total, np.nan), where=known > 0)
    return result


def _average_precision(
    scores: Floats, true: Indicators, weights: NDArray[np.float32]
) -> tuple[Floats, NDArray[np.float32]]:
    """Average precision of one class under each weighting (0 without positives), and the weight of its positives.

    Clips of equal score enter together, as in :func:`bench.metrics.scores.mean_average_precision`.
    """
    order = np.argsort(-scores, kind="stable")
    ranked, positive = -scores[order], true[order]
    ordered = weights[order]
    reached = ranked.searchsorted(ranked[positive], "right") - 1
    hits = reached.searchsorted(reached, "right") - 1
    own = ordered[positive]
    total: NDArray[np.float32] = own.sum(axis=0)
    if not len(own):
        return np.zeros(weights.shape[1]), total
    among = np.cumsum(ordered, axis=0, dtype=np.float64)[reached]
    found = np.cumsum(own, axis=0, dtype=np.float64)[hits]
    precision = np.divide(found, among, out=np.zeros_like(found), where=among > 0)
    values: Floats = (own * precision).sum(axis=0) / np.maximum(total, np.finfo(np.float32).tiny)
    return values, total
