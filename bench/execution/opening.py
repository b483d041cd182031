"""A data set before any model sees it: located, decoded once, divided."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from bench.clips import Clips
from bench.data.contents import identified
from bench.data.copies import know_copies
from bench.data.locate import open_clips
from bench.data.waveforms import Waveforms, open_waveforms
from bench.errors import DataError
from bench.job import Job
from bench.planning.fingerprints import Loaded
from bench.plugins.registry import Registry
from bench.protocols.shots import drawn
from bench.protocols.split import Split, make_split

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A data set before any model sees it; ``waveforms`` are ``None`` where its publishers give features."""

    clips: Clips
    waveforms: Waveforms | None
    stand_in: bool = False  # whether they are noise, of which only shapes are asked


class WorkerCache:
    """What estimates that follow each other in one worker share: clips, open waveforms, derived pictures, tokens."""

    def __init__(self) -> None:
        self._kept: dict[Any, Any] = {}

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """What stands under ``key``, made where it is not there yet."""
        if key not in self._kept:
            self._kept[key] = make()
        found: T = self._kept[key]
        return found


def open_data(registry: Registry, job: Job, cache: WorkerCache | None = None, *, stand_in: bool = False) -> Opened:
    """The data set of a job, located and decoded once; ``stand_in``: with noise for recordings, none of which is read.

    Raises:
        DataError: The user's files are others than those that were planned for.
    """
    cache, cell = cache or WorkerCache(), job.cell
    entry = registry.datasets[cell.data_name]
    source = (cell.dataset, job.data)
    clips = cache.once(source, lambda: identified(open_clips(entry.spec, job.data, load=entry.factory)))
    if cell.dataset not in (cell.data_name, found := Loaded(entry=entry, clips=clips).label):
        raise DataError(f"the data are {found} now, {cell.dataset} when this was planned; run the same command again")
    clips = clips if stand_in else cache.once((*source, "copies"), lambda: know_copies(clips))
    clips = clips.at(registry.models[cell.model].spec.sample_rate)
    waveforms = None
    if clips.features is None and clips.audio is not None:
        rule: dict[str, Any] = {"trim_db": job.recipe.trim_db, "fill": job.recipe.fill}
        key = (*source, clips.sample_rate, *rule.values(), stand_in)
        waveforms = cache.once(key, lambda: _noise(clips) if stand_in else open_waveforms(clips, **rule))
    return Opened(clips=clips, waveforms=waveforms, stand_in=stand_in)


def noise_of(clips: Clips) -> Opened:
    """Clips with noise for recordings."""
    return Opened(clips=clips, waveforms=_noise(clips), stand_in=True)


def _noise(clips: Clips) -> Waveforms:
    shape = (len(clips), clips.clip_samples)
    noise = np.random.default_rng(0).integers(-8000, 8000, (1, clips.clip_samples), dtype=np.int16)
    return Waveforms(
        samples=np.broadcast_to(noise, shape), lengths=np.full(*shape, dtype=np.int64), sample_rate=clips.sample_rate,
        report={}, fingerprint=f"noise {clips.sample_rate} {shape}",
    )  # fmt: skip


def split_for(registry: Registry, clips: Clips, job: Job) -> Split:
    """The split of a cell, its training clips cut to the shots of its recipe, all parts to ``--limit`` clips."""
    cell = job.cell
    protocol = registry.protocols[cell.protocol.partition("@")[0]]
    known_leaks = registry.datasets[cell.data_name].spec.known_leaks
    split = make_split(protocol, clips, cell.fold, seed=cell.seed, known_leaks=known_leaks)
    if (shots := job.recipe.shots) is not None:
        split = replace(split, train=drawn(clips, split.train, cell.fold, seed=cell.seed, shots=shots))
    if job.limit is None:
        return split
    rng = np.random.default_rng(0)
    parts = (split.train, split.validation, split.test)
    train, validation, test = (np.sort(rng.permutation(part)[: job.limit]) for part in parts)
    return replace(split, train=train, validation=validation, test=test)
