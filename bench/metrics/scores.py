"""The scores: ``function(logits, targets)`` gives a float, or ``None`` where it is not defined for these clips.

``logits`` are ``(clips, classes)``; ``targets`` are class indices ``(clips,)`` or, for multi-label tasks, indicators
``(clips, classes)``. All raise ``ValueError`` on arrays that do not fit or are not finite. An undefined score is
``None``, never 0: it becomes a hole in the board. A score that is a mean over clips has a function of its values per
clip beside it; the others are in :mod:`bench.metrics.weighted` for weighted clips too.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from bench.metrics import weighted
from bench.metrics.arrays import (
    Floats,
    Indicators,
    check_indicators,
    check_indices,
    check_logits,
    is_multi_label,
    log_softmax,
    scores_and_indicators,
)


def accuracy(logits: ArrayLike, targets: ArrayLike) -> float:
    """Fraction of clips whose largest logit (the first of equals) is that of the target."""
    return float(right(logits, targets).mean())


def right(logits: ArrayLike, targets: ArrayLike) -> Indicators:
    """Whether each clip counts as right in :func:`accuracy` ``(clips,)``."""
    values = check_logits(logits)
    result: Indicators = values.argmax(axis=1) == check_indices(targets, values.shape)
    return result


def top5_accuracy(logits: ArrayLike, targets: ArrayLike) -> float | None:
    """Fraction of clips whose target is among the five largest logits; ``None`` with five classes or fewer.

    Of equal logits the lower class comes first, as in :func:`accuracy`.
    """
    found = right_in_five(logits, targets)
    return None if found is None else float(found.mean())


def right_in_five(logits: ArrayLike, targets: ArrayLike) -> Indicators | None:
    """Whether each clip counts as right in :func:`top5_accuracy` ``(clips,)``."""
    values = check_logits(logits)
    indices = check_indices(targets, values.shape)
    if values.shape[1] <= 5:
        return None
    own = values[np.arange(indices.size), indices][:, None]
    earlier = np.arange(values.shape[1]) < indices[:, None]
    result: Indicators = ((values > own) | ((values == own) & earlier)).sum(axis=1) < 5
    return result


def log_loss(logits: ArrayLike, targets: ArrayLike) -> float:
    """Mean cross-entropy in nats; for indicators the mean binary cross-entropy over clips and classes."""
    return float(cross_entropy(logits, targets).mean())


def cross_entropy(logits: ArrayLike, targets: ArrayLike) -> Floats:
    """What each clip adds to :func:`log_loss` ``(clips,)``."""
    values = check_logits(logits)
    if is_multi_label(targets):
        true = check_indicators(targets, values.shape)
        losses: Floats = (np.logaddexp(0.0, values) - values * true).mean(axis=1)
        return losses
    indices = check_indices(targets, values.shape)
    return -log_softmax(values)[np.arange(indices.size), indices]


def balanced_accuracy(logits: ArrayLike, targets: ArrayLike) -> float | None:
    """Recall averaged over the classes that occur in the targets."""
    return _unweighted(weighted.balanced_accuracy, logits, targets)


def macro_f1(logits: ArrayLike, targets: ArrayLike) -> float | None:
    """F1 averaged over the classes that occur in targets or predictions; ``None`` where none does."""
    return _unweighted(weighted.macro_f1, logits, targets)


def micro_f1(logits: ArrayLike, targets: ArrayLike) -> float | None:
    """F1 of all decisions together; ``None`` without any label in targets and predictions."""
    return _unweighted(weighted.micro_f1, logits, targets)


def expected_calibration_error(logits: ArrayLike, targets: ArrayLike) -> float | None:
    """Mean distance between confidence and accuracy over 15 equal bins of confidence, weighted by their clips.

    Source: Guo et al. (2017), "On calibration of modern neural networks", section 2.
    """
    return _unweighted(weighted.expected_calibration_error, logits, targets)


def auroc(logits: ArrayLike, targets: ArrayLike) -> float | None:
    """Area under the ROC curve, one class against the rest, averaged over all classes.

    Equal scores count half. ``None`` where a class has no clip, or all of them.
    """
    _, true = scores_and_indicators(logits, targets)
    positives = true.sum(axis=0)
    if (positives == 0).any() or (positives == len(true)).any():
        return None
    return _unweighted(weighted.auroc, logits, targets)


def mean_average_precision(logits: ArrayLike, targets: ArrayLike) -> float | None:
    """Average precision, one class against the rest, averaged over the classes that have a clip; ``None`` without any.

    The step-wise sum over thresholds, clips of equal score entering together.
    """
    return _unweighted(weighted.mean_average_precision, logits, targets)


def d_prime(logits: ArrayLike, targets: ArrayLike) -> float | None:
    """Distance of two unit normals that have this AUROC: ``sqrt(2)`` times its normal quantile.

    ``None`` where AUROC is undefined, or exactly 0 or 1 (then d-prime is infinite).

    Source: Gemmeke et al. (2017), "Audio Set", section 4.
    """
    area = auroc(logits, targets)
    if area is None or not 0 < area < 1:
        return None
    return math.sqrt(2) * float(ndtri(area))


def _unweighted(score: Callable[..., Floats], logits: ArrayLike, targets: ArrayLike) -> float | None:
    """The score under a weight of 1 for each clip."""
    (value,) = score(logits, targets, np.ones((1, len(np.asarray(logits)))))
    return None if math.isnan(value) else float(value)
