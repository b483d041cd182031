"""The cache folder, and folders that appear in it whole or not at all.

Processes need no lock to be right: each builds under a name of its own beside the goal and renames it into place.
Whoever comes second finds the goal occupied, checks it and drops its own copy. Where that would be minutes of work, a
lock spares it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import hashlib
import json
import os
import re
import shutil
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import platformdirs

from bench.errors import DataError
from bench.results.reading import parse_json, read_bytes
from bench.textfiles import at_home

_STALE_SECONDS = 24 * 3600
_ATTEMPTS = 5
_SUMMED = 1 << 10
_LEFTOVER = re.compile(r"\.tmp-(\d+|torn)-[0-9a-f]{32}")

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Error numbers that mean there is no room: disk, quota, file size limit."""


def cache_root() -> Path:
    """The folder for everything that can be made again: ``BENCH_CACHE``, else the user's cache folder."""
    override = os.environ.get("BENCH_CACHE")
    return at_home(override) if override else Path(platformdirs.user_cache_path("bench"))


def digest(*parts: object) -> str:
    """64 hex digits over the JSON of ``parts``; anything JSON does not know counts as its ``str``.

    >>> digest("a", 1) == digest("a", 1) != digest("a", 2)
    True
    """
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


@contextlib.contextmanager
def disk_errors(place: Path) -> Iterator[None]:
    """Turn an operating-system error at ``place`` into one :class:`DataError` that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL:
            raise DataError(
                f"no space left while writing {place} ({error.strerror}). Free some space, or point BENCH_CACHE at a "
                "folder on another disk; nothing half-written was kept."
            ) from error
        raise DataError(
            f"cannot write {place}: {error.strerror or error}. Point BENCH_CACHE at a folder you can write."
        ) from error


@contextlib.contextmanager
def staging(goal: Path) -> Iterator[Path]:
    """A fresh folder beside ``goal``, gone after the block unless :func:`publish` moved it."""
    with disk_errors(goal.parent):
        goal.parent.mkdir(parents=True, exist_ok=True)
        sweep(goal.parent)
        temporary = goal.parent / f".tmp-{os.getpid()}-{uuid.uuid4().hex}"
        temporary.mkdir()
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def sweep(folder: Path, *, older_than: float = _STALE_SECONDS) -> int:
    """Remove what processes killed ``older_than`` seconds ago left in ``folder``; returns how many leftovers went."""
    limit = time.time() - older_than
    removed = 0
    for leftover in filter(lambda path: _LEFTOVER.fullmatch(path.name), folder.glob(".tmp-*")):
        with contextlib.suppress(OSError):
            if max(path.stat().st_mtime for path in (leftover, *leftover.rglob("*"))) < limit:
                shutil.rmtree(leftover, ignore_errors=True)
                removed += 1
    return removed


def publish(built: Path, goal: Path, intact: Callable[[Path], bool]) -> None:
    """Rename ``built`` to ``goal``, unless a folder is there that is ``intact``; a torn one is replaced."""
    for _ in range(_ATTEMPTS):
        try:
            built.rename(goal)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                with disk_errors(goal):
                    raise
        else:
            return
        if intact(goal):
            return
        aside = goal.parent / f".tmp-torn-{uuid.uuid4().hex}"
        with contextlib.suppress(FileNotFoundError):
            goal.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)
    raise DataError(f"{goal} is replaced by other processes faster than it can be read; run again.")


def ensure(goal: Path, name: str, write: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """The header of the intact cache entry ``goal``; made first where it is missing or damaged.

    ``write`` writes its file ``name`` into a folder and returns what else the header holds.

    Raises:
        DataError: It cannot be written, or other processes keep replacing it.

    Warns:
        CacheWarning: A damaged entry was set aside.
    """
    there = os.path.lexists(goal)  # asked first: an entry that another process publishes meanwhile is not damaged
    header = read_header(goal, name)
    if header is None:
        if there:
            _set_aside(goal)
        with staging(goal) as folder:
            _write_header(folder, name, write(folder))
            publish(folder, goal, lambda found: read_header(found, name) is not None)
        header = read_header(goal, name)
    if header is None:
        raise DataError(f"the cache entry {goal} vanished or changed while it was read; run again.")
    return header


@contextlib.contextmanager
def one_at_a_time(lock: Path) -> Iterator[None]:
    """Others of this machine wait until what takes long to make is there; they go on where its maker dies."""
    with disk_errors(lock):
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("wb")
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def read_header(folder: Path, name: str) -> dict[str, Any] | None:
    """The values of ``header.json``, or ``None`` where folder, header or file ``name`` are not as written."""
    try:
        content = parse_json(read_bytes(folder / "header.json"))
        values: dict[str, Any] = content["values"]
        stat = (folder / name).stat()
        same = content["digest"] == digest(values) and stat.st_size == values["bytes"]
        same = same and _checksum(folder / name, stat.st_size, stat.st_mtime_ns, stat.st_ino) == values["checksum"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return values if same else None


class CacheWarning(UserWarning):
    """A cache entry was damaged and is made again."""


def _write_header(folder: Path, name: str, values: Mapping[str, Any]) -> None:
    """Write ``header.json`` with a checksum of its own, flushed to disk."""
    with disk_errors(folder):
        stat = (folder / name).stat()
        checksum = _checksum(folder / name, stat.st_size, stat.st_mtime_ns, stat.st_ino)
        whole = {**values, "bytes": stat.st_size, "checksum": checksum}
        with (folder / "header.json").open("w", encoding="utf-8") as file:
            file.write(json.dumps({"values": whole, "digest": digest(whole)}))
            file.flush()
            os.fsync(file.fileno())


def _set_aside(goal: Path) -> None:
    aside = goal.parent / f"damaged-{goal.name}-{uuid.uuid4().hex[:8]}"
    with disk_errors(goal), contextlib.suppress(FileNotFoundError):
        goal.rename(aside)
        message = f"the cache entry {goal} is damaged (its bytes are not those that were written); it is made again"
        warnings.warn(f"{message}. Set aside as {aside}, which can be deleted.", CacheWarning, stacklevel=3)


@functools.lru_cache(maxsize=256)
def _checksum(path: Path, size: int, _mtime_ns: int, _inode: int) -> str:
    """Over sums of 64-bit words along rows of 8 KiB and across: at the speed of memory, once per process and state.

    A byte of another value changes a sum, and so do bytes at another place.
    """
    sums = hashlib.sha256()
    chunk = np.zeros(1 << 20, dtype=np.uint8)
    words = chunk.view("<u8").reshape(-1, _SUMMED)
    with path.open("rb") as file:
        while count := file.readinto(chunk.data):
            chunk[count:] = 0
            for axis in (0, 1):
                sums.update(words.sum(axis=axis, dtype=np.uint64).tobytes())
    return f"{size}:{sums.hexdigest()}"


class Appender:
    """A new binary file that arrays are appended to; flushed to disk on a clean exit."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with disk_errors(path):
            self.file = path.open("wb", buffering=0)

    def __enter__(self) -> Self:
        return self

    def append(self, values: npt.NDArray[Any]) -> None:
        """Write the bytes of ``values`` in C order."""
        rest = memoryview(values.tobytes())
        with disk_errors(self.path):
            while rest:
                rest = rest[self.file.write(rest) :]

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with disk_errors(self.path), self.file:
            if kind is None:
                os.fsync(self.file.fileno())
