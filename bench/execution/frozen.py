"""Frozen networks: what they make of clips before their classifier."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from bench.data.batches import Batch, Batches
from bench.errors import PluginError
from bench.execution.pipeline import Pipeline
from bench.execution.step import Inference

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Embeddings:
    """What a network makes of some clips before its classifier.

    Attributes:
        values: ``(clips, dim)`` float32 by name; the only name is ``""`` where ``embed`` returns one tensor.
        index: ``(clips,)`` positions in the data set.
        seconds: Wall time.
    """

    values: dict[str, Floats]
    index: npt.NDArray[np.int64]
    seconds: float

    def joined(self) -> Floats:
        """All of them side by side in the order of their names, ``(clips, sum of dims)``."""
        return np.concatenate([self.values[name] for name in sorted(self.values)], axis=1)


def can_embed(pipeline: Pipeline) -> bool:
    """Whether the model has ``embed(**inputs)``."""
    return callable(getattr(pipeline.model, "embed", None))


def embed(infer: Inference, batches: Batches) -> Embeddings:
    """Embed all clips of ``batches`` in their order, in ``eval()`` and without augmentation.

    Raises:
        PluginError: ``embed`` returns another shape than ``(batch, dim)``, or something that is not finite.
    """
    start = time.perf_counter()
    parts: dict[str, list[Floats]] = {}
    index = []
    for batch, values in _embedded(infer, batches):
        index.append(batch.index)
        for name, x in values.items():
            parts.setdefault(name, []).append(x)
    rows = np.concatenate(index)
    joined = {name: np.concatenate(found) for name, found in parts.items()}
    for name, x in joined.items():
        if len(x) != len(rows):
            raise PluginError(f"embed gave {name!r} for {len(x)} of {len(rows)} clips; give the same names every time")
        if not np.isfinite(x).all():
            raise PluginError(f"the embeddings {name!r} of {int((~np.isfinite(x)).any(1).sum())} clips are not finite")
    return Embeddings(values=joined, index=rows, seconds=time.perf_counter() - start)


def like(found: Embeddings, known: Embeddings) -> Floats:
    """``found`` side by side as ``known`` is, ``(clips, sum of dims)``.

    Raises:
        PluginError: The names or dimensions differ, so that no classifier fitted on one can score the other.
    """
    ours, theirs = ({name: x.shape[1] for name, x in one.values.items()} for one in (found, known))
    if ours != theirs:
        raise PluginError(
            f"embed gives {theirs} (name: dim) for training clips and {ours} for test clips; return the same names "
            "and dimensions whatever modalities are there"
        )
    return found.joined()


def width(infer: Inference, batches: Batches) -> int:
    """Numbers per clip that :func:`embed` gives, from one batch."""
    _, values = next(_embedded(infer, batches))
    return sum(x.shape[1] for x in values.values())


def _embedded(infer: Inference, batches: Batches) -> Iterator[tuple[Batch, dict[str, Floats]]]:
    pipeline = infer.pipeline
    method: Any = pipeline.model.embed
    was_training = pipeline.training
    pipeline.eval()
    try:
        for batch in batches.epoch(0):
            found = infer(batch, lambda inputs: method(**inputs))
            named = found if isinstance(found, Mapping) else {"": found}
            yield batch, {name: _rows(x, name, len(batch)) for name, x in named.items()}
    finally:
        pipeline.train(was_training)


def _rows(x: Any, name: str, batch: int) -> Floats:
    if not isinstance(x, Tensor) or x.ndim != 2 or x.shape[0] != batch:
        got = f"shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
        where = f"embed()[{name!r}]" if name else "embed()"
        raise PluginError(f"{where} is of {got}, expected ({batch}, dim); pool over tokens and time first")
    rows: Floats = x.float().cpu().numpy()
    return rows
