"""Inputs that are no longer their clip's own: what shuffled modalities do to a cell."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from bench.cell import MODALITIES
from bench.data.batches import Source
from bench.execution.inputs import Inputs, modality_of
from bench.protocols.split import Split

_STREAM = 7
"""Keeps the permutations of shuffled inputs apart from other draws of the same seed."""


def arranged(data: Inputs, split: Split, seed: int) -> Inputs:
    """The data with its ``shuffled`` modalities moved to other clips, each within its part of the split.

    Every clip of a part gets the input of another clip of the same part (a random cycle through them, so that none
    keeps its own unless it is alone), in training and in test: pairing is destroyed, every input still occurs once,
    and no test clip's input is seen in training.

    Args:
        data: As :func:`prepare` made it; the same object is returned where nothing is shuffled.
        split: The division of the cell.
        seed: Of the cell.
    """
    shuffled = [name for name, how in data.given.items() if "shuffled" in how]
    if not shuffled:
        return data
    held = np.concatenate([split.train, split.validation, split.test])
    rest = np.setdiff1d(np.arange(len(data.clips), dtype=np.int64), held)
    arrays = dict(data.arrays)
    for name in shuffled:
        moved = np.arange(len(data.clips), dtype=np.int64)
        for number, part in enumerate((rest, split.train, split.validation, split.test)):
            order = np.random.default_rng([seed, _STREAM, MODALITIES.index(name), number]).permutation(part)
            moved[order] = np.roll(order, 1)
        arrays |= {key: _permuted(source, moved) for key, source in arrays.items() if modality_of(key) == name}
    return replace(data, arrays=arrays)


def _permuted(source: Source, rows: npt.NDArray[np.int64]) -> Source:
    """Rows of an array (or of a function of indices) under a permutation ``(clips,)``."""
    return lambda index: source(rows[index]) if callable(source) else source[rows[index]]
