"""Every GPU of the machine as the driver sees it now: clocks, temperature, throttling, who computes on it. No torch."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import psutil
import pynvml

from bench.measurement.nvml import ask, ask_text, throttle_reasons


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuProcess:
    """A process that computes on a GPU.

    Attributes:
        pid: Its id as the driver gives it; in a container it may mean nothing.
        name: Its program, ``unknown`` where the id cannot be resolved.
    """

    pid: int
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuState:
    """One GPU at one moment; what the driver does not tell is ``None``.

    Attributes:
        index: In the driver's order.
        name: Its model.
        driver: Version of the driver.
        sm_clock_mhz: Clock of its multiprocessors now; low on an idle GPU.
        sm_clock_max_mhz: The highest clock it may reach.
        temperature_c: Degrees Celsius.
        throttled: Why its clocks are held down, by NVML's names; empty = they are not.
        processes: Others that compute on it.
    """

    index: int
    name: str | None
    driver: str | None
    sm_clock_mhz: float | None
    sm_clock_max_mhz: float | None
    temperature_c: float | None
    throttled: tuple[str, ...] | None
    processes: tuple[GpuProcess, ...] | None

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)


def look_at_gpus() -> tuple[GpuState, ...] | str:
    """The state of every GPU, or the reason why there is none to look at."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return f"no NVML: {error}"
    try:
        count = int(pynvml.nvmlDeviceGetCount())
        if count == 0:
            return "the driver shows no GPU"
        return tuple(_state(index) for index in range(count))
    except pynvml.NVMLError as error:
        return f"NVML does not show the GPUs: {error}"
    finally:
        pynvml.nvmlShutdown()


def _state(index: int) -> GpuState:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    held = throttle_reasons(handle)
    return GpuState(
        index=index,
        name=ask_text(lambda: pynvml.nvmlDeviceGetName(handle)),
        driver=ask_text(pynvml.nvmlSystemGetDriverVersion),
        sm_clock_mhz=ask(lambda: int(pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM))).value,
        sm_clock_max_mhz=ask(lambda: int(pynvml.nvmlDeviceGetMaxClockInfo(handle, pynvml.NVML_CLOCK_SM))).value,
        temperature_c=ask(
            lambda: int(pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU)),
        ).value,
        throttled=None if held is None else tuple(held),
        processes=_processes(handle),
    )


def _processes(handle: Any) -> tuple[GpuProcess, ...] | None:
    try:
        running: Iterable[Any] = pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
    except pynvml.NVMLError:
        return None
    return tuple(GpuProcess(pid=one.pid, name=_name(one.pid)) for one in running if one.pid != os.getpid())


def _name(pid: int) -> str:
    try:
        return str(psutil.Process(pid).name())
    except psutil.Error:
        return "unknown"
