"""Long clips before a frozen network: whole, their beginning, or windows whose embeddings are averaged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.cell import FROZEN, Cell, modality_of
from bench.clips import TaskInfo
from bench.data.batches import Batch
from bench.errors import DataError
from bench.recipe import Recipe

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """How a network hears a waveform: whole (``size`` 0), or ``size`` samples every ``hop``.

    A clip's vector is the mean of those of its windows. One that is less than half sound is left out, unless it is the
    first.
    """

    size: int = 0
    hop: int = 0

    @classmethod
    def of(cls, recipe: Recipe, task: TaskInfo, long: object) -> Windows:
        """As a recipe says, for a network that takes the clips of ``task``, where there are ``long`` ones."""
        if long is None:
            return cls()
        hop = max(1, round((recipe.hop_s or recipe.window_s) * task.sample_rate))
        return cls(size=task.clip_samples, hop=hop)

    def average(self, embed: Callable[[Batch], dict[str, Floats]], batch: Batch) -> dict[str, Floats]:
        """What ``embed`` makes of a batch, ``(batch, dim)`` by name, as the mean over each clip's windows."""
        total: dict[str, Floats] = {}
        counts = np.zeros((len(batch), 1), dtype=np.float32)
        for places, part in self._cut(batch):
            for name, x in embed(part).items():
                total.setdefault(name, np.zeros((len(batch), x.shape[1]), dtype=np.float32))[places] += x
            counts[places] += 1
        return {name: x / counts for name, x in total.items()}

    def joined(self, frames: Callable[[Batch], list[Floats]], batch: Batch) -> list[Floats]:
        """What ``frames`` gives for each clip of a batch, ``(steps, ...)``, one window behind the other."""
        parts: list[list[Floats]] = [[] for _ in range(len(batch))]
        for places, part in self._cut(batch):
            for place, one in zip(places, frames(part), strict=True):
                parts[place].append(one)
        return [np.concatenate(each) for each in parts]

    def _cut(self, batch: Batch) -> Iterator[tuple[npt.NDArray[np.int64], Batch]]:
        """The windows of a batch, one of each clip at a time, with the places of the clips that have one."""
        if not self.size or "audio" not in batch.inputs:
            yield np.arange(len(batch)), batch
            return
        import torch  # estimators come here without it

        audio = batch.inputs["audio"]  # (batch, samples)
        own = batch.inputs.get("audio_samples", torch.full((len(batch),), audio.shape[1], device=audio.device))
        for start in range(0, audio.shape[1], self.hop):
            heard = (own - start).clamp(0, self.size)
            rows = torch.nonzero((heard * 2 >= self.size) | (start == 0))[:, 0]
            if not len(rows):
                break
            cut = audio[rows, start : start + self.size]
            inputs = {name: x[rows] for name, x in batch.inputs.items()}
            inputs["audio"] = torch.nn.functional.pad(cut, (0, self.size - cut.shape[1]))
            if "audio_samples" in inputs:
                inputs["audio_samples"] = heard[rows]
            places = rows.cpu().numpy()
            yield places, Batch(inputs, batch.targets[places], batch.index[places])


WHOLE = Windows()


def window_of(recipe: Recipe, cell: Cell, task: TaskInfo) -> int:
    """Samples of the windows, or of the crop, that a frozen network hears; 0 where it hears clips whole.

    Raises:
        DataError: Features are stored, which cannot be cut.
    """
    how, size = recipe.long_clips, max(1, round(recipe.window_s * task.sample_rate))
    if how == "native" or cell.mode not in FROZEN or size >= task.clip_samples:
        return 0
    if cell.feeding == "precomputed":
        raise DataError(
            f"recipe.long_clips={how} cuts waveforms, and these features are stored; use --feeding fly, or "
            "--set recipe.long_clips=native"
        )
    return size


def cut(arrays: Mapping[str, Any], window: int, *, keep: bool) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The first ``window`` samples of all waveforms and how many of these are a clip's own; and whole ones to ``keep``.

    Nothing is cut where ``window`` is 0.
    """
    whole = {name: x for name, x in arrays.items() if modality_of(name) == "audio"}
    if not window or not whole:
        return {}, None
    first = {name: x[:, :window] if x.ndim == 2 else np.minimum(x, window) for name, x in whole.items()}
    return first, whole if keep else None
