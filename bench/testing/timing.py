"""Times of a plugin author's own tests: measured by bench's clocks, kept in pytest-benchmark's format."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from bench.measurement.latency import Latency, Samples, Sampling


@dataclass(slots=True, kw_only=True)
class BenchTimer:
    """What the fixture ``bench_timer`` is: call it once, with what is to be timed.

    Attributes:
        fullname: The test's name, by which the gate finds it again.
        measured: Every test's samples so far, by name.
    """

    fullname: str
    measured: dict[str, Samples] = field(default_factory=dict)

    def __call__(self, call: Any, *, device: str = "cpu", sampling: Sampling | None = None) -> Latency:
        """Time ``call(i)``: warmed up, synchronised, Python's collector quiet.

        Args:
            call: Works on the i-th of several distinct inputs, ``i`` modulo their number.
            device: ``cpu``, ``cuda`` or ``cuda:N``.
            sampling: Warm-up and stopping rule; default: 130 samples or more, 1 to 15 s.

        Returns:
            All that was measured; ``latency.host.median`` is the median in seconds.

        Raises:
            BenchError: Unknown device.
        """
        from bench.measurement.latency import measure_latency

        if self.fullname in self.measured:
            pytest.fail("bench_timer times one thing a test: parametrise the test to time several", pytrace=False)
        found = measure_latency(call, device=device, sampling=sampling)
        self.measured[self.fullname] = found.host
        return found


def write_times(path: Path, measured: dict[str, Samples]) -> None:
    """The samples as pytest-benchmark's JSON, which ``bench gate``, ``bench history`` and its own tools read."""
    from bench.measurement.machine import cpu_model

    content = {
        "machine_info": {
            "machine": platform.machine(), "system": platform.system(), "python_version": platform.python_version(),
            "cpu": {"brand_raw": cpu_model(), "count": os.cpu_count()},
        },
        "commit_info": {},
        "benchmarks": [_entry(name, samples) for name, samples in measured.items()],
        "version": "5.0.0",
    }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _entry(fullname: str, samples: Samples) -> dict[str, Any]:
    import numpy as np

    times = samples.seconds
    low, middle, high = (float(value) for value in np.percentile(times, (25, 50, 75)))
    inside = times[(times >= low - 1.5 * (high - low)) & (times <= high + 1.5 * (high - low))]
    mean, deviation = float(times.mean()), float(times.std(ddof=1))
    far, tails = int((np.abs(times - mean) > deviation).sum()), len(times) - len(inside)
    stats = {
        "min": float(times.min()), "max": float(times.max()), "mean": mean, "stddev": deviation,
        "rounds": len(times), "median": middle, "iqr": high - low, "q1": low, "q3": high, "iqr_outliers": tails,
        "stddev_outliers": far, "outliers": f"{far};{tails}", "ld15iqr": float(inside.min()),
        "hd15iqr": float(inside.max()), "ops": 1 / mean, "total": float(times.sum()), "iterations": 1,
        "data": times.tolist(),
    }  # fmt: skip
    name = fullname.rpartition("::")[2]
    return {
        "group": None, "name": name, "fullname": fullname, "params": None, "param": None, "extra_info": {},
        "options": {"disable_gc": True, "timer": "perf_counter", "warmup": True}, "stats": stats,
    }  # fmt: skip
