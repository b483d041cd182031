"""Every GPU of the machine as the driver sees it now: clocks, temperature, throttling, who computes on it. No torch."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import psutil
import pynvml

from bench.measurement.nvml import ask, ask_text, throttle_reasons


def look_at_gpus() -> list[dict[str, Any]] | str:
    """The state of every GPU as JSON values, or the reason why there is none to look at.

    Returns:
        In the driver's order ``index``, ``name``, ``driver``, ``sm_clock_mhz`` (now; low on an idle GPU),
        ``sm_clock_max_mhz``, ``temperature_c``, ``throttled`` (why its clocks are held down, by NVML's names; empty =
        they are not) and ``processes`` (others that compute on it: ``pid``, which in a container may mean nothing, and
        ``name``). What the driver does not tell is ``None``.
    """
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return f"no NVML: {error}"
    try:
        count = int(pynvml.nvmlDeviceGetCount())
        return [_state(index) for index in range(count)] if count else "the driver shows no GPU"
    except pynvml.NVMLError as error:
        return f"NVML does not show the GPUs: {error}"
    finally:
        pynvml.nvmlShutdown()


def _state(index: int) -> dict[str, Any]:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    return {
        "index": index,
        "name": ask_text(lambda: pynvml.nvmlDeviceGetName(handle)),
        "driver": ask_text(pynvml.nvmlSystemGetDriverVersion),
        "sm_clock_mhz": ask(lambda: int(pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM))).value,
        "sm_clock_max_mhz": ask(lambda: int(pynvml.nvmlDeviceGetMaxClockInfo(handle, pynvml.NVML_CLOCK_SM))).value,
        "temperature_c": ask(lambda: int(pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU))).value,
        "throttled": throttle_reasons(handle),
        "processes": _processes(handle),
    }


def _processes(handle: Any) -> list[dict[str, Any]] | None:
    try:
        running: Iterable[Any] = pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
    except pynvml.NVMLError:
        return None
    return [{"pid": one.pid, "name": process_name(one.pid)} for one in running if one.pid != os.getpid()]


def process_name(pid: int) -> str:
    """The program of a process, ``unknown`` where the id cannot be resolved."""
    try:
        return str(psutil.Process(pid).name())
    except psutil.Error:
        return "unknown"
