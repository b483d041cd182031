"""NVML: what the driver knows of a GPU. Optional at run time: without a driver there is a reason instead. No torch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import pynvml

from bench.measurement.readings import Number, Reading


class NvmlMissingError(Exception):
    """NVML cannot answer; the text is the reason that a record carries."""


@contextmanager
def gpu_handle(uuid: str | None = None) -> Iterator[Any]:
    """The driver's handle of one GPU, for as long as the block lasts.

    Args:
        uuid: ``GPU-...`` as torch and the driver name it (CUDA's own numbering is not the driver's); ``None`` for
            the only GPU of the machine.

    Raises:
        NvmlMissingError: No driver, no such GPU, or several to choose from.
    """
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise NvmlMissingError(f"no NVML: {error}") from error
    try:
        yield _find(uuid)
    finally:
        pynvml.nvmlShutdown()


def _find(uuid: str | None) -> Any:
    try:
        if uuid is not None:
            return pynvml.nvmlDeviceGetHandleByUUID(uuid)
        count = pynvml.nvmlDeviceGetCount()
        if count == 1:
            return pynvml.nvmlDeviceGetHandleByIndex(0)
    except pynvml.NVMLError as error:
        raise NvmlMissingError(f"NVML does not show the GPU: {error}") from error
    raise NvmlMissingError(f"NVML shows {count} GPUs and none was named")


def ask(query: Callable[[], Number]) -> Reading:
    """The answer of one NVML query, or the driver's reason for giving none."""
    try:
        return Reading.of(query())
    except pynvml.NVMLError as error:
        return Reading.unknown(f"NVML: {error}")


def ask_text(query: Callable[[], Any]) -> str | None:
    """The answer of one NVML query as text, ``None`` where the driver gives none."""
    try:
        answer = query()
    except pynvml.NVMLError:
        return None
    return answer.decode() if isinstance(answer, bytes) else str(answer)


def throttle_reasons(handle: Any) -> list[str] | None:
    """Why the clocks are held down, by NVML's names; an idle GPU is not throttled. ``None`` without an answer."""
    try:
        mask = pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle)
    except pynvml.NVMLError:
        return None
    prefix = "nvmlClocksThrottleReason"
    bits = {name: getattr(pynvml, name) for name in dir(pynvml) if name.startswith(prefix)}
    harmless = {"GpuIdle", "None", "All"}
    short = {name.removeprefix(prefix): bit for name, bit in bits.items() if isinstance(bit, int)}
    return sorted(name for name, bit in short.items() if name not in harmless and bit and mask & bit == bit)


def computing_processes(handle: Any) -> list[Any] | str:
    """What computes on a GPU (``pid``, ``usedGpuMemory``), this process included, or the driver's reason."""
    try:
        return list(pynvml.nvmlDeviceGetComputeRunningProcesses(handle))
    except pynvml.NVMLError as error:
        return f"NVML: {error}"


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


def gpu_count() -> int:
    """GPUs that a process started here may use, at least one.

    Raises:
        NvmlMissingError: There is none.
    """
    there, named = look_at_gpus(), os.environ.get("CUDA_VISIBLE_DEVICES")
    if isinstance(there, str):
        raise NvmlMissingError(there)
    count = len(there) if named is None else min(len(there), len(list(filter(str.strip, named.split(",")))))
    if not count:
        raise NvmlMissingError(f"CUDA_VISIBLE_DEVICES={named!r} hides all {len(there)}")
    return count


def _state(index: int) -> dict[str, Any]:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    running = computing_processes(handle)
    return {
        "index": index,
        "name": ask_text(lambda: pynvml.nvmlDeviceGetName(handle)),
        "driver": ask_text(pynvml.nvmlSystemGetDriverVersion),
        "sm_clock_mhz": ask(lambda: int(pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM))).value,
        "sm_clock_max_mhz": ask(lambda: int(pynvml.nvmlDeviceGetMaxClockInfo(handle, pynvml.NVML_CLOCK_SM))).value,
        "temperature_c": ask(lambda: int(pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU))).value,
        "throttled": throttle_reasons(handle),
        "processes": None
        if isinstance(running, str)
        else [{"pid": one.pid, "name": process_name(one.pid)} for one in running if one.pid != os.getpid()],
    }


def process_name(pid: int) -> str:
    """The program of a process, ``unknown`` where the id cannot be resolved."""
    try:
        return str(psutil.Process(pid).name())
    except psutil.Error:
        return "unknown"
