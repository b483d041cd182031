"""What the statistics give back: an interval, or a refusal that says why there is none.

A refusal is a value, not an exception: a board shows its reason where the number would stand.
"""

from __future__ import annotations

from dataclasses import dataclass


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
