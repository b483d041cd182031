"""The clocks: ``host`` around a synchronised call, ``device`` by CUDA events."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from bench.errors import BenchError

Seconds = NDArray[np.float64]
Call = Callable[[int], object]
"""``call(i)`` works on the i-th of several distinct inputs, ``i`` modulo their number; its result is ignored."""


def device_type(device: str) -> str:
    """``cpu`` or ``cuda``.

    Args:
        device: ``cpu``, ``cuda`` or ``cuda:N``.

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


class Clock(Protocol):
    """Times single calls and keeps the raw seconds of each."""

    def time(self, call: Call, index: int) -> float:
        """Run ``call(index)`` and return the host seconds until the device was done with it."""
        ...

    def host_seconds(self) -> Seconds:
        """Host seconds of all calls so far, shape ``(calls,)``."""
        ...

    def device_seconds(self) -> Seconds | None:
        """Seconds between the device's own stamps, shape ``(calls,)``; ``None`` where the device has no clock."""
        ...


class HostClock:
    """``perf_counter`` around a call that is done when it returns."""

    def __init__(self) -> None:
        self._host: list[float] = []

    def time(self, call: Call, index: int) -> float:
        """See :class:`Clock`."""
        start = perf_counter()
        call(index)
        seconds = perf_counter() - start
        self._host.append(seconds)
        return seconds

    def host_seconds(self) -> Seconds:
        """See :class:`Clock`."""
        return np.asarray(self._host, dtype=np.float64)

    def device_seconds(self) -> None:
        """See :class:`Clock`; a CPU has no clock apart from the host's."""


class CudaClock:
    """A host clock around a synchronised call, and CUDA events on the current stream."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._host: list[float] = []
        self._events: list[tuple[Any, Any]] = []

    def time(self, call: Call, index: int) -> float:
        """See :class:`Clock`; the device is idle when the clock starts."""
        with torch.cuda.device(self._device):
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
            torch.cuda.synchronize(self._device)
            start = perf_counter()
            begin.record()
            call(index)
            end.record()
            torch.cuda.synchronize(self._device)
            seconds = perf_counter() - start
        self._host.append(seconds)
        self._events.append((begin, end))
        return seconds

    def host_seconds(self) -> Seconds:
        """See :class:`Clock`."""
        return np.asarray(self._host, dtype=np.float64)

    def device_seconds(self) -> Seconds:
        """See :class:`Clock`."""
        return np.asarray([begin.elapsed_time(end) / 1e3 for begin, end in self._events], dtype=np.float64)


def clock_for(device: str) -> Clock:
    """A fresh clock for ``device`` (``cpu``, ``cuda`` or ``cuda:N``)."""
    return HostClock() if device_type(device) == "cpu" else CudaClock(device)


NO_DEVICE_CLOCK = "a CPU has no clock of its own: the device clock coincides with the host clock"
