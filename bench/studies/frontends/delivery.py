"""How fast each feeding's data reach the point where a model's forward would begin, and what they occupy."""

from __future__ import annotations

import ctypes
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from scipy import special
from torch import nn

from bench.clips import Clips
from bench.data.cache import cache_root
from bench.data.decode import to_int16
from bench.data.features import open_features
from bench.data.waveforms import Waveforms
from bench.execution.pipeline import Normaliser
from bench.measurement.clocks import clock_for, device_type, quiet_collector
from bench.measurement.memory import HostPeak
from bench.recipe import Recipe
from bench.statistics import Interval, Refusal
from bench.studies.frontends.loaders import Deliver, Goods, Way, bytes_to_device, open_way, rounds_of, ways_of
from bench.studies.frontends.page_cache import MEANING, evict, not_cold, storage_bytes

ON_CPU = "the device is the CPU: its memory is the RAM, see that row"
GENERATED = "the clips are generated, there are no files to decode"
MIN_ROUNDS = 6
"""Below, not even the range of all rounds covers their median in 95 % of cases."""
LEVEL = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is delivered.

    Attributes:
        clips: Distinct clips of a round, at most.
        rounds: Timed rounds of each way and batch; ways take turns in alternating order.
        batches: Clips a batch.
    """

    clips: int = 128
    rounds: int = 9
    batches: tuple[int, ...] = (16, 32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """What is delivered.

    Attributes:
        clips: The data set.
        waveforms: Its decoded clips.
        recipe: For trimming, filling and normalisation.
        frontends: By name, in evaluation mode, on the CPU: those computed on the fly and the stored one.
        fly: Names of the frozen ones that are computed on the fly.
        stored: Name of the one whose features are stored.
    """

    clips: Clips
    waveforms: Waveforms
    recipe: Recipe
    frontends: Mapping[str, nn.Module]
    fly: tuple[str, ...]
    stored: str


BRIEF = Plan(clips=32, rounds=MIN_ROUNDS)
"""For recipes whose rows are not published."""


def measure_delivery(stock: Stock, device: str, plan: Plan | None = None) -> dict[str, Any]:
    """The delivery table.

    Every way is opened anew for every round, delivers the same clips in the same order and normalises them alike;
    the model takes no part. Times are wall times of a synchronised round.

    Args:
        stock: Clips and front ends.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        plan: How much; by default what the recipe is worth.

    Returns:
        ``rows`` (see :func:`_row`), ``clips``, ``rounds``, ``batches``, ``threads``, ``cold`` (what it means).
    """
    plan = plan or (Plan() if stock.recipe.publishable else BRIEF)
    with _goods(stock, device, plan.clips) as goods, torch.inference_mode():
        ways = ways_of(stock.fly, stock.stored)
        found = [_Found(way=way, problem=_barred(way, goods)) for way in ways]
        for one in found:
            if one.problem is None:
                _rehearse(one, goods, plan)
        with quiet_collector():
            for number in range(plan.rounds):
                for one in found if number % 2 == 0 else reversed(found):
                    _round(one, goods, plan, number)
        rows = [_row(one, goods, plan) for one in found]
        return {
            "rows": rows, "clips": len(goods), "rounds": plan.rounds, "batches": list(plan.batches),
            "threads": torch.get_num_threads(), "cold": MEANING, "device": device,
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
class _Found:
    """What is known of one way so far; ``problem`` says why it has no rate, ``seconds`` are by batch."""

    way: Way
    problem: str | None
    seconds: dict[int, list[float]] = field(default_factory=dict)
    host_mib: float | None = None
    host_reason: str | None = None


def _barred(way: Way, goods: Goods) -> str | None:
    if way.place == "device" and device_type(goods.device) == "cpu":
        return ON_CPU
    if way.kept == "files" and callable(goods.clips.sounds):
        return GENERATED
    return evict(goods.sources(way.kept)) if way.place == "cold" else None


def _rehearse(one: _Found, goods: Goods, plan: Plan) -> None:
    """First calls, lazy set-up and the page cache out of the way; then the memory of one pass, never timed."""
    for batch in plan.batches:
        _pass(open_way(one.way, goods, batch), goods, batch, 0)
    _release()
    with HostPeak() as peak:
        batch = max(plan.batches)
        _pass(open_way(one.way, goods, batch), goods, batch, 0)
    one.host_mib, one.host_reason = peak.growth_mib.value, peak.growth_mib.reason


def _release() -> None:
    """Give freed memory back to the system where the C library can, or its reuse would hide what a pass takes."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _round(one: _Found, goods: Goods, plan: Plan, number: int) -> None:
    for batch in plan.batches:
        if one.problem is None and one.way.place == "cold":
            one.problem = evict(goods.sources(one.way.kept))
        if one.problem is None:
            one.seconds.setdefault(batch, []).append(_timed(one, goods, batch, number))


def _timed(one: _Found, goods: Goods, batch: int, number: int) -> float:
    """Seconds of one pass. Opening is not timed: what lies in RAM or on the device is there already.

    The memory map is closed on return, as pages of an open one cannot be dropped before the next round.
    """
    deliver = open_way(one.way, goods, batch)
    before = storage_bytes()
    seconds = clock_for(goods.device).time(lambda i: _pass(deliver, goods, batch, i), number)
    if one.way.place == "cold":
        expected = sum(path.stat().st_size for path in goods.sources(one.way.kept))
        one.problem = not_cold(before, storage_bytes(), expected)
    return seconds


def _pass(deliver: Deliver, goods: Goods, batch: int, number: int) -> None:
    for index in rounds_of(len(goods), batch, number):
        deliver(index)


def _row(one: _Found, goods: Goods, plan: Plan) -> dict[str, Any]:
    """One way: ``name``, ``kept``, ``place``, ``frontend``, ``rates``, bytes per clip, host memory, ``reasons``."""
    way = one.way
    reasons = {} if one.problem is None else {"rates": one.problem}
    sources = goods.sources(way.kept)
    disk = sum(path.stat().st_size for path in sources) / len(goods) if sources else None
    if disk is None:
        reasons["disk_bytes"] = GENERATED
    if one.host_mib is None:
        reasons["host_mib"] = one.host_reason or one.problem or "not measured"
    rates = {str(batch): None if one.problem else _rate(one.seconds[batch], goods, batch) for batch in plan.batches}
    return {
        "name": way.name, "kept": way.kept, "place": way.place, "frontend": way.frontend, "rates": rates,
        "disk_bytes": disk, "device_bytes": bytes_to_device(way, goods), "host_mib": one.host_mib, "reasons": reasons,
    }  # fmt: skip


def _rate(seconds: Sequence[float], goods: Goods, batch: int) -> dict[str, Any]:
    """Clips per second: the median of the rounds, all of them, and the interval or why there is none."""
    delivered = sum(len(index) for index in rounds_of(len(goods), batch, 0))
    rates = [delivered / one for one in seconds]
    interval = rounds_interval(rates)
    known = {"clips_per_s": float(np.median(rates)), "rounds": rates}
    if isinstance(interval, Refusal):
        return {**known, "interval": None, "reason": interval.reason}
    return {**known, "interval": [interval.low, interval.high], "level": interval.level}


def _path(values: npt.NDArray[Any]) -> Path:
    """The file behind a memory map."""
    if not isinstance(values, np.memmap) or values.filename is None:
        raise TypeError(f"stored features are a {type(values).__name__}; a memory map of a file is needed")
    return Path(values.filename)


@contextmanager
def _goods(stock: Stock, device: str, most: int) -> Iterator[Goods]:
    """The same clips in each form, in files of their own beside the cache, gone afterwards."""
    clips, waveforms, recipe = stock.clips, stock.waveforms, stock.recipe
    usable = [row for row, name in enumerate(clips.ids) if name not in clips.listed_bad]
    rows = np.asarray(usable[:most], dtype=np.int64)
    some = replace(waveforms, samples=waveforms.samples[rows], lengths=waveforms.lengths[rows])
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
            kept = open_features(some, stock.frontends[stock.stored], key=stock.stored, dtype=dtype, cache=Path(folder))
            files[dtype], shapes[dtype] = _path(kept.values), kept.values.shape
            if dtype == "float32" and recipe.normalise != "none":
                normaliser.fit([torch.from_numpy(np.array(kept.values))], recipe.normalise)
            del kept  # a memory map that is open keeps its pages in the cache
        modules = {name: module.to(device) for name, module in stock.frontends.items()}
        yield Goods(
            clips=clips, rows=rows, rule=(recipe.trim_db, recipe.fill), files=files, shapes=shapes,
            frontends=modules, normaliser=normaliser.to(device), device=device,
        )  # fmt: skip
