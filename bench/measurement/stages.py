"""Stages: where the time of one pass goes, compared with the whole pass measured without any stamps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from time import perf_counter
from typing import Any

import numpy as np

from bench.errors import BenchError
from bench.measurement.clocks import Seconds, device_type, quiet_collector, synchronize

TOLERANCE = 0.05
"""How far the stages' sum may lie from the end-to-end time."""

Stage = tuple[str, Callable[[Any], Any]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Breakdown:
    """Seconds of each stage ``(passes, stages)``, and of the pipeline without stamps between ``(passes,)``."""

    names: tuple[str, ...]
    stage_s: Seconds
    end_to_end_s: Seconds

    @property
    def gap(self) -> float:
        """``sum of stages / end to end - 1``, from the medians over the passes."""
        return float(np.median(self.stage_s.sum(axis=1)) / np.median(self.end_to_end_s)) - 1.0

    @property
    def adds_up(self) -> bool:
        """Whether the stages sum to the end-to-end time within 5 %."""
        return abs(self.gap) <= TOLERANCE

    def to_json(self) -> dict[str, Any]:
        """JSON values in milliseconds (medians), with the gap and its verdict."""
        medians = np.median(self.stage_s, axis=0) * 1e3
        return {
            "stages_ms": {name: float(value) for name, value in zip(self.names, medians, strict=True)},
            "end_to_end_ms": float(np.median(self.end_to_end_s)) * 1e3,
            "gap": self.gap,
            "adds_up": self.adds_up,
            "passes": len(self.end_to_end_s),
        }


def measure_stages(
    stages: Sequence[Stage], feed: Callable[[int], Any], *, device: str, passes: int = 20, warmup: int = 3
) -> Breakdown:
    """Time each stage of a pipeline; the device is synchronised after each, so that work is booked where it arose.

    Passes with and without stamps alternate, so that a drift of the machine meets both alike.

    Args:
        stages: ``(name, function)`` in order; each function takes what the one before it returned.
        feed: ``feed(i)`` gives the input of the first stage, outside the clock (``i`` modulo the distinct inputs).
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        passes: Measured passes of either kind, at least 1.
        warmup: Passes of either kind before them, at least 1.

    Raises:
        BenchError: No stages, a name given twice, no passes or an unknown device.
    """
    names = tuple(name for name, _ in stages)
    if not names or len(set(names)) < len(names):
        raise BenchError(f"stages need distinct names and at least one of them, got {list(names)}")
    if passes < 1 or warmup < 1:
        raise BenchError(f"passes and warmup must be 1 or more, got {passes} and {warmup}")
    device_type(device)
    for index in range(warmup):
        _pass(stages, feed(index), device, stamped=True)
        _pass(stages, feed(index), device, stamped=False)
    staged, whole = [], []
    with quiet_collector():
        for index in range(warmup, warmup + passes):
            staged.append(_pass(stages, feed(index), device, stamped=True))
            whole.append(_pass(stages, feed(index), device, stamped=False))
    stage_s, end_to_end_s = np.asarray(staged, dtype=np.float64), np.asarray(whole, dtype=np.float64)[:, 0]
    return Breakdown(names=names, stage_s=stage_s, end_to_end_s=end_to_end_s)


def _pass(stages: Sequence[Stage], value: Any, device: str, *, stamped: bool) -> list[float]:
    """Seconds of each stage, or of all of them together with no stamp between."""
    synchronize(device)
    stamps = [perf_counter()]
    for place, (_, function) in enumerate(stages, start=1):
        value = function(value)
        if stamped or place == len(stages):
            synchronize(device)
            stamps.append(perf_counter())
    return [after - before for before, after in pairwise(stamps)]
