"""How fast each loader's data reach the point where a model's forward would begin, and what they occupy."""

from __future__ import annotations

import copy
import ctypes
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from scipy import special

from bench.data.cache import cache_root
from bench.data.decode import to_int16
from bench.data.features import open_features
from bench.execution.pipeline import Normaliser
from bench.measurement.clocks import Clock, device_type, quiet_collector
from bench.measurement.memory import HostPeak
from bench.statistics.results import Interval, Refusal
from bench.studies.frontends.loaders import (
    MEANING,
    Deliver,
    Loader,
    StoredClips,
    StudyData,
    bytes_to_device,
    evict,
    loaders_of,
    not_cold,
    open_loader,
    rounds_of,
    storage_bytes,
    usable,
)

ON_CPU = "the device is the CPU: its memory is the RAM, see that row"
GENERATED = "the clips are generated, there are no files to decode"
MIN_ROUNDS = 6
"""Below, not even the range of all rounds covers their median in 95 % of cases."""
LEVEL = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """How much is delivered: distinct clips of a round at most, rounds of each loader and batch, clips a batch."""

    clips: int = 128
    rounds: int = 9
    batches: tuple[int, ...] = (16, 32)


BRIEF = Amount(clips=32, rounds=MIN_ROUNDS)
"""For recipes whose rows are not published."""


def measure_delivery(data: StudyData, device: str, amount: Amount | None = None) -> dict[str, Any]:
    """The delivery table.

    Every loader is opened anew for every round, delivers the same clips in the same order and normalises them alike;
    the model takes no part. Times are wall times of a synchronised round.

    Returns:
        ``rows`` (one per loader: ``name``, ``kept``, ``place``, ``frontend``, ``rates`` by batch, bytes per clip, host
        memory, ``reasons``), ``clips``, ``rounds``, ``batches``, ``threads``, ``cold`` (what it means).
    """
    amount = amount or (Amount() if data.recipe.publishable else BRIEF)
    with stored_clips(data, device, amount.clips) as stored, torch.inference_mode():
        timings = [_Timing(loader, stored, amount.batches) for loader in loaders_of(data.fly, data.stored)]
        for one in timings:
            one.rehearse()
        with quiet_collector():
            for number in range(amount.rounds):
                for one in timings if number % 2 == 0 else reversed(timings):
                    one.round(number)
        return {
            "rows": [one.row() for one in timings], "clips": len(stored), "rounds": amount.rounds,
            "batches": list(amount.batches), "threads": torch.get_num_threads(), "cold": MEANING, "device": device,
        }  # fmt: skip


def rounds_interval(values: Sequence[float]) -> Interval | Refusal:
    """Interval of the median of rounds of one process, from their order statistics: no distribution is assumed.

    Args:
        values: One number per round, ``(rounds,)``.

    Returns:
        The narrowest symmetric pair of order statistics that covers the median with 95 % or more; its ``level`` is
        the exact coverage for independent rounds. A refusal below six rounds.

    >>> rounds_interval([3.0, 1.0, 2.0, 6.0, 5.0, 4.0]).high
    6.0
    """
    ordered, n = sorted(values), len(values)
    if n < MIN_ROUNDS:
        return Refusal(reason=f"{n} rounds: an interval needs at least {MIN_ROUNDS}", have=n, need=MIN_ROUNDS)
    depth = 0
    while 1 - 2 * float(special.bdtr(depth + 1, n, 0.5)) >= LEVEL:
        depth += 1
    coverage = 1 - 2 * float(special.bdtr(depth, n, 0.5))
    return Interval(
        estimate=float(np.median(ordered)), low=ordered[depth], high=ordered[n - 1 - depth], level=coverage,
        method=f"order statistics of {n} rounds of one process",
    )  # fmt: skip


@dataclass(slots=True)
class _Timing:
    """What is known of one loader so far; ``problem`` says why it has no rate, ``seconds`` are by batch."""

    loader: Loader
    stored: StoredClips
    batches: tuple[int, ...]
    problem: str | None = None
    seconds: dict[int, list[float]] = field(default_factory=dict)
    host_mib: float | None = None
    host_reason: str | None = None

    def _evicted(self) -> str | None:
        return evict(self.stored.sources(self.loader.kept)) if self.loader.place == "cold" else None

    def rehearse(self) -> None:
        """First calls, lazy set-up and the page cache out of the way; then the memory of one pass, never timed."""
        if self.loader.place == "device" and device_type(self.stored.device) == "cpu":
            self.problem = ON_CPU
        elif self.loader.kept == "files" and callable(self.stored.data.clips.sounds):
            self.problem = GENERATED
        else:
            self.problem = self._evicted()
        if self.problem is not None:
            return
        for batch in self.batches:
            self._pass(open_loader(self.loader, self.stored, batch), batch, 0)
        _release()
        with HostPeak() as peak:
            batch = max(self.batches)
            self._pass(open_loader(self.loader, self.stored, batch), batch, 0)
        self.host_mib, self.host_reason = peak.growth_mib.value, peak.growth_mib.reason

    def round(self, number: int) -> None:
        """Time one pass of each batch size."""
        for batch in self.batches:
            if self.problem is None:
                self.problem = self._evicted()
            if self.problem is None:
                self.seconds.setdefault(batch, []).append(self._timed(batch, number))

    def _timed(self, batch: int, number: int) -> float:
        """Seconds of one pass. Opening is not timed: what lies in RAM or on the device is there already.

        The memory map is closed on return, as pages of an open one cannot be dropped before the next round.
        """
        deliver = open_loader(self.loader, self.stored, batch)
        before = storage_bytes()
        seconds = Clock(self.stored.device).time(lambda i: self._pass(deliver, batch, i), number)
        if self.loader.place == "cold":
            expected = sum(path.stat().st_size for path in self.stored.sources(self.loader.kept))
            self.problem = not_cold(before, storage_bytes(), expected)
        return seconds

    def _pass(self, deliver: Deliver, batch: int, number: int) -> None:
        for index in rounds_of(len(self.stored), batch, number):
            deliver(index)

    def row(self) -> dict[str, Any]:
        """The loader's line of the table."""
        loader, sources = self.loader, self.stored.sources(self.loader.kept)
        disk = sum(path.stat().st_size for path in sources) / len(self.stored) if sources else None
        unknown = {
            "rates": self.problem,
            "disk_bytes": GENERATED if disk is None else None,
            "host_mib": self.host_reason or self.problem or "not measured" if self.host_mib is None else None,
        }
        return {
            "name": loader.name, "kept": loader.kept, "place": loader.place, "frontend": loader.frontend,
            "rates": {str(batch): None if self.problem else self._rate(batch) for batch in self.batches},
            "disk_bytes": disk, "device_bytes": bytes_to_device(loader, self.stored), "host_mib": self.host_mib,
            "reasons": {name: reason for name, reason in unknown.items() if reason},
        }  # fmt: skip

    def _rate(self, batch: int) -> dict[str, Any]:
        """Clips per second: the median of the rounds, all of them, and the interval or why there is none."""
        delivered = sum(len(index) for index in rounds_of(len(self.stored), batch, 0))
        rates = [delivered / one for one in self.seconds[batch]]
        interval = rounds_interval(rates)
        known = {"clips_per_s": float(np.median(rates)), "rounds": rates}
        if isinstance(interval, Refusal):
            return {**known, "interval": None, "reason": interval.reason}
        return {**known, "interval": [interval.low, interval.high], "level": interval.level}


def _release() -> None:
    """Give freed memory back to the system where the C library can, or its reuse would hide what a pass takes."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _path(values: npt.NDArray[Any]) -> Path:
    """The file behind a memory map."""
    if not isinstance(values, np.memmap) or values.filename is None:
        raise TypeError(f"stored features are a {type(values).__name__}; a memory map of a file is needed")
    return Path(values.filename)


@contextmanager
def stored_clips(data: StudyData, device: str, most: int) -> Iterator[StoredClips]:
    """The same clips in each form, in files of their own beside the cache, gone afterwards."""
    rows = np.asarray(usable(data.clips)[:most], dtype=np.int64)
    some = replace(data.waveforms, samples=data.waveforms.samples[rows], lengths=data.waveforms.lengths[rows])
    root = cache_root()
    root.mkdir(parents=True, exist_ok=True)
    # Beside the cache and not in the system's temporary folder: that may lie in memory, where nothing is ever cold.
    with tempfile.TemporaryDirectory(prefix="delivery-", dir=root) as folder:
        files, shapes = {"int16": Path(folder) / "samples.i16"}, {"int16": some.samples.shape}
        samples = np.asarray(some.samples)
        (samples if samples.dtype == np.int16 else to_int16(samples.astype(np.float32))).tofile(files["int16"])
        normaliser = Normaliser()
        dtypes: tuple[Literal["float32", "float16"], ...] = ("float32", "float16")
        for dtype in dtypes:
            kept = open_features(some, data.frontends[data.stored], key=data.stored, dtype=dtype, cache=Path(folder))
            files[dtype], shapes[dtype] = _path(kept.values), kept.values.shape
            if dtype == "float32" and data.recipe.normalise != "none":
                normaliser.fit([torch.from_numpy(np.array(kept.values))], data.recipe.normalise)
            del kept  # a memory map that is open keeps its pages in the cache
        modules = {name: copy.deepcopy(data.frontends[name]).to(device) for name in data.fly}
        yield StoredClips(
            data=data, rows=rows, files=files, shapes=shapes, frontends=modules, normaliser=normaliser.to(device),
            device=device,
        )  # fmt: skip
