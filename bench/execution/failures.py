"""From an exception to the status and reason of a record."""

from __future__ import annotations

import torch

from bench.errors import DataError
from bench.execution.pipeline import LogitsShapeError
from bench.execution.step import DivergedError
from bench.results.records import Status


def classify(error: BaseException) -> tuple[Status, str]:
    """``(status, reason)`` of what came out of a cell."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or _host_allocation(error):
        return "oom", "memory"
    kinds: tuple[tuple[type[BaseException], str], ...] = (
        (DivergedError, "nan"),
        (LogitsShapeError, "shape"),
        (DataError, "data"),
        (SystemExit, "exit"),
    )
    return "failed", next((reason for kind, reason in kinds if isinstance(error, kind)), "raised")


def _host_allocation(error: BaseException) -> bool:
    # torch's host allocator has no exception type of its own: it raises a RuntimeError whose text names it.
    return type(error) is RuntimeError and "DefaultCPUAllocator" in str(error)
