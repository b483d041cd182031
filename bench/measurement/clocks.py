"""The clocks: ``host`` around a synchronised call, ``device`` by CUDA events."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bench.errors import BenchError

Seconds = NDArray[np.float64]
Call = Callable[[int], object]
"""``call(i)`` works on the i-th of several distinct inputs, ``i`` modulo their number; its result is ignored."""


def device_type(device: str) -> str:
    """``cpu`` or ``cuda``, of ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        BenchError: Another kind of device, or CUDA where there is none.
    """
    kind = device.split(":", maxsplit=1)[0]
    if kind not in {"cpu", "cuda"}:
        raise BenchError(f"cannot measure on device {device!r}: cpu, cuda and cuda:N are known; type `--device cpu`")
    if kind == "cuda" and not torch.cuda.is_available():
        raise BenchError(f"device {device!r} asked for, but torch sees no CUDA device; type `--device cpu`")
    return kind


def synchronize(device: str) -> None:
    """Wait until the device has done all that was queued; on CPU there is no queue and nothing to wait for."""
    if device_type(device) == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def quiet_collector() -> Iterator[None]:
    """Collect garbage once, then keep Python's cyclic collector out of the timed region."""
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class Clock:
    """Times single calls and keeps the raw seconds of each: ``perf_counter``, and on CUDA events besides."""

    def __init__(self, device: str) -> None:
        self._device, self._cuda = device, device_type(device) == "cuda"
        self._host: list[float] = []
        self._events: list[tuple[Any, Any]] = []

    def time(self, call: Call, index: int) -> float:
        """Run ``call(index)`` and return the host seconds until the device, idle at the start, was done with it."""
        if self._cuda:
            with torch.cuda.device(self._device):
                begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
                torch.cuda.synchronize(self._device)
                start = perf_counter()
                begin.record()
                call(index)
                end.record()
                torch.cuda.synchronize(self._device)
                seconds = perf_counter() - start
            self._events.append((begin, end))
        else:
            start = perf_counter()
            call(index)
            seconds = perf_counter() - start
        self._host.append(seconds)
        return seconds

    def host_seconds(self) -> Seconds:
        """Host seconds of all calls so far, shape ``(calls,)``."""
        return np.asarray(self._host, dtype=np.float64)

    def device_seconds(self) -> Seconds | None:
        """Seconds between the device's own stamps, shape ``(calls,)``; ``None`` on a CPU, which has no clock apart."""
        if not self._cuda:
            return None
        return np.asarray([begin.elapsed_time(end) / 1e3 for begin, end in self._events], dtype=np.float64)
