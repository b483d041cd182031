"""The facts that go into every record: the machine, the GPU, torch's switches, and who else was busy."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import pynvml

from bench.measurement.machine import CONTENDED_SHARE, describe_light, foreign_cpu
from bench.measurement.nvml import NvmlMissingError, ask, ask_text, computing_processes, gpu_handle, throttle_reasons
from bench.measurement.readings import Number, Reading, table

ALLOCATOR_SETTINGS = (
    "PYTORCH_ALLOC_CONF",
    "PYTORCH_CUDA_ALLOC_CONF",
    "MALLOC_ARENA_MAX",
    "MALLOC_TRIM_THRESHOLD_",
    "GLIBC_TUNABLES",
)


def describe(device: str, *, watch_s: float = 0.2) -> dict[str, Any]:
    """Machine, libraries, torch's settings, GPU and load as JSON values; unknown is ``None``, explained in ``reasons``.

    Take it before and after a measurement: load, clocks, temperature and neighbours are those of the moment.

    Args:
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        watch_s: Seconds to watch the neighbours for, 0.1 or more.

    Returns:
        What :func:`~bench.measurement.machine.describe_light` gives, and ``device``, ``torch``, ``gpu``,
        ``foreign_cpu_cores``, ``contended``.
    """
    light = describe_light()
    reasons = dict(light.pop("reasons"))
    gpu = None if device == "cpu" else describe_gpu(device)
    if gpu is None:
        reasons["gpu"] = "the cell runs on the CPU"
    if "torch" not in sys.modules:
        reasons["torch"] = "not imported: only the threads that it and others are told to take"
    others = foreign_cpu(interval_s=watch_s)
    return {
        **light,
        "device": device,
        "torch": describe_torch(),
        "gpu": gpu,
        "foreign_cpu_cores": others.value,
        "contended": _contended(others, gpu),
        "reasons": reasons,
    }


def describe_torch() -> dict[str, Any]:
    """Threads, precision switches and allocator settings of this process; of a process without torch the threads."""
    if "torch" not in sys.modules:
        return {"threads": int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1))}
    import torch

    cudnn: Any = torch.backends.cudnn  # a module with properties, which the annotations do not show
    return {
        "threads": torch.get_num_threads(),
        "interop_threads": torch.get_num_interop_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "matmul_tf32": torch.backends.cuda.matmul.fp32_precision == "tf32",
        "cudnn_tf32": cudnn.conv.fp32_precision == "tf32",
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "cudnn_deterministic": torch.backends.cudnn.deterministic,
        "cudnn_version": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        "cuda_version": torch.version.cuda,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "mkldnn": torch.backends.mkldnn.is_available(),  # type: ignore[no-untyped-call]
        "allocator_settings": {name: os.environ[name] for name in ALLOCATOR_SETTINGS if name in os.environ},
    }


def describe_gpu(device: str) -> dict[str, Any]:
    """Name, driver, clocks, temperature, power, throttling and foreign processes of a GPU, by NVML where it answers."""
    import torch

    from bench.measurement.clocks import device_type
    from bench.measurement.device_memory import cuda_uuid

    device_type(device)  # refuses what is none
    properties = torch.cuda.get_device_properties(device)
    known: dict[str, Any] = {
        "name": properties.name,
        "memory_mib": properties.total_memory / 2**20,
        "capability": f"{properties.major}.{properties.minor}",
    }
    queries: dict[str, Callable[[Any], Number]] = {
        "sm_clock_mhz": lambda handle: int(pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM)),
        "memory_clock_mhz": lambda handle: int(pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_MEM)),
        "temperature_c": lambda handle: int(pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU)),
        "power_w": lambda handle: pynvml.nvmlDeviceGetPowerUsage(handle) / 1e3,
    }
    try:
        with gpu_handle(cuda_uuid(device)) as handle:
            text = {"driver": ask_text(pynvml.nvmlSystemGetDriverVersion), "throttle_reasons": throttle_reasons(handle)}
            readings = {name: ask(partial(query, handle)) for name, query in queries.items()}
            return {**known, **text, **table({**readings, "foreign_processes": _foreign_processes(handle)})}
    except NvmlMissingError as error:
        names = ("driver", "throttle_reasons", *queries, "foreign_processes")
        return {**known, **table(dict.fromkeys(names, Reading.unknown(str(error))))}


def _foreign_processes(handle: Any) -> Reading:
    """How many other processes compute on the GPU."""
    processes = computing_processes(handle)
    if isinstance(processes, str):
        return Reading.unknown(processes)
    pids = [process.pid for process in processes]
    if pids and os.getpid() not in pids and sys.modules["torch"].cuda.is_initialized():
        return Reading.unknown("NVML shows processes under other ids than this container does")
    return Reading.of(sum(pid != os.getpid() for pid in pids))


def _contended(others: Reading, gpu: dict[str, Any] | None) -> bool | None:
    """Whether others were busy: more than a tenth of the cores, or any foreign process on the GPU."""
    if others.value is None:
        return None
    busy = others.value > CONTENDED_SHARE * (os.cpu_count() or 1)
    return busy or bool(gpu and gpu.get("foreign_processes"))
