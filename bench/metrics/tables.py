"""What stands beside the scores: confusion, recall per class, and the two trivial classifiers."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from bench.metrics.arrays import Indices, check_indices, check_logits


def confusion_matrix(logits: ArrayLike, targets: ArrayLike) -> Indices:
    """Count clips by true and predicted class.

    Args:
        logits: ``(clips, classes)``.
        targets: Class indices ``(clips,)``.

    Returns:
        ``(classes, classes)``: rows are true, columns predicted classes.

    Raises:
        ValueError: If shapes or values do not fit.
    """
    values = check_logits(logits)
    indices = check_indices(targets, values.shape)
    classes = values.shape[1]
    cells = indices * classes + values.argmax(axis=1)
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes).astype(np.int64)


def per_class_recall(logits: ArrayLike, targets: ArrayLike) -> tuple[float | None, ...]:
    """Fraction of each class's clips that were recognised.

    Args:
        logits: ``(clips, classes)``.
        targets: Class indices ``(clips,)``.

    Returns:
        One fraction per class, ``None`` for a class without clips.

    Raises:
        ValueError: If shapes or values do not fit.
    """
    counts = confusion_matrix(logits, targets)
    totals = counts.sum(axis=1)
    return tuple(float(counts[c, c] / total) if total else None for c, total in enumerate(totals))


def majority_rate(train_targets: ArrayLike, test_targets: ArrayLike) -> float:
    """Accuracy of always answering the class most frequent in training (the lowest of equals).

    Args:
        train_targets: Class indices ``(clips,)``.
        test_targets: Class indices ``(clips,)``.

    Returns:
        A fraction.

    Raises:
        ValueError: If either is empty or holds no class indices.
    """
    train, test = np.asarray(train_targets), np.asarray(test_targets)
    for name, values in (("train_targets", train), ("test_targets", test)):
        if values.ndim != 1 or values.size == 0 or values.dtype.kind not in "iu" or values.min() < 0:
            raise ValueError(f"{name} have shape {values.shape}, dtype {values.dtype}; expected class indices (clips,)")
    return float((test == np.bincount(train).argmax()).mean())


def chance(num_classes: int) -> float:
    """Accuracy of guessing among equally frequent classes.

    Args:
        num_classes: At least 2.

    Returns:
        A fraction.

    Raises:
        ValueError: If there are fewer than two classes.
    """
    if num_classes < 2:
        raise ValueError(f"num_classes is {num_classes}; a classification task has at least 2")
    return 1 / num_classes
