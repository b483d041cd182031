"""The cache folder, and folders that appear in it whole or not at all.

Processes need no lock: each builds under a name of its own beside the goal and renames it into place. Whoever comes
second finds the goal occupied, checks it and drops its own copy.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import numpy.typing as npt
import platformdirs

from bench.errors import DataError

_STALE_SECONDS = 24 * 3600
_ATTEMPTS = 5

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Error numbers that mean there is no room: disk, quota, file size limit."""


def cache_root() -> Path:
    """The folder for everything that can be made again: ``BENCH_CACHE``, else the user's cache folder."""
    override = os.environ.get("BENCH_CACHE")
    return Path(override).expanduser() if override else Path(platformdirs.user_cache_path("bench"))


def digest(*parts: object) -> str:
    """64 hex digits over the JSON of ``parts``; anything JSON does not know counts as its ``str``.

    >>> digest("a", 1) == digest("a", 1) != digest("a", 2)
    True
    """
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


@contextlib.contextmanager
def disk_errors(place: Path) -> Iterator[None]:
    """Turn an operating-system error at ``place`` into one :class:`DataError` that says what to do.

    Raises:
        DataError: The disk is full, or ``place`` cannot be written or read.
    """
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
    """A fresh folder beside ``goal``, gone after the block unless :func:`publish` moved it.

    Raises:
        DataError: The folder cannot be made.
    """
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
    """Remove what killed processes left in ``folder``; returns how many leftovers went.

    Args:
        folder: Where :func:`staging` was used.
        older_than: Age in seconds below which a leftover may still belong to a living process.
    """
    limit = time.time() - older_than
    removed = 0
    for leftover in folder.glob(".tmp-*"):
        with contextlib.suppress(FileNotFoundError):
            if max(path.stat().st_mtime for path in (leftover, *leftover.rglob("*"))) < limit:
                shutil.rmtree(leftover, ignore_errors=True)
                removed += 1
    return removed


def publish(built: Path, goal: Path, intact: Callable[[Path], bool]) -> None:
    """Rename ``built`` to ``goal``, unless an intact ``goal`` is there already.

    Args:
        built: A complete folder from :func:`staging`.
        goal: Its final name.
        intact: Whether a folder found at ``goal`` may stay; a torn one is replaced.

    Raises:
        DataError: The rename is refused for another reason than an occupied goal.
    """
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


def write_header(folder: Path, values: Mapping[str, Any]) -> None:
    """Write ``header.json`` with a checksum of its own, flushed to disk."""
    body = json.dumps({"values": dict(values), "digest": digest(dict(values))})
    with disk_errors(folder), (folder / "header.json").open("w", encoding="utf-8") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())


def read_header(folder: Path, sizes: Mapping[str, str]) -> dict[str, Any] | None:
    """The values of ``header.json``, or ``None`` where the folder is missing, torn or altered.

    Args:
        folder: A folder that :func:`publish` put in place.
        sizes: File name -> key of the header that holds its size in bytes.
    """
    try:
        content = json.loads((folder / "header.json").read_text(encoding="utf-8"))
        values: dict[str, Any] = content["values"]
        if content["digest"] != digest(values):
            return None
        if any((folder / name).stat().st_size != values[key] for name, key in sizes.items()):
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return values


class Appender:
    """A new binary file that arrays are appended to; flushed to disk on a clean exit.

    Raises:
        DataError: The disk is full or the file cannot be written.
    """

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
