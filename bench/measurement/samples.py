"""Samples: raw seconds, and the summary that a record carries."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bench.measurement.clocks import Seconds
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
    def trend(self) -> Trend | Refusal:
        """Whether the times rise or fall over the run by more than 5 %, or why that cannot be said.

        The medians of 20 consecutive blocks are tested, not the samples: on a shared machine neighbouring samples
        are correlated, which a rank test takes for a trend, and single outliers are not drift.
        """
        blocks = np.array_split(self.seconds, min(DRIFT_BLOCKS, len(self.seconds)))
        return trend_test([float(np.median(block)) for block in blocks], tolerance=DRIFT_TOLERANCE)

    def summary(self) -> dict[str, Any]:
        """JSON values in milliseconds: count, median, MAD, minimum, percentiles, the steady-state verdict."""
        trend, ms = self.trend, self.seconds * 1e3
        steady = {"unsteady": trend, "drift": trend} if isinstance(trend, Refusal) else asdict(trend)
        found: dict[str, Any] = {f"p{p}_ms": percentile(ms, p) for p in (5, 95, 99)}
        found |= {name: steady[name] for name in ("unsteady", "drift")}
        reasons = {name: value.reason for name, value in found.items() if isinstance(value, Refusal)}
        return {
            "samples": len(ms),
            "median_ms": float(np.median(ms)),
            "mad_ms": float(np.median(np.abs(ms - np.median(ms)))),
            "min_ms": float(ms.min()),
            **found,
            **dict.fromkeys(reasons),
            **({"reasons": reasons} if reasons else {}),
        }
