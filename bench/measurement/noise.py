"""How noisy the machine is, who is busy on it, and what to type about it."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Literal

import numpy as np
import numpy.typing as npt
import psutil

from bench.measurement.machine import CONTENDED_SHARE, governor
from bench.measurement.nvml import process_name

QUIET = 0.05
"""A noise score up to this is a quiet machine."""
UNFIT = 0.25
"""A noise score above this hides what benchmarks are for; so does a load of :data:`UNFIT_LOAD` times the cores."""
UNFIT_LOAD = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """Something that spoils measurements, or a callable that misbehaves.

    Attributes:
        kind: One word for programs: ``noise``, ``neighbour``, ``governor``, ``load``, ``threads``, ``leak``, ...
        level: ``problem``: nothing can be measured before it is mended; ``warning``: times will scatter or mislead.
        message: For people, with the value.
        command: What to type about it; empty where nothing can be typed.
    """

    kind: str
    level: Literal["problem", "warning"] = "warning"
    message: str
    command: str = ""

    def __str__(self) -> str:
        return f"{self.message}: `{self.command}`" if self.command else self.message


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Noise:
    """Times of one fixed piece of work: ``seconds`` of each repetition, shape ``(repetitions,)``."""

    seconds: npt.NDArray[np.float64]

    @property
    def score(self) -> float:
        """Standard deviation over mean (coefficient of variation); 0 is a perfectly quiet machine."""
        return float(self.seconds.std(ddof=1) / self.seconds.mean())

    @property
    def slowest_ratio(self) -> float:
        """Slowest over fastest repetition, 1 or more."""
        return float(self.seconds.max() / self.seconds.min())


def measure_noise(*, repetitions: int = 100, size: int = 256) -> Noise:
    """Repeat a product of float32 matrices and some Python, about 2 ms each, after a tenth as many to warm up."""
    matrix = np.random.default_rng(0).standard_normal((size, size), dtype=np.float32)
    times = []
    for index in range(repetitions + repetitions // 10):
        start = perf_counter()
        product = matrix @ matrix
        sum(range(20_000))
        if index >= repetitions // 10:
            times.append(perf_counter() - start)
        del product
    return Noise(seconds=np.asarray(times, dtype=np.float64))


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """A process of somebody else that computes, with the cores' worth of CPU it used while it was watched."""

    pid: int
    name: str
    cores: float


def busy_neighbours(*, interval_s: float = 0.5, share: float = CONTENDED_SHARE) -> tuple[Neighbour, ...]:
    """Processes outside this one's tree that use CPU now, the busiest first; ``share`` cores' worth count as busy."""
    me = psutil.Process()
    own = {me.pid, *(child.pid for child in me.children(recursive=True))}
    before = {process: _cpu_seconds(process) for process in psutil.process_iter() if process.pid not in own}
    start = perf_counter()
    time.sleep(interval_s)
    found = []
    for process, earlier in before.items():
        now = _cpu_seconds(process)
        if earlier is None or now is None:
            continue
        cores = (now - earlier) / (perf_counter() - start)
        if cores >= share:
            found.append(Neighbour(pid=process.pid, name=process_name(process.pid), cores=cores))
    return tuple(sorted(found, key=lambda neighbour: neighbour.cores, reverse=True))


def _cpu_seconds(process: psutil.Process) -> float | None:
    try:
        times = process.cpu_times()
    except psutil.Error:
        return None
    return float(times.user + times.system)


def diagnose(*, noise: Noise | None = None, neighbours: Sequence[Neighbour] | None = None) -> tuple[Advice, ...]:
    """What on this machine makes times unsteady, with the command that shows or changes it; measured if not given."""
    seen = busy_neighbours() if neighbours is None else neighbours
    score = (measure_noise() if noise is None else noise).score
    current, cores, load = governor(), os.cpu_count() or 1, os.getloadavg()[0]
    found: list[tuple[str, bool, str, str]] = [
        (
            "neighbour",
            False,
            f"process {one.pid} ({one.name}) uses {one.cores:.1f} cores beside the benchmark; stop it or wait",
            f"ps -o pid,etime,pcpu,comm -p {one.pid}",
        )
        for one in seen
    ]
    if score > QUIET:
        message = f"the same work varies by {score:.0%} (above {QUIET:.0%}); see what else runs"
        found.append(("noise", score > UNFIT, message, "top -b -n 1 | head -20"))
    if current not in {None, "performance"}:
        message = f"the CPU governor is {current}; clocks change while the clock runs"
        found.append(("governor", False, message, "sudo cpupower frequency-set -g performance"))
    if load > cores:
        message = f"load average {load:.1f} on {cores} cores; wait for it"
        found.append(("load", load > UNFIT_LOAD * cores, message, "uptime"))
    if "OMP_NUM_THREADS" not in os.environ:
        message = "OMP_NUM_THREADS is not set; the number of threads follows the machine"
        found.append(("threads", False, message, "export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE"))
    return tuple(
        Advice(kind=kind, level="problem" if unfit else "warning", message=message, command=command)
        for kind, unfit, message, command in found
    )
