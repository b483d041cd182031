"""The classifiers of the rules: each gives the class of every test clip, fold by fold."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from bench.execution.classifiers import Neighbours, Training, fit_logistic, fit_probe, indicators
from bench.studies.translate.divisions import SEED, Case, Fold, Indices
from bench.studies.translate.networks import classes_said, one_pass, seeded

Head = Callable[[Case, Sequence[Fold]], list[Indices]]
"""Gives classes ``(test clips,)`` of each fold, or ``(epochs, test clips)`` of which a :data:`Pick` takes an epoch."""
Rights = npt.NDArray[np.float64]
"""Accuracy on the tested clips, ``(folds, epochs)``."""
Pick = Callable[[Rights], Indices]
"""Gives the epoch whose classes count, for each fold."""

STEPS = 100
NEIGHBOURS, TEMPERATURE = 10, 0.07


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """How LayerNorm and a linear layer are trained by Adam; ``rate`` is that of an epoch, counted from 0."""

    epochs: int
    batch: int
    rate: Callable[[int], float]
    betas: tuple[float, float] = (0.9, 0.999)
    decay: float = 0.0


XARES = Layer(epochs=10, batch=32, rate=lambda epoch: 1e-3 * (1 - 0.9 * (1 - math.cos(math.pi * epoch / 10)) / 2))
AST = Layer(epochs=25, batch=48, rate=lambda epoch: 1e-4 * 0.85 ** max(0, epoch - 4), betas=(0.95, 0.999), decay=5e-7)


def chosen_regression(case: Case, folds: Sequence[Fold]) -> list[Indices]:
    """Of the clean protocol: logistic regression on standardised values, C chosen inside the training clips."""
    return [fit_logistic(_training(case, fold)).logits(case.x[fold.test]).argmax(1) for fold in folds]


def plain_regression(case: Case, folds: Sequence[Fold]) -> list[Indices]:
    """The same with C = 1."""
    fitted = (fit_probe(case.x[f.train], case.targets[f.train], case.classes) for f in folds)
    return [head.logits(case.x[f.test]).argmax(1) for head, f in zip(fitted, folds, strict=True)]


def raw_regression(case: Case, folds: Sequence[Fold]) -> list[Indices]:
    """Scikit-learn's own on the values as they are, stopped after a hundred steps, wherever it stands then."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    head = LogisticRegression(max_iter=STEPS, random_state=SEED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return [head.fit(case.x[f.train], case.targets[f.train]).predict(case.x[f.test]) for f in folds]


def cosine_neighbours(case: Case, folds: Sequence[Fold], axis: int = 1) -> list[Indices]:
    """The ten training clips nearest by cosine, weighted by a softmax of their similarity."""
    found = []
    for fold in folds:
        known, votes = case.x[fold.train], indicators(case.targets[fold.train], case.classes)
        known = known / np.maximum(np.linalg.norm(known, axis=axis, keepdims=True), 1e-12)
        head = Neighbours(bank=known, votes=votes, multi_label=False, wanted=NEIGHBOURS, temperature=TEMPERATURE)
        found.append(head.logits(case.x[fold.test]).argmax(1))
    return found


def misscaled_neighbours(case: Case, folds: Sequence[Fold]) -> list[Indices]:
    """The same where, of the training clips, not every clip but every feature over the clips has length 1."""
    return cosine_neighbours(case, folds, axis=0)


def xares_layer(case: Case, folds: Sequence[Fold]) -> list[Indices]:
    """LayerNorm and a linear layer as X-ARES trains them, ``(epochs, test clips)`` of each fold."""
    return _layer_by_epoch(case, folds, XARES)


def ast_layer(case: Case, folds: Sequence[Fold]) -> list[Indices]:
    """The same as AST's script does."""
    return _layer_by_epoch(case, folds, AST)


def last_epoch(right: Rights) -> Indices:
    """The last one."""
    return np.full(len(right), -1)


def best_epoch_of_each(right: Rights) -> Indices:
    """The one, the first if several, that is best on the tested clips of each fold."""
    found: Indices = right.argmax(axis=1)
    return found


def best_epoch_of_all(right: Rights) -> Indices:
    """One for all folds, the best by the mean of their accuracies."""
    return np.full(len(right), right.mean(axis=0).argmax())


def _training(case: Case, fold: Fold) -> Training:
    groups = None
    if case.groups is not None:  # numbered as a sealed cell's are, so that inner folds come out as there
        names = [case.groups[i] for i in fold.train]
        numbers = {name: str(number) for number, name in enumerate(dict.fromkeys(names))}
        groups = [numbers[name] for name in names]
    x, targets = case.x[fold.train], case.targets[fold.train]
    return Training(x=x, targets=targets, classes=case.classes, groups=groups, recipe=case.recipe)


def _layer_by_epoch(case: Case, folds: Sequence[Fold], layer: Layer) -> list[Indices]:
    found = []
    with seeded():
        for fold in folds:
            net = nn.Sequential(nn.LayerNorm(case.x.shape[1]), nn.Linear(case.x.shape[1], case.classes))
            optimizer = torch.optim.Adam(net.parameters(), betas=layer.betas, weight_decay=layer.decay, fused=True)
            said = []
            for epoch in range(layer.epochs):
                optimizer.param_groups[0]["lr"] = layer.rate(epoch)
                one_pass(net, optimizer, case, fold.train[torch.randperm(len(fold.train)).numpy()], layer.batch)
                said.append(classes_said(net, case, fold.test))
            found.append(np.stack(said))
    return found
