"""What the statistics take and give back: checked arrays; an interval, or a refusal that says why there is none.

A refusal is a value, not an exception: a board shows its reason where the number would stand. ``ValueError`` means
that the call itself was wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """An estimate with its confidence interval, in the unit of the estimate.

    Attributes:
        estimate: The point estimate.
        low: Lower end.
        high: Upper end.
        level: Nominal coverage, 0 to 1.
        method: How it was made, for the table's footnote.
    """

    estimate: float
    low: float
    high: float
    level: float
    method: str

    @property
    def width(self) -> float:
        """Distance between the ends."""
        return self.high - self.low

    def covers(self, value: float) -> bool:
        """Whether ``value`` lies within the interval, the ends included."""
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A number that the data at hand cannot give.

    Attributes:
        reason: One line for people: what is missing.
        have: How many there are of what is missing (groups, processes, samples).
        need: How many it takes.
    """

    reason: str
    have: int | None = None
    need: int | None = None


def too_few(noun: str, have: int, need: int, use: str) -> Refusal:
    """The refusal where there are fewer of something than a use of it takes."""
    ending = "" if have == 1 else "es" if noun.endswith("s") else "s"
    return Refusal(reason=f"{have} {noun}{ending}: {use} needs at least {need}", have=have, need=need)


def check_level(level: float) -> None:
    """Raise ``ValueError`` unless ``level`` is a confidence level such as 0.95."""
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; it must lie between 0 and 1, for instance 0.95")


def mean_of_all(values: Sequence[float | None]) -> float | None:
    """The mean; ``None`` where there is no value or one is unknown.

    >>> mean_of_all([1.0, 2.0]), mean_of_all([1.0, None])
    (1.5, None)
    """
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def seeds_by_clips(values: ArrayLike) -> Floats:
    """Values per clip as finite float64 ``(seeds, clips)``, not empty; a vector is one seed."""
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
    """Values as a finite float64 vector, all above 0 where they must be ``positive``."""
    vector = np.asarray(values, dtype=np.float64)
    if vector.ndim != 1:
        raise ValueError(f"{name} has shape {vector.shape}; expected one dimension")
    if not np.isfinite(vector).all():
        raise ValueError(f"{name} holds {int((~np.isfinite(vector)).sum())} values that are not finite")
    if positive and vector.size and vector.min() <= 0:
        raise ValueError(f"{name} holds {vector.min()}; every value must be above 0")
    return vector


def group_codes(groups: NDArray[Any] | ArrayLike | None, clips: int) -> tuple[Counts, Floats]:
    """The group number of each clip ``(clips,)`` and the clips per group ``(groups,)``; without groups each is one."""
    if groups is None:
        return np.arange(clips, dtype=np.int64), np.ones(clips)
    labels = np.asarray(groups)
    if labels.shape != (clips,):
        raise ValueError(f"groups has shape {labels.shape}; expected one label for each of the {clips} clips")
    _, codes = np.unique(labels, return_inverse=True)
    numbers = codes.astype(np.int64)
    return numbers, np.bincount(numbers).astype(np.float64)
