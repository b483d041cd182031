"""The ways in which clips come to a model's forward: where the data lie, and what is still to be computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from bench.clips import Clips
from bench.data.batches import Batches
from bench.data.decode import decode
from bench.data.waveforms import Fill, fit
from bench.execution.pipeline import Normaliser

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
class Way:
    """One way.

    Attributes:
        kept: What is stored.
        place: Where it lies when a round begins.
        frontend: Computed on the fly; ``None`` where features are stored.
    """

    kept: Kept
    place: Place
    frontend: str | None

    @property
    def name(self) -> str:
        """``int16 waveform cache (disk, page cache warm) + nnaudio``."""
        rest = "" if self.frontend is None else f" + {self.frontend}"
        return f"{KEPT[self.kept]} ({PLACES[self.place]}){rest}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Goods:
    """What the ways deliver: the same clips, kept in each form.

    Attributes:
        clips: The data set.
        rows: Rows of the clips delivered, ``(delivered,)`` int64.
        rule: ``(trim_db, fill)`` of the waveform view, for what is decoded anew.
        files: ``{kept: file}`` of ``int16``, ``float32``, ``float16``; row ``i`` is clip ``rows[i]``.
        shapes: ``{kept: shape of the whole file}``.
        frontends: Modules by name, on the device, in evaluation mode.
        normaliser: Of the training clips; applied to features of every way alike.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
    """

    clips: Clips
    rows: npt.NDArray[np.int64]
    rule: tuple[float | None, Fill]
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
        sounds = self.clips.sounds
        return [] if callable(sounds) else [Path(sounds[row]) for row in self.rows]


def ways_of(frontends: tuple[str, ...], stored: str) -> tuple[Way, ...]:
    """Every way, in the order of the table.

    Args:
        frontends: Frozen front ends that are computed on the fly.
        stored: The front end whose features are stored; its waveforms are also read cold.
    """
    fly = [Way(kept="int16", place="warm", frontend=name) for name in frontends]
    cold = [Way(kept="int16", place="cold", frontend=stored)] if stored in frontends else []
    decoded = [Way(kept="files", place="warm", frontend=name) for name in frontends]
    dtypes: tuple[Kept, ...] = ("float32", "float16")
    places: tuple[Place, ...] = ("cold", "warm", "ram", "device")
    kept = [Way(kept=dtype, place=place, frontend=None) for dtype in dtypes for place in places]
    return (*fly, *cold, *decoded, *kept)


Deliver = Callable[[npt.NDArray[np.int64]], torch.Tensor]
"""``(batch,)`` int64 numbers of delivered clips -> what the model's forward would get, ``(batch, freq, time)``."""


def open_way(way: Way, goods: Goods, batch: int) -> Deliver:
    """Open a way anew: a memory map that no page of has been touched, an array in RAM, or a tensor on the device."""
    finish = _finish(way, goods)
    if way.place == "device":
        held = torch.from_numpy(np.array(_mapped(way, goods))).to(goods.device)

        def take(index: npt.NDArray[np.int64]) -> torch.Tensor:
            chosen = torch.from_numpy(index).to(goods.device)
            return finish(held.index_select(0, chosen).float())

        return take
    source: Any = _mapped(way, goods) if way.kept != "files" else _decoder(goods)
    if way.place == "ram":
        source = np.array(source)
    order = np.arange(len(goods), dtype=np.int64)
    batches = Batches({"audio": source}, np.zeros(len(goods), dtype=np.int64), order, batch)

    def deliver(index: npt.NDArray[np.int64]) -> torch.Tensor:
        return finish(batches.take(index).inputs["audio"].to(goods.device, non_blocking=True))

    return deliver


def rounds_of(clips: int, batch: int, number: int) -> Iterator[npt.NDArray[np.int64]]:
    """Whole batches of one round, shuffled as an epoch is; a few clips are repeated to fill one batch."""
    order = np.random.default_rng(number).permutation(np.arange(clips, dtype=np.int64))
    order = np.resize(order, max(batch, clips // batch * batch))
    yield from order.reshape(-1, batch)


def bytes_to_device(way: Way, goods: Goods) -> int:
    """Bytes of one clip that leave the host as tensors: float32 as the harness converts, before the front end."""
    if way.place == "device":
        return np.dtype(np.int64).itemsize
    form = "int16" if way.kept == "files" else way.kept
    return int(np.prod(goods.shapes[form][1:])) * np.dtype(np.float32).itemsize


def _mapped(way: Way, goods: Goods) -> npt.NDArray[Any]:
    return np.memmap(goods.files[way.kept], dtype=way.kept, mode="r", shape=goods.shapes[way.kept])


def _decoder(goods: Goods) -> Callable[[npt.NDArray[np.int64]], npt.NDArray[np.int16]]:
    clips = goods.clips

    def read(index: npt.NDArray[np.int64]) -> npt.NDArray[np.int16]:
        found = []
        for row in goods.rows[index]:
            samples = decode(clips.sounds, int(row), clips.ids[row], clips.sample_rate).samples
            found.append(fit(samples, clips.clip_samples, clips.sample_rate, goods.rule)[0])
        return np.stack(found)

    return read


def _finish(way: Way, goods: Goods) -> Callable[[torch.Tensor], torch.Tensor]:
    frontend = None if way.frontend is None else goods.frontends[way.frontend]
    normaliser = goods.normaliser
    if frontend is None:
        return normaliser
    return lambda audio: normaliser(frontend(audio))
