"""Which clips a rule trains on, chooses by and tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.recipe import Recipe

SEED = 42
"""Of every harness here."""
SHOTS, KFOLDS = 8, 5

Indices = npt.NDArray[np.int64]
NOBODY: Indices = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Embeddings ``x (clips, dim)`` with class indices, the authors' folds and, where known, the groups of the clips.

    The ``recipe`` gives the values of C that the clean protocol chooses among; a head that takes long calls ``tell``
    with the share that is done.
    """

    x: npt.NDArray[np.float32]
    targets: Indices
    classes: int
    folds: Indices
    groups: Sequence[str] | None
    recipe: Recipe
    tell: Callable[[float], None] = lambda _share: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """Places of clips in a case; ``choose`` is empty where a rule has no validation clips."""

    train: Indices
    test: Indices
    choose: Indices


def official(case: Case) -> list[Fold]:
    """Each of the authors' folds tested once, all others trained on."""
    masks = [case.folds == number for number in np.unique(case.folds)]
    return [Fold(train=np.flatnonzero(~mask), test=np.flatnonzero(mask), choose=NOBODY) for mask in masks]


def three_of_five(case: Case) -> list[Fold]:
    """The fold after the tested one is kept for choosing, the rest trained on, in the order of the folds."""
    parts = [fold.test for fold in official(case)]
    turned = [[*parts[at:], *parts[:at]] for at in range(len(parts))]
    orders = [sorted(rest, key=lambda part: case.folds[part[0]]) for _, _, *rest in turned]
    return [
        Fold(test=test, choose=choose, train=np.concatenate(order))
        for (test, choose, *_), order in zip(turned, orders, strict=True)
    ]


def kfold(case: Case) -> list[Fold]:
    """Five folds drawn over the clips, whatever belongs together."""
    from sklearn.model_selection import KFold

    parts = KFold(KFOLDS, shuffle=True, random_state=SEED).split(case.x)
    return [Fold(train=train, test=test, choose=NOBODY) for train, test in parts]


def kfold_few(case: Case) -> list[Fold]:
    """The same with the first eight training clips of each class in an order that is shuffled on from fold to fold."""
    found: list[Fold] = []
    order: list[int] = []
    for fold in kfold(case):
        order = order or list(range(len(fold.train)))
        np.random.RandomState(SEED).shuffle(order)
        labels = case.targets[fold.train[order]]
        firsts = [np.flatnonzero(labels == label)[:SHOTS] for label in range(case.classes)]
        drawn = np.asarray(order)[np.sort(np.concatenate(firsts))]
        found.append(Fold(train=fold.train[drawn], test=fold.test, choose=NOBODY))
    return found
