"""What networks make of clips before their classifier: computed, drawn in a plane, put into clusters.

Source: t-SNE, van der Maaten & Hinton, JMLR 9 (2008).
"""

from __future__ import annotations

import functools
import time
import warnings
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
from bench.execution.windows import WHOLE, Windows

MIN_CLIPS = 20
"""With fewer clips neither a map nor clusters mean anything."""
MAX_CLIPS = 2000
"""With more, t-SNE would take longer than most cells."""
PERPLEXITY = 30.0

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Embeddings:
    """What a network makes of the clips at ``index`` before its classifier: ``(clips, dim)`` float32 by name.

    The only name is ``""`` where ``embed`` returns one tensor.
    """

    values: dict[str, Floats]
    index: npt.NDArray[np.int64]
    seconds: float

    @property
    def dims(self) -> dict[str, int]:
        """Width of each by name."""
        return {name: self.values[name].shape[1] for name in sorted(self.values)}

    def joined(self) -> Floats:
        """All of them side by side in the order of their names, ``(clips, sum of dims)``."""
        return np.concatenate([self.values[name] for name in sorted(self.values)], axis=1)


def can_embed(pipeline: Pipeline) -> bool:
    """Whether the model has ``embed(**inputs)``."""
    return callable(getattr(pipeline.model, "embed", None))


def require(pipeline: Pipeline) -> None:
    """Refuse a model that cannot embed.

    Raises:
        PluginError: It has no ``embed``.
    """
    if not can_embed(pipeline):
        raise PluginError(
            f"{type(pipeline.model).__name__} has no embed(**inputs) -> (batch, dim), which modes probe and knn stand "
            "on; add this method, or use --mode scratch or finetune"
        )


def embed(infer: Inference, batches: Batches, windows: Windows = WHOLE) -> Embeddings:
    """Embed all clips of ``batches`` in their order, in ``eval()`` and without augmentation.

    Raises:
        PluginError: ``embed`` returns another shape than ``(batch, dim)``, or something that is not finite.
    """
    start = time.perf_counter()
    index, parts = zip(*((batch.index, values) for batch, values in batches_of(infer, batches, windows)), strict=True)
    rows = np.concatenate(index)
    names = dict.fromkeys(name for values in parts for name in values)
    joined = {name: np.concatenate([values[name] for values in parts if name in values]) for name in names}
    for name, x in joined.items():
        if len(x) != len(rows):
            raise PluginError(f"embed gave {name!r} for {len(x)} of {len(rows)} clips; give the same names every time")
    check_finite(joined)
    return Embeddings(values=joined, index=rows, seconds=time.perf_counter() - start)


def check_finite(values: Mapping[str, Floats]) -> None:
    """Refuse embeddings that are nan or infinite."""
    for name, x in values.items():
        if not np.isfinite(x).all():
            raise PluginError(f"the embeddings {name!r} of {int((~np.isfinite(x)).any(1).sum())} clips are not finite")


def like(found: Embeddings, known: Embeddings) -> Floats:
    """``found`` side by side as ``known`` is, ``(clips, sum of dims)``.

    Raises:
        PluginError: The names or dimensions differ, so that no classifier fitted on one can score the other.
    """
    if found.dims != known.dims:
        raise unlike(known.dims, "training clips", found.dims, "test clips")
    return found.joined()


def unlike(one: Mapping[str, int], of: str, other: Mapping[str, int], than: str) -> PluginError:
    """That ``embed`` is not the same for all clips."""
    return PluginError(
        f"embed gives {one} (name: dim) for {of} and {other} for {than}; return the same names and dimensions whatever "
        "modalities are there"
    )


def width(infer: Inference, batches: Batches) -> int:
    """Numbers per clip that :func:`embed` gives, from one batch."""
    _, values = next(batches_of(infer, batches))
    return sum(x.shape[1] for x in values.values())


def batches_of(
    infer: Inference, batches: Batches, windows: Windows = WHOLE
) -> Iterator[tuple[Batch, dict[str, Floats]]]:
    """Each batch with its embeddings ``(batch, dim)`` by name; the network's mode is put back."""
    was_training = infer.pipeline.training
    infer.pipeline.eval()
    try:
        for batch in batches.epoch(0):
            yield batch, windows.average(functools.partial(embedded, infer), batch)
    finally:
        infer.pipeline.train(was_training)


def embedded(infer: Inference, batch: Batch) -> dict[str, Floats]:
    """What the network makes of a batch: ``(batch, dim)`` by name."""
    method: Any = infer.pipeline.model.embed
    found = infer(batch, lambda inputs: method(**inputs))
    named = found if isinstance(found, Mapping) else {"": found}
    return {name: _rows(x, name, len(batch)) for name, x in named.items()}


def _rows(x: Any, name: str, batch: int) -> Floats:
    if not isinstance(x, Tensor) or x.ndim != 2 or x.shape[0] != batch:
        got = f"shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
        where = f"embed()[{name!r}]" if name else "embed()"
        raise PluginError(f"{where} is of {got}, expected ({batch}, dim); pool over tokens and time first")
    rows: Floats = x.float().cpu().numpy()
    return rows


def describe_embeddings(
    embeddings: Mapping[str, Floats], classes: int, *, multi_label: bool = False
) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """Maps to draw, clusters and figures of ``(clips, dim)`` embeddings by name; no target is looked at.

    Returns:
        ``(clips, 2)`` float32 coordinates under ``embed_map`` or ``embed_map_NAME``, in units of their own spread; the
        cluster of each clip under ``clusters_NAME``, of as many as there are ``classes``; and for each name the
        dimension and the number of clusters, or the reason there is none. The only name of a single one is
        ``embedding``.
    """
    arrays: dict[str, npt.NDArray[Any]] = {}
    figures: dict[str, Any] = {}
    for name, values in sorted(embeddings.items()):
        shown, reason = name or "embedding", _unfit(values, multi_label=multi_label)
        found: dict[str, Any] = {"reason": reason}
        if not reason:
            standard = _standardised(values)
            arrays[f"embed_map_{name}" if name else "embed_map"] = tsne_map(standard)
            found = {"clusters": classes}
            arrays[f"clusters_{shown}"] = clusters_of(standard, classes)
        figures[shown] = {"dim": int(values.shape[1]), **found}
    return arrays, figures


def joint_clusters(
    found: Embeddings, arrays: Mapping[str, npt.NDArray[Any]], classes: int
) -> dict[str, npt.NDArray[Any]]:
    """``clusters`` of all vectors side by side, those of ``arrays`` where they are the same; nothing if unfit."""
    if len(found.values) == 1:
        made = next((x for name, x in arrays.items() if name.startswith("clusters_")), None)
        return {} if made is None else {"clusters": made}
    joined = found.joined()
    reason = _unfit(joined, multi_label=False)
    return {} if reason else {"clusters": clusters_of(_standardised(joined), classes)}


def _unfit(values: Floats, *, multi_label: bool) -> str:
    if multi_label:
        return "clips have several labels"
    if not MIN_CLIPS <= len(values) <= MAX_CLIPS:
        return f"{len(values)} test clips; drawn for {MIN_CLIPS} to {MAX_CLIPS}"
    if not np.isfinite(values).all():
        return "nan or infinite"
    return ""


def _standardised(values: Floats) -> Floats:
    values = values.astype(np.float32)
    spread = values.std(axis=0)
    alive = spread > 1e-12
    if not alive.any():
        return np.zeros((len(values), 1), dtype=np.float32)
    out: Floats = (values[:, alive] - values[:, alive].mean(axis=0)) / spread[alive]
    return out


def tsne_map(values: Floats) -> Floats:
    """Two coordinates for each row of ``(clips, dim)``, centred, with a largest spread of 1."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    if values.shape[1] > 50:
        values = PCA(50, random_state=0).fit_transform(values) if len(values) > 50 else values
    perplexity = min(PERPLEXITY, (len(values) - 1) / 3)
    start = "pca" if values.shape[1] > 1 else "random"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # constant embeddings: the map says so by being a point
        points = TSNE(2, perplexity=perplexity, init=start, random_state=0, n_jobs=1).fit_transform(values)
    points = points - points.mean(axis=0)
    out: Floats = (points / max(float(points.std(axis=0).max()), 1e-12)).astype(np.float32)
    return out


def clusters_of(values: Floats, classes: int) -> npt.NDArray[np.int64]:
    """The k-means cluster of each row of ``(clips, dim)``, of as many as there are classes."""
    from sklearn.cluster import KMeans

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fewer distinct points than clusters: the figures say so
        found = KMeans(min(classes, len(values)), n_init=10, random_state=0).fit_predict(values)
    return np.asarray(found, dtype=np.int64)
