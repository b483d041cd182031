"""Host memory: the peak of this process per phase, the process tree, and the kernel's out-of-memory counter.

Never ``ru_maxrss``: a child inherits its parent's. ``VmHWM`` belongs to the process alone and can be reset.
Linux only; elsewhere every reading is unknown, with the reason. No torch.
"""

from __future__ import annotations

import ctypes
import re
import sys
from pathlib import Path
from typing import Self

from bench.measurement.readings import Reading

KIB = 1024
MIB = 1024 * KIB
_PROC = Path("/proc")


def mib(size: float) -> float:
    """Bytes as MiB."""
    return size / MIB


def parse_fields(text: str) -> dict[str, float]:
    """MiB by name from the lines ``Name:   123 kB`` of ``status``, ``smaps_rollup`` or ``meminfo``."""
    found = re.findall(r"^([^:\n]*):[ \t]*([0-9]+)[ \t]+kB[ \t]*$", text, flags=re.MULTILINE)
    return {name: int(size) * KIB / MIB for name, size in found}


def read_field(path: Path, name: str) -> Reading:
    """One field of :func:`parse_fields` in MiB, unknown where the file or the field is missing or barred."""
    try:
        fields = parse_fields(path.read_text(encoding="ascii", errors="replace"))
    except OSError as error:
        return Reading.unknown(f"{path.name} cannot be read: {error.strerror or error}")
    if name not in fields:
        return Reading.unknown(f"{path.name} has no field {name}")
    return Reading.of(fields[name])


def resident(pid: int | str = "self", *, proc: Path = _PROC) -> Reading:
    """Resident set of a process now, MiB (exact: the kernel walks the pages, about 10 ms)."""
    return read_field(proc / str(pid) / "smaps_rollup", "Rss")


def peak_resident(pid: int | str = "self", *, proc: Path = _PROC) -> Reading:
    """``VmHWM``: highest resident set of a process since its start or its last reset, MiB."""
    return read_field(proc / str(pid) / "status", "VmHWM")


def reset_peak(*, proc: Path = _PROC) -> str | None:
    """Set this process's ``VmHWM`` to its resident set of now; returns the reason where the kernel did not do it."""
    try:
        (proc / "self" / "clear_refs").write_text("5", encoding="ascii")
    except OSError as error:
        return f"the peak cannot be reset: writing clear_refs gives {error.strerror or error}"
    return None


def trim() -> None:
    """Give freed memory back to the system, where the C library can (glibc): it keeps what it may need again."""
    if give_back := getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None:
        give_back(0)


class HostPeak:
    """Peak host memory of one phase of this process; what was freed before does not count.

    Example:
        >>> with HostPeak() as peak:
        ...     block = bytearray(8 << 20)
        >>> peak.growth_mib.value is None or peak.growth_mib.value > 7
        True

    Attributes:
        start_mib: Resident set when the phase began.
        peak_mib: Highest resident set in the phase, MiB; unknown until the phase ends.
    """

    def __init__(self, *, proc: Path = _PROC) -> None:
        self._proc = proc
        self._barred: str | None = None
        self.start_mib = Reading.unknown("the phase has not begun")
        self.peak_mib = Reading.unknown("the phase has not ended")

    def __enter__(self) -> Self:
        trim()
        self._barred = reset_peak(proc=self._proc)
        self.start_mib = resident(proc=self._proc)
        return self

    def __exit__(self, *raised: object) -> None:
        self.peak_mib = peak_resident(proc=self._proc) if self._barred is None else Reading.unknown(self._barred)

    @property
    def growth_mib(self) -> Reading:
        """How far the peak lies above the resident set at the start of the phase, MiB, never below 0."""
        for reading in (self.peak_mib, self.start_mib):
            if reading.reason is not None:
                return reading
        return Reading.of(max(0.0, float(self.peak_mib.value or 0) - float(self.start_mib.value or 0)))


def oom_kills(*, root: Path = Path("/")) -> int | None:
    """How often the kernel's out-of-memory killer struck in this process's cgroup (version 1 or 2).

    A supervisor reads it before and after a worker: a worker killed by signal 9 ran out of memory only if the
    number moved. ``None`` where no cgroup shows one.
    """
    for file in _oom_files(root):
        try:
            found = re.search(r"^oom_kill ([0-9]+)\s*$", file.read_text(encoding="ascii"), flags=re.MULTILINE)
        except OSError:
            continue  # not the place where this kernel keeps it: the next one is tried
        if found is not None:
            return int(found[1])
    return None


def _oom_files(root: Path) -> list[Path]:
    """Where the counter may be, the innermost cgroup first: a container often sees its own group as the root."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    groups = {controllers: path for _, controllers, path in (line.split(":", 2) for line in lines if line)}
    files: list[Path] = []
    for key, mount, name in (("memory", "memory", "memory.oom_control"), ("", "", "memory.events")):
        if key in groups:
            parts = [part for part in groups[key].split("/") if part]
            folder = root / "sys/fs/cgroup" / mount
            files += [folder.joinpath(*parts[:depth]) / name for depth in range(len(parts), -1, -1)]
    return files
