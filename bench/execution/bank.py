"""Embeddings of every clip, made once by a network that stays as it is, and read by every head, fold, seed and draw.

The key holds whatever changes a vector: weights, code and options of the network, what it makes of two clips of noise
(so that what no list of weights shows is felt), the samples of the clips with their rate, filling and level, the
windows that long clips are cut into, device, precision and library versions.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bench.data.batches import Batch
from bench.data.features import Put, keep_rows
from bench.execution.embeddings import Embeddings, batches_of, check_finite, describe_embeddings, embedded, unlike
from bench.execution.inputs import Inputs
from bench.execution.step import Inference
from bench.execution.trust import batch_mates, check_unchanged, is_coarse, module_state
from bench.execution.weights import output_layer
from bench.execution.windows import Windows
from bench.job import Job
from bench.plugins.registry import Entry
from bench.plugins.specs import ModelSpec
from bench.results.provenance import digest, library_versions, source_hash

CODE_VERSION = 1
_NOISE = 2

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bank:
    """Vectors of every clip of a data set.

    Attributes:
        rows: ``(clips, sum of dims)`` float32, a read-only memory map.
        dims: Width of each part by name, in the order of the columns.
        seconds: What making took, whenever that was.
        batch_mates: Found when they were made; see :func:`bench.execution.trust.batch_mates`.
        fresh: Whether they were made here and now.
        key: 64 hex digits over what they depend on.
    """

    rows: npt.NDArray[np.float32]
    dims: dict[str, int]
    seconds: float
    batch_mates: dict[str, Any]
    fresh: bool
    key: str

    def of(self, index: Indices) -> Embeddings:
        """The vectors of some clips, with the time that making as many took."""
        ends = list(itertools.accumulate(self.dims.values()))[:-1]
        parts = np.split(np.asarray(self.rows[index]), ends, axis=1)
        seconds = self.seconds * len(index) / len(self.rows)
        return Embeddings(values=dict(zip(self.dims, parts, strict=True)), index=index, seconds=seconds)


def keeps(job: Job, data: Inputs) -> bool:
    """Whether vectors of a cell can serve another one.

    They cannot where pre-training in the cell makes the network, where inputs are shuffled or missing, where a cut run
    needs few of them, and where it hears no waveforms that are known by their content.
    """
    plain = data.given == {"audio": "given"} and data.waveforms is not None and not data.stored_features
    return plain and job.limit is None and job.cell.weights != "masked"


def open_bank(infer: Inference, job: Job, data: Inputs, entry: Entry[ModelSpec], once: Callable[[], Any]) -> Bank:
    """The embeddings of all clips, made now or read from the cache.

    Args:
        infer: The frozen network.
        job: Of the cell.
        data: Of the cell, for which :func:`keeps` is true.
        entry: The model.
        once: Runs the network as a classifier, so that its own output layer, which embeddings do without, is known.
    """
    windows, size = Windows.of(job.recipe, data.task, data.long), job.recipe.eval_batch
    key = vector_key(infer, job, data, entry, once)
    made: list[bool] = []

    def write(put: Put) -> dict[str, Any]:
        made.append(True)
        state = module_state(infer.pipeline)
        every = np.arange(len(data.clips), dtype=np.int64)
        dims: dict[str, int] = {}
        for _, values in batches_of(infer, data.whole.batches(every, size), windows):
            found = {name: values[name].shape[1] for name in sorted(values)}
            if (dims := dims or found) != found:
                raise unlike(dims, "some clips", found, "others")
            check_finite(values)
            put(np.concatenate([values[name] for name in dims], axis=1))

        def respond(index: Indices) -> npt.NDArray[np.float32]:
            parts = [values for _, values in batches_of(infer, data.whole.batches(index, size), windows)]
            return np.concatenate([np.concatenate([x[name] for name in dims], axis=1) for x in parts])

        mates = batch_mates(respond, every, coarse=is_coarse(job.cell))
        check_unchanged(state, module_state(infer.pipeline))
        return {"dims": dims, "batch_mates": mates}

    rows, header = keep_rows("embeddings", key, write, np.dtype(np.float32))
    return Bank(
        rows=rows, dims=header["dims"], seconds=header["seconds"], batch_mates=header["batch_mates"],
        fresh=bool(made), key=key,
    )  # fmt: skip


def described(
    bank: Bank, index: Indices, classes: int, *, multi_label: bool
) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """What :func:`~bench.execution.embeddings.describe_embeddings` says of some clips, once for all heads and seeds."""

    def write(put: Put) -> dict[str, Any]:
        arrays, figures = describe_embeddings(bank.of(index).values, classes, multi_label=multi_label)
        put(np.column_stack([index, *arrays.values()]))
        return {"figures": figures, "parts": [[name, str(x.dtype), x.ndim] for name, x in arrays.items()]}

    key = digest(["described", CODE_VERSION, bank.key, index.tolist(), classes, multi_label])
    rows, header = keep_rows("maps", key, write, np.dtype(np.float32))
    arrays, start = {}, 1
    for name, dtype, ndim in header["parts"]:  # points have two columns, clusters one
        part = rows[:, start : start + ndim]
        arrays[name], start = (part if ndim == 2 else part[:, 0]).astype(dtype), start + ndim
    return arrays, header["figures"]


def vector_key(infer: Inference, job: Job, data: Inputs, entry: Entry[ModelSpec], once: Callable[[], Any]) -> str:
    """64 hex digits over what changes what a frozen network makes of the clips; arguments as of :func:`open_bank`."""
    pipeline, cell, spec = infer.pipeline, job.cell, entry.spec
    own = output_layer(pipeline.model, once, data.task.num_classes)
    weights = hashlib.sha256()
    for name, x in sorted(pipeline.state_dict().items()):
        if isinstance(x, torch.Tensor) and not (own and name.startswith(f"model.{own}.")):
            weights.update(f"{name} {x.dtype} {tuple(x.shape)}".encode())
            weights.update(x.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    heard = "" if data.waveforms is None else data.waveforms.fingerprint
    return digest(
        [
            "embeddings", CODE_VERSION, weights.hexdigest(), _noise(infer, data),
            source_hash(entry.factory), entry.contents or dict(spec.options), dict(spec.frontend_options),
            cell.frontend, heard, data.task.sample_rate, data.task.clip_samples,
            sorted(data.arrays), job.recipe.long_clips, job.recipe.window_s, job.recipe.hop_s, cell.device,
            cell.precision, library_versions(), [x.shape[1:] for x in data.arrays.values()],
        ]
    )  # fmt: skip


def _noise(infer: Inference, data: Inputs) -> str:
    """A digest of what the network makes of two clips of noise, to four digits of their spread."""
    draw = torch.Generator().manual_seed(0)
    inputs = {"audio": 0.1 * torch.randn(_NOISE, data.task.clip_samples, generator=draw)}
    if "audio_samples" in data.arrays:
        inputs["audio_samples"] = torch.full((_NOISE,), data.task.clip_samples)
    batch = Batch(inputs, torch.zeros(_NOISE, dtype=torch.int64), np.arange(_NOISE))
    found = embedded(infer, batch)
    joined = np.concatenate([found[name] for name in sorted(found)], axis=1).astype(np.float64)
    return digest(np.round(joined / max(float(np.abs(joined).max()), 1e-12), 4).tolist())
