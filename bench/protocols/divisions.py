"""The divisions of the host's own protocols, each a :class:`bench.plugins.interfaces.Divide`; pure functions on arrays.

Clips to predict are in no part. Sources: Piczak 2015 (official folds of ESC-50).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bench.errors import DataError
from bench.protocols.groups import draw_folds
from bench.protocols.shots import drawn

if TYPE_CHECKING:
    from bench.clips import Clips
    from bench.plugins.interfaces import Indices, Parts


def folds(clips: Clips, fold: int, *, validation: str) -> Parts:
    """Test = one of the authors' folds; validation = the next one (``next_fold``) or none; train = the others."""
    return _hold_out(clips, np.asarray(clips.folds, dtype=np.int64), fold, validation)


def inner(clips: Clips, fold: int) -> Parts:
    """Inside the training folds of ``fold``: test = the fold after it, train = the others; ``fold`` is in no part."""
    train, after, _ = folds(clips, fold, validation="next_fold")
    return train, after[:0], after


def random(clips: Clips, fold: int, *, version: int, validation: str) -> Parts:
    """The same on five shuffled folds that ignore groups."""
    return _hold_out(clips, random_folds(clips, version=version), fold, validation)


def group(clips: Clips, fold: int, *, validation: str) -> Parts:
    """Test = one group."""
    return _hold_out(clips, group_folds(clips), fold, validation)


def grouped(clips: Clips, fold: int, *, count: int, validation: str) -> Parts:
    """Test = one of ``count`` folds drawn of whole groups."""
    return _hold_out(clips, draw_folds(clips, count=count), fold, validation)


def split(clips: Clips, fold: int, *, validation: str) -> Parts:  # noqa: ARG001  there is one
    """The publishers' split; their validation clips are trained on where a protocol has no use for them."""
    names = np.asarray(clips.splits)
    train, held, test = (np.flatnonzero(names == part) for part in ("train", "val", "test"))
    if validation == "none":
        return np.concatenate([train, held]), held[:0], test
    return train, held, test


def random_split(clips: Clips, fold: int, *, version: int) -> Parts:  # noqa: ARG001  there is one
    """The first four fifths of the shuffled clips, and the rest; the same on every machine."""
    order = np.random.default_rng(version).permutation(np.flatnonzero(clips.known))
    cut = len(order) * 4 // 5
    return order[:cut], order[:0], order[cut:]


def few_shot(clips: Clips, fold: int, *, seed: int, shots: int) -> Parts:
    """Test = one of the authors' folds; train = ``shots`` clips a class drawn from all other folds.

    Each seed is a draw, and a draw of fewer shots is part of the draw of more. A clip of several labels counts for
    each of them, so that there are at least ``shots`` of every class.
    """
    pool, nothing, test = folds(clips, fold, validation="none")
    return drawn(clips, pool, fold, seed=seed, shots=shots), nothing, test


def random_folds(clips: Clips, *, version: int) -> Indices:
    """``(clips,)``: shuffled folds 1 to 5, a shuffle for each version; copies of a clip stand in its fold."""
    order = np.random.default_rng(version).permutation(np.flatnonzero(clips.known))
    numbers = np.zeros(len(clips), dtype=np.int64)
    numbers[order] = np.arange(len(order)) % 5 + 1
    if clips.copies is not None:
        together = numbers.copy()
        np.maximum.at(together, clips.copies, numbers)
        numbers = np.where(clips.known, together[clips.copies], 0)
    return numbers


def group_folds(clips: Clips) -> Indices:
    """``(clips,)``: the number of each clip's group, from 1, in alphabetical order."""
    return np.unique(np.asarray(clips.groups), return_inverse=True)[1].astype(np.int64) + 1


def _hold_out(clips: Clips, numbers: Indices, fold: int, validation: str) -> Parts:
    """Test on one fold, validation on the following one where it is wanted, train on the others."""
    places = np.flatnonzero(clips.known)
    numbers = numbers[places]
    present = np.unique(numbers).tolist()
    if fold not in present:
        raise DataError(f"{clips.title}: no fold {fold}; it has {', '.join(map(str, present))}")
    held = [fold]
    if validation == "next_fold":
        held.append(present[(present.index(fold) + 1) % len(present)])
    parts = [places[numbers == number] for number in held] + [places[:0]]
    return places[~np.isin(numbers, held)], parts[1], parts[0]
