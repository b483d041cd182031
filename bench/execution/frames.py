"""What an encoder gives for each step in time before it pools them, of every clip, for a head that pools them itself.

Frames are kept as vectors are (:mod:`bench.execution.bank`), one clip behind the other in one file that is mapped into
memory: only steps of the clip itself are there, so that clips differ in length and padding is nowhere.
"""

from __future__ import annotations

import functools
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from bench.data.batches import Batch
from bench.data.cache import cache_root
from bench.data.features import Put, keep_rows
from bench.errors import DataError, PluginError
from bench.execution.bank import keeps, vector_key
from bench.execution.inputs import Inputs
from bench.execution.step import Inference
from bench.execution.trust import batch_mates, check_unchanged, is_coarse, module_state
from bench.execution.windows import Windows
from bench.job import Job
from bench.plugins.registry import Entry
from bench.plugins.specs import ModelSpec
from bench.results.provenance import digest

CODE_VERSION = 2

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Frames(Sequence[Floats]):
    """Frames of some clips, each ``(steps, layers, dim)`` read when it is asked for.

    Attributes:
        rows: ``(steps of many clips, layers, dim)``, a read-only memory map where they are kept.
        spans: ``(clips, 2)``: where each clip begins and ends there.
        seconds: What making these clips took, whenever that was.
        fresh: Whether they were made here and now.
        key: 64 hex digits over what they depend on; empty where they are not kept.
        batch_mates: How far other batch mates move their means; see :func:`bench.execution.trust.batch_mates`.
    """

    rows: npt.NDArray[Any]
    spans: Indices
    seconds: float
    fresh: bool = True
    key: str = ""
    batch_mates: dict[str, Any]

    def __len__(self) -> int:
        return len(self.spans)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return [self[i] for i in range(len(self))[place]]
        start, end = self.spans[place]
        return np.array(self.rows[start:end], dtype=np.float32)  # writable, as torch wants it


def framed(infer: Inference, batch: Batch) -> list[Floats]:
    """What the network gives for each clip of a batch before pooling, ``(steps, layers, dim)``.

    Raises:
        PluginError: It has no ``frames``, or these are of another shape.
    """
    model: Any = infer.pipeline.model
    wanted = "frames(**inputs) -> (steps, dim) or (steps, layers, dim) for each clip"
    if not callable(getattr(model, "frames", None)):
        raise PluginError(f"{type(model).__name__} has no {wanted}, which ModelSpec(embeds_frames=True) promises")
    found = list(infer(batch, lambda inputs: model.frames(**inputs)))
    if len(found) != len(batch) or not all(isinstance(x, Tensor) and x.ndim in (2, 3) and len(x) for x in found):
        got = ", ".join(str(tuple(getattr(x, "shape", (type(x).__name__,)))) for x in found[:3])
        raise PluginError(f"frames() gave {len(found)} for {len(batch)} clips, of shape {got}; expected {wanted}")
    return [(x if x.ndim == 3 else x[:, None]).float().cpu().numpy() for x in found]


def open_frames(
    infer: Inference, job: Job, data: Inputs, entry: Entry[ModelSpec], once: Callable[[], Any]
) -> Callable[[Indices], Frames]:
    """What gives the frames of clips: all are made now or read from the cache, or those asked for where none is kept.

    Arguments as of :func:`bench.execution.bank.open_bank`.
    """

    def mates(index: Indices) -> dict[str, Any]:
        return batch_mates(functools.partial(_means, infer, job, data), index, coarse=is_coarse(job.cell))

    def held(index: Indices) -> Frames:
        start, parts = time.perf_counter(), list[Any]()
        spans = _spans(_make(infer, job, data, index, parts.append))
        seconds = time.perf_counter() - start
        return Frames(rows=np.concatenate(parts), spans=spans, seconds=seconds, batch_mates=mates(index))

    if not keeps(job, data):
        return held
    every, fresh = np.arange(len(data.clips), dtype=np.int64), list[bool]()

    def write(put: Put) -> dict[str, Any]:
        fresh.append(True)
        state = module_state(infer.pipeline)
        found = {"counts": _make(infer, job, data, every, put), "batch_mates": mates(every)}
        check_unchanged(state, module_state(infer.pipeline))
        return found

    dtype = job.recipe.frame_dtype
    key = digest(["frames", CODE_VERSION, vector_key(infer, job, data, entry, once), dtype])
    rows, header = keep_rows("frames", key, write, np.dtype(dtype))
    spans, clip_s = _spans(header["counts"]), header["seconds"] / len(every)
    return lambda index: Frames(
        rows=rows, spans=spans[index], seconds=clip_s * len(index), fresh=bool(fresh), key=key,
        batch_mates=header["batch_mates"],
    )  # fmt: skip


def _spans(counts: Sequence[int]) -> Indices:
    ends = np.cumsum(counts, dtype=np.int64)
    return np.stack([ends - counts, ends], axis=1)


def _each(infer: Inference, job: Job, data: Inputs, index: Indices) -> Iterator[list[Floats]]:
    """The frames of clips, batch by batch."""
    windows, shape = Windows.of(job.recipe, data.task, data.long), ()
    infer.pipeline.eval()
    for batch in data.whole.batches(index, job.recipe.eval_batch).epoch(0):
        found = windows.joined(functools.partial(framed, infer), batch)
        for one in found:
            if (shape := shape or one.shape[1:]) != one.shape[1:]:
                raise PluginError(f"frames() gave (layers, dim) = {shape} for some clips, {one.shape[1:]} for others")
        yield found


def _means(infer: Inference, job: Job, data: Inputs, index: Indices) -> Floats:
    """``(clips, layers x dim)``: the mean over the steps of each clip."""
    return np.stack([one.mean(0).ravel() for found in _each(infer, job, data, index) for one in found])


def _make(infer: Inference, job: Job, data: Inputs, index: Indices, put: Put) -> list[int]:
    """Hand over the frames of clips one by one; how many each has."""
    counts = list[int]()
    for found in _each(infer, job, data, index):
        for one in found:
            with np.errstate(over="ignore"):  # what a smaller type cannot hold is told below
                stored = one.astype(job.recipe.frame_dtype)
            if not np.isfinite(one).all():
                clip = data.clips.ids[index[len(counts)]]
                raise PluginError(f"frames() gave values that are not finite for clip {clip!r}; guard its logarithms")
            if not np.isfinite(stored).all():
                raise PluginError(f"frames() gave values beyond {stored.dtype}: --set recipe.frame_dtype=float32")
            put(stored)
            counts.append(len(stored))
        if len(counts) == len(found):
            _check_room(sum(counts) / len(counts) * len(index) * stored[:1].nbytes)
    return counts


def _check_room(needed: float) -> None:
    """Refuse after the first batch what the disk has no room for."""
    root = next(place for place in (cache_root(), *cache_root().absolute().parents) if place.exists())
    if needed > (free := shutil.disk_usage(root).free):
        raise DataError(
            f"the frames of all clips take about {needed / 1e9:.1f} GB, {root} has {free / 1e9:.1f} GB left: take one "
            "layer (?layer=N), add --set recipe.frame_dtype=float16, or point BENCH_CACHE at another disk"
        )
