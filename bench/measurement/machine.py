"""What the machine is and how busy it is, without torch: cheap enough for listing and planning.

Everything here may be published: no host name, no user name, no path of this machine.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil

import bench
from bench.measurement.memory import mib
from bench.measurement.readings import Reading
from bench.results.provenance import LIBRARIES, library_versions

THREAD_SETTINGS = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "OMP_PROC_BIND", "MKL_NUM_THREADS", "KMP_BLOCKTIME")
CONTENDED_SHARE = 0.1
"""Others may use this share of all cores before a measurement counts as contended."""


def describe_light() -> dict[str, Any]:
    """CPU, memory, operating system, libraries and load as JSON values; unknown is ``None``, explained in ``reasons``.

    Returns:
        ``cpu`` (``model``, ``cores``, ``logical_cores``, ``affinity``, ``governor``), ``ram_mib``, ``os``,
        ``kernel``, ``python``, ``libraries``, ``thread_settings``, ``preloaded`` (libraries that replace others'
        functions), ``load_average`` and ``reasons``.
    """
    reasons: dict[str, str] = {}

    def known(name: str, value: Any, reason: str) -> Any:
        if value is None:
            reasons[name] = reason
        return value

    described: dict[str, Any] = {
        "cpu": {
            "model": known("cpu.model", cpu_model(), "the system does not name its CPU"),
            "cores": known("cpu.cores", psutil.cpu_count(logical=False), "the system does not count physical cores"),
            "logical_cores": os.cpu_count(),
            "affinity": sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
            "governor": known("cpu.governor", governor(), "the kernel shows no frequency governor (common in a VM)"),
        },
        "ram_mib": mib(psutil.virtual_memory().total),
        "os": _os_name(),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "libraries": libraries(),
        "thread_settings": {name: os.environ[name] for name in THREAD_SETTINGS if name in os.environ},
        "preloaded": [Path(item).name for item in re.split(r"[\s:]+", os.environ.get("LD_PRELOAD", "")) if item],
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }
    return {**described, "reasons": reasons}


def cpu_model(*, proc: Path = Path("/proc")) -> str | None:
    """The CPU's name as the kernel gives it, ``None`` where it gives none."""
    try:
        lines = (proc / "cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or None
    names = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model"))]
    return names[0] if names else (platform.processor() or platform.machine() or None)


def governor(*, sys: Path = Path("/sys")) -> str | None:
    """The frequency governors in use, joined by ``+``; ``None`` where the kernel shows none."""
    files = sorted((sys / "devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor"))
    names = {file.read_text(encoding="ascii").strip() for file in files}
    return "+".join(sorted(names)) or None


def libraries() -> dict[str, str | None]:
    """Versions of what measures or is measured, ``None`` where not installed or left aside; nothing is imported."""
    installed, aside = library_versions(), {name for name in LIBRARIES if sys.modules.get(name, ...) is None}
    return {"bench-audio": bench.__version__} | {name: None if name in aside else installed[name] for name in LIBRARIES}


def foreign_cpu(*, interval_s: float = 0.2) -> Reading:
    """Cores' worth of CPU that others used over the next moments: other processes, and what a hypervisor took away.

    Own is this process with its descendants. The kernel counts in steps of 10 ms, so watch 0.1 s or more.
    """
    since = watch_foreign_cpu()
    time.sleep(interval_s)
    return since()


def watch_foreign_cpu() -> Callable[[], Reading]:
    """The same from now until what is returned is called."""
    before, own, start = _busy(), _own_cpu(), time.perf_counter()

    def since() -> Reading:
        seconds = time.perf_counter() - start
        return Reading.of(max(0.0, (_busy() - before) - (_own_cpu() - own)) / seconds)

    return since


def _busy() -> float:
    """CPU seconds used on this machine since boot, stolen time included."""
    times = psutil.cpu_times()
    extra = getattr(times, "irq", 0.0) + getattr(times, "softirq", 0.0) + getattr(times, "steal", 0.0)
    return float(times.user + times.system + getattr(times, "nice", 0.0) + extra)


def _own_cpu() -> float:
    me = psutil.Process()
    total = 0.0
    for member in [me, *me.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):  # it ended between the listing and the question
            times = member.cpu_times()
            ended = getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
            total += times.user + times.system + ended
    return total


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()


def hardware_fingerprint(description: Mapping[str, Any]) -> str:
    """Twelve hexadecimal digits that are equal on equal hardware.

    It covers the CPU's model and its logical cores, the class of memory (steps of a factor of the square root of
    two, so that a kernel's reservation does not matter) and, where a GPU is in use, its model and driver, as
    :func:`describe_light` or :func:`bench.measurement.environment.describe` give them.
    """
    cpu, gpu = description["cpu"], description.get("gpu") or {}
    facts = {
        "cpu": cpu["model"],
        "cores": cpu["logical_cores"],
        "ram": round(2 * math.log2(description["ram_mib"])),
        "gpu": gpu.get("name"),
        "driver": gpu.get("driver"),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]
