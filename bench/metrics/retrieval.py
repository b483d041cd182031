"""How well clips find others of their class by the cosine of their vectors; no classifier is fitted.

Every clip of the test part is a query, the gallery is all other clips of that part but those of the query's own group
(recording, speaker), as in metric learning: Musgrave et al. 2020 (2003.08505); recall at k is their Recall@K, whether
any of the k nearest is of the query's class. Of equal cosines those of other classes come first, so that a constant
vector earns nothing. A query whose class has no other group here is left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

NEAREST = (1, 5, 10)
COLUMNS = ("map", "r_precision", *(f"recall_{k}" for k in NEAREST))
_CHUNK = 512

Floats = npt.NDArray[np.float64]


def retrieved(vectors: npt.NDArray[np.float32], targets: npt.NDArray[np.int64], groups: Sequence[str]) -> Floats:
    """``(clips, 10)``: what each query scores, :data:`COLUMNS`, then what an order at random scores; NaN without one.

    Args:
        vectors: ``(clips, dim)``.
        targets: Class of each clip, int ``(clips,)``.
        groups: Of each clip, ``""`` for one that is alone.
    """
    wide = vectors.astype(np.float64)
    unit = wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-300)
    names = np.where(np.asarray(groups) == "", [f"\n{row}" for row in range(len(targets))], groups)
    _, group = np.unique(names, return_inverse=True)
    found = np.full((len(targets), 2 * len(COLUMNS)), np.nan)
    for start in range(0, len(targets), _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, len(targets)))
        near = unit[rows] @ unit.T  # (queries, clips)
        own, same = group[rows, None] == group, targets[rows, None] == targets
        order = np.lexsort((same, np.where(own, np.inf, -near)))
        kept, hits = (np.take_along_axis(x, order, axis=1) for x in (~own, same & ~own))
        sizes, wanted = kept.sum(axis=1), hits.sum(axis=1)
        asked = wanted > 0
        found[rows[asked]] = np.hstack([_scores(hits[asked], wanted[asked]), _guessed(sizes[asked], wanted[asked])])
    return found


def _scores(hits: npt.NDArray[np.bool_], wanted: npt.NDArray[np.int64]) -> Floats:
    """Of rankings ``(queries, clips)`` with ``wanted`` hits each, those out of the gallery last."""
    upto = hits.cumsum(axis=1)
    precision = (hits * upto / np.arange(1, hits.shape[1] + 1)).sum(axis=1) / wanted
    at = upto[np.arange(len(hits)), wanted - 1] / wanted
    near = [hits[:, :k].any(axis=1) for k in NEAREST]
    return np.stack([precision, at, *near], axis=1).astype(np.float64)


def _guessed(sizes: npt.NDArray[np.int64], wanted: npt.NDArray[np.int64]) -> Floats:
    """The expectation of each score over all orders of galleries of these sizes."""
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, sizes.max(initial=1) + 1))])[sizes]
    others = (wanted - 1) / np.maximum(sizes - 1, 1)
    precision = (harmonic + others * (sizes - harmonic)) / sizes
    places = np.arange(max(NEAREST))  # the chance that none of the first k is wanted is a product over places
    missed = np.clip((sizes - wanted)[:, None] - places, 0, None) / np.maximum(sizes[:, None] - places, 1)
    never = missed.cumprod(axis=1)
    return np.stack([precision, wanted / sizes, *(1 - never[:, k - 1] for k in NEAREST)], axis=1)
