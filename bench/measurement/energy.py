"""Energy from hardware counters: NVML for a GPU, RAPL for a CPU package where it is readable; never modelled."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import pynvml

from bench.errors import BenchError
from bench.measurement.nvml import NvmlMissingError, ask, gpu_handle
from bench.measurement.readings import Reading, table

MIN_PERIODS = 100
"""A difference of counter values is trusted over at least so many updates of the counter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyCounter:
    """A counter of joules that only rises (``read``) and starts again from 0 at ``wraps_at_j``, if at all.

    Its ``source`` is ``NVML`` or ``RAPL``; its zero point means nothing.
    """

    read: Callable[[], float]
    source: str
    wraps_at_j: float | None = None

    def since(self, before: float) -> float:
        """Joules since the counter stood at ``before``, with at most one wrap."""
        delta = self.read() - before
        return delta + self.wraps_at_j if delta < 0 and self.wraps_at_j is not None else delta


def unknown_energy(reason: str) -> dict[str, Any]:
    """What :func:`measure_energy` gives where there is no counter."""
    return table(dict.fromkeys(("joules_per_clip", "net_joules_per_clip", "source"), Reading.unknown(reason)))


@contextmanager
def energy_counter(
    *, gpu_uuid: str | None, powercap: Path = Path("/sys/class/powercap")
) -> Iterator[EnergyCounter | str]:
    """The counter that covers the work of a GPU, or of the CPU for ``None``; else the reason why there is none."""
    with ExitStack() as stack:
        found: EnergyCounter | str
        if gpu_uuid is None:
            found = rapl_counter(powercap)
        else:
            try:
                handle = stack.enter_context(gpu_handle(gpu_uuid))
                found = ask(lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)).reason or EnergyCounter(
                    read=lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3, source="NVML"
                )
            except NvmlMissingError as error:
                found = str(error)
        yield found


def rapl_counter(powercap: Path) -> EnergyCounter | str:
    """The sum over all CPU packages, or the reason why there is none."""
    zones = sorted(zone for zone in powercap.glob("intel-rapl:*") if zone.name.count(":") == 1)
    if not zones:
        return "no RAPL: the kernel shows no intel-rapl zone here"
    files = [zone / "energy_uj" for zone in zones]
    try:
        for file in files:
            int(file.read_text(encoding="ascii"))
        limits = [int((zone / "max_energy_range_uj").read_text(encoding="ascii")) for zone in zones]
    except (OSError, ValueError) as error:
        return f"RAPL is not readable: {error.strerror if isinstance(error, OSError) else error}"
    return EnergyCounter(
        read=lambda: sum(int(file.read_text(encoding="ascii")) for file in files) / 1e6,
        source="RAPL",
        wraps_at_j=limits[0] / 1e6 if len(zones) == 1 else None,
    )


def measure_energy(
    step: Callable[[int], int], counter: EnergyCounter, *, idle_s: float = 2.0, max_seconds: float = 30.0
) -> dict[str, Any]:
    """Run ``step`` until the counter has moved 100 times, and divide its difference by the clips.

    Args:
        step: ``step(i)`` processes a batch, waits for the device and returns the clips; at least one, already warm.
        counter: From :func:`energy_counter`.
        idle_s: Seconds of idling before the run, for the idle power; more than 0.
        max_seconds: End of the run in any case; too few counter periods then make the result unknown.

    Returns:
        As JSON values ``joules_per_clip`` and ``net_joules_per_clip`` (less what the same time takes idle), unknown
        where the counter moved too seldom; the raw ``joules``, ``idle_watts``, ``seconds``, ``clips`` and ``periods``
        (updates of the counter seen in the run) behind them; ``source``.

    Raises:
        BenchError: No idle time, or a step that processed nothing.
    """
    if idle_s <= 0:
        raise BenchError(f"idle_s is {idle_s}; give the seconds of idling for the idle power, greater than 0")
    before, start = counter.read(), perf_counter()
    time.sleep(idle_s)
    idle_watts = counter.since(before) / (perf_counter() - start)
    before, start = counter.read(), perf_counter()
    last, periods, clips, index = before, 0, 0, 0
    while periods < MIN_PERIODS and perf_counter() - start < max_seconds:
        clips += step(index)
        index += 1
        now = counter.read()
        periods += now != last
        last = now
    seconds = perf_counter() - start
    if clips < 1:
        raise BenchError(f"{index} steps processed {clips} clips; a step must return the size of its batch")
    joules = counter.since(before)
    few = Reading.unknown(f"{periods} counter periods in the run; {MIN_PERIODS} are needed")
    per_clip = {"joules_per_clip": joules / clips, "net_joules_per_clip": (joules - idle_watts * seconds) / clips}
    return {
        **table({name: few if periods < MIN_PERIODS else Reading.of(value) for name, value in per_clip.items()}),
        "joules": joules,
        "idle_watts": idle_watts,
        "seconds": seconds,
        "clips": clips,
        "periods": periods,
        "source": counter.source,
    }
