"""The ways in which clips come to a model's forward: where the data lie, and what is still to be computed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import psutil
import torch
from torch import nn

from bench.clips import Clips
from bench.data.batches import Batches
from bench.data.decode import decode
from bench.data.waveforms import Waveforms, fit
from bench.execution.pipeline import Normaliser
from bench.recipe import Recipe

Kept = Literal["int16", "files", "float32", "float16"]
Place = Literal["warm", "cold", "ram", "device"]
PLACES: Mapping[Place, str] = {
    "warm": "disk, page cache warm", "cold": "disk, page cache cold", "ram": "RAM", "device": "device",
}  # fmt: skip
KEPT: Mapping[Kept, str] = {
    "int16": "int16 waveform cache", "files": "audio files, decoded anew", "float32": "float32 features",
    "float16": "float16 features",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyData:
    """What the study looks at; front ends are on the CPU, in evaluation mode, ``fly`` the frozen ones among them."""

    clips: Clips
    waveforms: Waveforms
    recipe: Recipe
    frontends: Mapping[str, nn.Module]
    fly: tuple[str, ...]
    stored: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Loader:
    """One way for clips to come to the model; ``frontend`` is computed on the fly, ``None`` = features are stored."""

    kept: Kept
    place: Place
    frontend: str | None

    @property
    def name(self) -> str:
        """``int16 waveform cache (disk, page cache warm) + nnaudio``."""
        return f"{KEPT[self.kept]} ({PLACES[self.place]})" + ("" if self.frontend is None else f" + {self.frontend}")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredClips:
    """The same clips ``rows (delivered,)`` in each form: files and shapes by form, front ends on the device."""

    data: StudyData
    rows: npt.NDArray[np.int64]
    files: Mapping[str, Path]
    shapes: Mapping[str, tuple[int, ...]]
    frontends: Mapping[str, nn.Module]
    normaliser: Normaliser
    device: str

    def __len__(self) -> int:
        return len(self.rows)

    def sources(self, kept: Kept) -> list[Path]:
        """The files that hold these clips in this form; none for generated audio."""
        if kept != "files":
            return [self.files[kept]]
        sounds = self.data.clips.sounds
        return [] if callable(sounds) else [Path(sounds[row]) for row in self.rows]


def usable(clips: Clips) -> list[int]:
    """Rows of the clips that are not listed as broken."""
    return [row for row, name in enumerate(clips.ids) if name not in clips.listed_bad]


def loaders_of(frontends: tuple[str, ...], stored: str) -> tuple[Loader, ...]:
    """Every loader, in the order of the table."""
    found: list[tuple[Kept, Place, str | None]] = [("int16", "warm", name) for name in frontends]
    found += [("int16", "cold", stored)] if stored in frontends else []
    found += [("files", "warm", name) for name in frontends]
    dtypes: tuple[Kept, ...] = ("float32", "float16")
    places: tuple[Place, ...] = ("cold", "warm", "ram", "device")
    found += [(dtype, place, None) for dtype in dtypes for place in places]
    return tuple(Loader(kept=kept, place=place, frontend=frontend) for kept, place, frontend in found)


Deliver = Callable[[npt.NDArray[np.int64]], torch.Tensor]
"""``(batch,)`` int64 numbers of delivered clips -> what the model's forward would get, ``(batch, freq, time)``."""


def open_loader(loader: Loader, stored: StoredClips, batch: int) -> Deliver:
    """Open it anew: a memory map that no page of has been touched, an array in RAM, or a tensor on the device."""
    frontend = nn.Identity() if loader.frontend is None else stored.frontends[loader.frontend]
    source: Any = _mapped(loader, stored) if loader.kept != "files" else _decoder(stored)
    if loader.place == "device":
        held = torch.from_numpy(np.array(source)).to(stored.device)
        return lambda index: stored.normaliser(held.index_select(0, torch.from_numpy(index).to(stored.device)).float())
    if loader.place == "ram":
        source = np.array(source)
    order = np.arange(len(stored), dtype=np.int64)
    batches = Batches({"audio": source}, np.zeros(len(stored), dtype=np.int64), order, batch)

    def deliver(index: npt.NDArray[np.int64]) -> torch.Tensor:
        audio = batches.take(index).inputs["audio"].to(stored.device, non_blocking=True)
        features: torch.Tensor = stored.normaliser(frontend(audio))
        return features

    return deliver


def rounds_of(clips: int, batch: int, number: int) -> Iterator[npt.NDArray[np.int64]]:
    """Whole batches of one round, shuffled as an epoch is; a few clips are repeated to fill one batch."""
    order = np.random.default_rng(number).permutation(np.arange(clips, dtype=np.int64))
    order = np.resize(order, max(batch, clips // batch * batch))
    yield from order.reshape(-1, batch)


def bytes_to_device(loader: Loader, stored: StoredClips) -> int:
    """Bytes of one clip that leave the host as tensors: float32 as the harness converts, before the front end."""
    if loader.place == "device":
        return np.dtype(np.int64).itemsize
    form = "int16" if loader.kept == "files" else loader.kept
    return int(np.prod(stored.shapes[form][1:])) * np.dtype(np.float32).itemsize


def _mapped(loader: Loader, stored: StoredClips) -> npt.NDArray[Any]:
    return np.memmap(stored.files[loader.kept], dtype=loader.kept, mode="r", shape=stored.shapes[loader.kept])


def _decoder(stored: StoredClips) -> Callable[[npt.NDArray[np.int64]], npt.NDArray[np.int16]]:
    clips, rule = stored.data.clips, (stored.data.recipe.trim_db, stored.data.recipe.fill)

    def read(row: int) -> npt.NDArray[np.int16]:
        samples = decode(clips.sounds, row, clips.ids[row], clips.sample_rate).samples
        return fit(samples, clips.clip_samples, clips.sample_rate, rule)[0]

    return lambda index: np.stack([read(int(row)) for row in stored.rows[index]])


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
