"""Samples: raw seconds, and the summary that a record carries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.measurement.clocks import Seconds
from bench.measurement.readings import Reading, table
from bench.statistics import Refusal, Trend, percentile, trend_test

DRIFT_BLOCKS = 20
DRIFT_TOLERANCE = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Raw times of one clock.

    Attributes:
        seconds: One time per call, shape ``(calls,)``, in the order in which they were taken.
    """

    seconds: Seconds

    @property
    def median(self) -> float:
        """Median, seconds."""
        return float(np.median(self.seconds))

    @property
    def mad(self) -> float:
        """Median absolute deviation from the median, seconds, unscaled."""
        return float(np.median(np.abs(self.seconds - np.median(self.seconds))))

    @property
    def trend(self) -> Trend | Refusal:
        """Whether the times rise or fall over the run by more than 5 %, or why that cannot be said.

        The medians of 20 consecutive blocks are tested, not the samples: on a shared machine neighbouring samples
        are correlated, which a rank test takes for a trend, and single outliers are not drift.
        """
        blocks = np.array_split(self.seconds, min(DRIFT_BLOCKS, len(self.seconds)))
        return trend_test([float(np.median(block)) for block in blocks], tolerance=DRIFT_TOLERANCE)

    @property
    def unsteady(self) -> bool | None:
        """The verdict of :attr:`trend`; ``None`` where there is none."""
        trend = self.trend
        return None if isinstance(trend, Refusal) else trend.unsteady

    def percentile_ms(self, percent: float) -> Reading:
        """A percentile in milliseconds, unknown where the samples are too few to show it.

        Args:
            percent: Strictly between 0 and 100.
        """
        value = percentile(self.seconds, percent)
        return Reading.unknown(value.reason) if isinstance(value, Refusal) else Reading.of(value * 1e3)

    def summary(self) -> dict[str, Any]:
        """JSON values in milliseconds: count, median, MAD, minimum, percentiles, the steady-state verdict."""
        trend = self.trend
        known: dict[str, Any] = {
            "samples": len(self.seconds),
            "median_ms": self.median * 1e3,
            "mad_ms": self.mad * 1e3,
            "min_ms": float(self.seconds.min()) * 1e3,
        }
        percentiles = table({f"p{p}_ms": self.percentile_ms(p) for p in (5, 95, 99)})
        reasons = dict(percentiles.pop("reasons", {}))
        if isinstance(trend, Refusal):
            reasons |= {"unsteady": trend.reason, "drift": trend.reason}
            verdict: dict[str, Any] = {"unsteady": None, "drift": None}
        else:
            verdict = {"unsteady": trend.unsteady, "drift": trend.drift}
        return {**known, **percentiles, **verdict, **({"reasons": reasons} if reasons else {})}
