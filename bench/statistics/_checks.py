"""Argument checks that the statistics share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


def check_level(level: float) -> None:
    """Raise ``ValueError`` unless ``level`` is a confidence level such as 0.95."""
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; it must lie between 0 and 1, for instance 0.95")


def seeds_by_clips(values: ArrayLike) -> Floats:
    """Values per clip as float64 ``(seeds, clips)``; a vector is one seed.

    Raises:
        ValueError: If they have another shape, are empty, or are not finite.
    """
    matrix = np.asarray(values, dtype=np.float64)
    if matrix.ndim == 1:
        matrix = matrix[None, :]
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise ValueError(f"values have shape {np.shape(values)}; expected (clips,) or (seeds, clips), neither empty")
    if not np.isfinite(matrix).all():
        raise ValueError("values per clip are not all finite")
    return matrix


def right_or_wrong(values: Floats) -> bool:
    """Whether all values are 1 (right) or 0 (wrong)."""
    return bool(((values == 0) | (values == 1)).all())


def finite_vector(values: ArrayLike, name: str, *, positive: bool = False) -> Floats:
    """Values as a finite float64 vector.

    Raises:
        ValueError: If it is no vector, holds NaN or infinity, or (``positive``) a value of 0 or below.
    """
    vector = np.asarray(values, dtype=np.float64)
    if vector.ndim != 1:
        raise ValueError(f"{name} has shape {vector.shape}; expected one dimension")
    if not np.isfinite(vector).all():
        raise ValueError(f"{name} holds {int((~np.isfinite(vector)).sum())} values that are not finite")
    if positive and vector.size and vector.min() <= 0:
        raise ValueError(f"{name} holds {vector.min()}; every value must be above 0")
    return vector


def group_codes(groups: NDArray[Any] | ArrayLike | None, clips: int) -> tuple[Counts, Floats]:
    """Number the groups.

    Args:
        groups: One label per clip ``(clips,)``, or ``None`` where every clip stands alone.
        clips: How many clips there are.

    Returns:
        The group number of each clip ``(clips,)`` and the clips per group ``(groups,)``.

    Raises:
        ValueError: If the lengths differ.
    """
    if groups is None:
        return np.arange(clips, dtype=np.int64), np.ones(clips)
    labels = np.asarray(groups)
    if labels.shape != (clips,):
        raise ValueError(f"groups has shape {labels.shape}; expected one label for each of the {clips} clips")
    _, codes = np.unique(labels, return_inverse=True)
    numbers = codes.astype(np.int64)
    return numbers, np.bincount(numbers).astype(np.float64)
