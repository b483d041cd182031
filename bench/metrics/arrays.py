"""What every score checks and converts first; arrays of another shape or with other values raise ``ValueError``."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Indicators = NDArray[np.bool_]


def check_logits(logits: ArrayLike) -> Floats:
    """Logits as finite float64 ``(clips, classes)``, at least one clip and two classes."""
    values = np.asarray(logits, dtype=np.float64)
    if values.ndim != 2 or values.shape[0] == 0 or values.shape[1] < 2:
        raise ValueError(f"logits have shape {values.shape}; expected (clips, classes), at least (1, 2)")
    if not np.isfinite(values).all():
        raise ValueError(f"logits hold {int((~np.isfinite(values)).sum())} values that are not finite")
    return values


def check_indices(targets: ArrayLike, shape: tuple[int, ...]) -> Indices:
    """Targets as class indices ``(clips,)`` for logits of ``shape``."""
    values = np.asarray(targets)
    clips, classes = shape
    if values.shape != (clips,) or values.dtype.kind not in "iu":
        raise ValueError(f"targets have shape {values.shape}, dtype {values.dtype}; expected {clips} class indices")
    indices = values.astype(np.int64)
    if indices.view(np.uint64).max() >= classes:  # one look finds those below 0 too
        raise ValueError(f"targets span {values.min()} to {values.max()}; the logits have classes 0 to {classes - 1}")
    return indices


def check_indicators(targets: ArrayLike, shape: tuple[int, ...]) -> Indicators:
    """Targets as indicators ``(clips, classes)``, a 0/1 matrix of ``shape``."""
    values = np.asarray(targets)
    if values.shape != shape or not np.isin(values, (0, 1)).all():
        raise ValueError(f"targets have shape {values.shape}; expected 0/1 indicators of shape {shape}")
    return values.astype(bool)


def check_weights(weights: ArrayLike, clips: int) -> Floats:
    """Weights of clips, 0 or more, as float64 ``(draws, clips)``."""
    values = np.asarray(weights, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] != clips or not values.size or values.min() < 0:
        raise ValueError(f"weights have shape {values.shape}; expected (draws, {clips}), none empty, none below 0")
    return values


def is_multi_label(targets: ArrayLike) -> bool:
    """Whether targets are indicators rather than class indices."""
    return np.ndim(targets) == 2


def log_softmax(logits: Floats) -> Floats:
    """Log-probabilities ``(clips, classes)`` in nats."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    result: Floats = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result


def chances(logits: ArrayLike, *, several: bool) -> Floats:
    """Probabilities ``(clips, classes)``; ``several``: of each label by itself."""
    values = np.asarray(logits, dtype=np.float64)
    shares: Floats = 1 / (1 + np.exp(-np.clip(values, -500, 500))) if several else np.exp(log_softmax(values))
    return shares


def scores_and_indicators(logits: ArrayLike, targets: ArrayLike) -> tuple[Floats, Indicators]:
    """What threshold-free scores compare: per class a score and whether the clip has the class, ``(clips, classes)``.

    Classes of a single-label task compete, so its scores are log-probabilities (they rank like probabilities, without
    ties at 1); indicators keep the logits.
    """
    values, true = _logits_and_indicators(logits, targets)
    return values if is_multi_label(targets) else log_softmax(values), true


def decisions_and_indicators(logits: ArrayLike, targets: ArrayLike) -> tuple[Indicators, Indicators]:
    """What thresholded scores compare: predicted and true indicators ``(clips, classes)``.

    Predicted is the largest logit of a clip (the first of equals) in a single-label task, every logit above 0 in a
    multi-label one.
    """
    values, true = _logits_and_indicators(logits, targets)
    if is_multi_label(targets):
        return values > 0, true
    return np.arange(values.shape[1]) == values.argmax(axis=1)[:, None], true


def _logits_and_indicators(logits: ArrayLike, targets: ArrayLike) -> tuple[Floats, Indicators]:
    values = check_logits(logits)
    if is_multi_label(targets):
        return values, check_indicators(targets, values.shape)
    return values, np.arange(values.shape[1]) == check_indices(targets, values.shape)[:, None]
