"""Latency: one clip at a time, its raw samples and the summary that a record carries."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter, process_time
from typing import Any

import numpy as np

from bench.errors import BenchError
from bench.measurement.clocks import Call, Clock, Seconds, quiet_collector
from bench.measurement.readings import join
from bench.statistics.results import Refusal
from bench.statistics.timing import percentile
from bench.statistics.trend import Trend, trend_test

DRIFT_BLOCKS = 20
DRIFT_TOLERANCE = 0.05
LEAST = 11
"""Samples that a median takes (``samples_needed(50)``); they are taken however long the call is."""


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Raw times of one clock, one per call in the order in which they were taken, shape ``(calls,)``."""

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
        found: dict[str, Any] = {f"p{p}_ms": percentile(ms, p) for p in (5, 95, 99)}
        for name in ("unsteady", "drift"):
            found[name] = trend if isinstance(trend, Refusal) else getattr(trend, name)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How long to warm up and how long to sample; the first call of all is never a sample.

    Sampling ends where both minima are reached, and in any case at either maximum, once there are the 11 samples that
    a median needs.
    """

    warmup_calls: int = 5
    warmup_seconds: float = 0.5
    min_samples: int = 130
    min_seconds: float = 1.0
    max_samples: int = 5000
    max_seconds: float = 15.0

    def __post_init__(self) -> None:
        if self.warmup_calls < 1:
            raise BenchError(f"warmup_calls is {self.warmup_calls}; the first call is never a sample: give 1 or more")
        if not LEAST <= self.min_samples <= self.max_samples:
            raise BenchError(
                f"{LEAST} <= min_samples <= max_samples needed, got {self.min_samples} and {self.max_samples}"
            )

    def enough(self, samples: int, seconds: float) -> bool:
        """Whether to stop after ``samples`` samples that took ``seconds``."""
        if samples < LEAST:
            return False
        full = samples >= self.min_samples and seconds >= self.min_seconds
        return full or samples >= self.max_samples or seconds >= self.max_seconds


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Latency:
    """Batch-1 times of one callable on one device.

    Attributes:
        host: Host clock around the synchronised call.
        device_clock: CUDA events; ``None`` on CPU, where it coincides with ``host``.
        first_call_s: Seconds of the very first call: lazy initialisation, compilation, cold caches.
        warmup_calls: Calls before the first sample, the first one included, which took ``warmup_s`` together.
        wall_s: Wall time of the sampling loop, in which this process took ``cpu_s`` of all threads.
    """

    host: Samples
    device_clock: Samples | None
    first_call_s: float
    warmup_calls: int
    warmup_s: float
    wall_s: float
    cpu_s: float
    clip_seconds: float | None = None

    @property
    def cpu_share(self) -> float:
        """CPU seconds per wall second while sampling, all threads: far below 1 on CPU means kept from running."""
        return self.cpu_s / self.wall_s

    @property
    def real_time_factor(self) -> float | None:
        """Processing seconds per second of sound (below 1 is faster than real time), ``None`` without a length."""
        return None if self.clip_seconds is None else self.host.median / self.clip_seconds

    def to_json(self) -> dict[str, Any]:
        """The host clock's summary at the top, the device clock's under ``device_clock``."""
        missing: dict[str, str] = {}
        if self.device_clock is None:
            missing["device_clock"] = "a CPU has no clock of its own: the device clock coincides with the host clock"
        if self.clip_seconds is None:
            missing["real_time_factor"] = "the length of a clip was not given"
        extra: dict[str, Any] = {
            "clock": "host",
            "batch": 1,
            "first_call_ms": self.first_call_s * 1e3,
            "warmup_calls": self.warmup_calls,
            "warmup_s": self.warmup_s,
            "wall_s": self.wall_s,
            "cpu_share": self.cpu_share,
            "real_time_factor": self.real_time_factor,
            "device_clock": None if self.device_clock is None else self.device_clock.summary(),
        }
        return join(self.host.summary(), {**extra, "reasons": missing} if missing else extra)


def measure_latency(
    call: Call, *, device: str, sampling: Sampling | None = None, clip_seconds: float | None = None
) -> Latency:
    """Time ``call`` one clip at a time.

    Args:
        call: ``call(i)`` runs clip ``i`` of several distinct clips, batch 1, and must take ``i`` modulo their number.
            It neither synchronises nor times anything itself.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        sampling: Warm-up and stopping rule; the default takes 130 samples or more (enough for p5 and p95), 1 s or
            more, and at most 15 s.
        clip_seconds: Length of a clip in seconds, greater than 0.

    Raises:
        BenchError: Unknown device, or a clip length that is not positive.
    """
    if clip_seconds is not None and clip_seconds <= 0:
        raise BenchError(f"clip_seconds is {clip_seconds}; give the length of a clip in seconds, greater than 0")
    rule = sampling or Sampling()
    warm, start = Clock(device), perf_counter()
    first, index = warm.time(call, 0), 1
    while index < rule.warmup_calls or perf_counter() - start < rule.warmup_seconds:
        warm.time(call, index)
        index += 1
    warmed = perf_counter() - start
    clock, taken, wall = Clock(device), 0, 0.0
    with quiet_collector():
        cpu, start = process_time(), perf_counter()
        while not rule.enough(taken, wall):
            clock.time(call, index + taken)
            taken += 1
            wall = perf_counter() - start
        cpu = process_time() - cpu
    stamps = clock.device_seconds()
    return Latency(
        host=Samples(clock.host_seconds()),
        device_clock=None if stamps is None else Samples(stamps),
        first_call_s=first,
        warmup_calls=index,
        warmup_s=warmed,
        wall_s=wall,
        cpu_s=cpu,
        clip_seconds=clip_seconds,
    )
