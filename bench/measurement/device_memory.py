"""Device memory: torch's allocator and the driver's view, MiB; on CPU unknown with the reason."""

from __future__ import annotations

import os
from typing import Any, Self

import pynvml
import torch

from bench.measurement.clocks import device_type, synchronize
from bench.measurement.memory import mib
from bench.measurement.nvml import NvmlMissingError, ask, computing_processes, gpu_handle
from bench.measurement.readings import Reading, table

NAMES = ("device_start_mib", "device_peak_mib", "device_reserved_mib", "device_process_mib", "device_used_mib")
NO_DEVICE = "no CUDA device in use: the memory of a CPU cell is host memory"


def cuda_uuid(device: str) -> str:
    """The driver's name of a CUDA device, ``GPU-...``."""
    return f"GPU-{torch.cuda.get_device_properties(device).uuid}"


class DevicePeak:
    """Peak device memory of one phase: reset after a synchronise, read after a synchronise.

    Warm up before entering, so that workspaces and the CUDA context are not taken for the phase's own. ``readings`` has
    ``device_start_mib`` and ``device_peak_mib`` (allocated by torch at the start and at most), ``device_reserved_mib``
    (held by it at most), ``device_process_mib`` (this process) and ``device_used_mib`` (all) by NVML at the end.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._cuda = device_type(device) == "cuda"
        self._start = 0.0
        self.readings = dict.fromkeys(NAMES, Reading.unknown("the phase has not ended" if self._cuda else NO_DEVICE))

    def __enter__(self) -> Self:
        if self._cuda:
            synchronize(self._device)
            torch.cuda.reset_peak_memory_stats(self._device)
            self._start = mib(torch.cuda.memory_allocated(self._device))
        return self

    def __exit__(self, kind: type[BaseException] | None, *raised: object) -> None:
        if not self._cuda or kind is not None:
            return
        synchronize(self._device)
        self.readings = {
            "device_start_mib": Reading.of(self._start),
            "device_peak_mib": Reading.of(mib(torch.cuda.max_memory_allocated(self._device))),
            "device_reserved_mib": Reading.of(mib(torch.cuda.max_memory_reserved(self._device))),
            **driver_memory(cuda_uuid(self._device)),
        }

    def to_json(self) -> dict[str, Any]:
        """The readings as JSON values, and where each kind comes from."""
        sources = {"allocator": "torch.cuda", "driver": "NVML"} if self._cuda else None
        return {**table(self.readings), "device_sources": sources}


def driver_memory(uuid: str) -> dict[str, Reading]:
    """``device_process_mib`` and ``device_used_mib`` of one GPU by NVML."""
    try:
        with gpu_handle(uuid) as handle:
            return {
                "device_process_mib": _own(handle),
                "device_used_mib": ask(lambda: mib(pynvml.nvmlDeviceGetMemoryInfo(handle).used)),
            }
    except NvmlMissingError as error:
        return {name: Reading.unknown(str(error)) for name in ("device_process_mib", "device_used_mib")}


def _own(handle: Any) -> Reading:
    processes = computing_processes(handle)
    if isinstance(processes, str):
        return Reading.unknown(processes)
    own = [process.usedGpuMemory for process in processes if process.pid == os.getpid()]
    if not own:
        return Reading.unknown("NVML does not show this process (a container hides process ids)")
    return Reading.unknown("NVML shows this process without its memory") if own[0] is None else Reading.of(mib(own[0]))
