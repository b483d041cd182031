"""The kernel's page cache: throwing a file out of it, and checking that it really was read from storage again."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import psutil

COLD_SHARE = 0.5
"""A pass counts as cold when the kernel read at least this share of its bytes from storage."""
MEANING = (
    "Cold: the files are closed and synced, then posix_fadvise(DONTNEED) drops their pages before each round; what a "
    "disk or a hypervisor keeps below the kernel is not dropped"
)
NO_CALL = "this system has no posix_fadvise: the page cache cannot be dropped file by file"


def evict(files: Iterable[Path]) -> str | None:
    """Ask the kernel to drop the pages of ``files``; no memory map of them may be open, mapped pages stay.

    Returns:
        ``None``, or the reason why it cannot be done.
    """
    advise = getattr(os, "posix_fadvise", None)
    if advise is None:
        return NO_CALL
    for path in files:
        with path.open("rb") as file:
            try:
                # Pages that wait to be written are not dropped.
                os.fsync(file.fileno())
                advise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            except OSError as error:
                return f"posix_fadvise is refused: {error.strerror or error}"
    return None


def storage_bytes() -> int | None:
    """Bytes that this process has had read from storage so far; ``None`` where the kernel does not count them."""
    try:
        return int(psutil.Process().io_counters().read_bytes)
    except (AttributeError, psutil.Error, OSError):
        return None


def not_cold(before: int | None, after: int | None, expected: int) -> str | None:
    """Why a pass that should have been cold was not, ``None`` where it was.

    Args:
        before: :func:`storage_bytes` before the pass.
        after: The same after it.
        expected: Bytes that the pass needed.

    >>> not_cold(0, 900, 1000) is None
    True
    >>> not_cold(0, 0, 1000)
    'the pages were dropped, yet only 0 of 1000 bytes came from storage (a file system in memory?)'
    """
    if before is None or after is None:
        return "the kernel does not count bytes read from storage, so cold cannot be told from warm"
    if after - before < COLD_SHARE * expected:
        seen = f"{after - before} of {expected} bytes"
        return f"the pages were dropped, yet only {seen} came from storage (a file system in memory?)"
    return None
