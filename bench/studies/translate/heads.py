"""The classifiers of the rules: each gives the class of every test clip, fold by fold."""

from __future__ import annotations

import itertools
import math
import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from bench.errors import SelectionError
from bench.execution.adam import Adam
from bench.execution.classifiers import Neighbours, fit_logistic, fit_probe
from bench.execution.heads import Training, indicators
from bench.studies.translate.divisions import SEED, Case, Fold, Indices

Head = Callable[[Case, Sequence[Fold]], list[Indices]]
"""Gives classes ``(test clips,)`` of each fold, or ``(epochs, test clips)`` of which a :data:`Pick` takes an epoch."""
Rights = npt.NDArray[np.float64]
"""Accuracy on the tested clips, ``(folds, epochs)``."""
Pick = Callable[[Rights], Indices]
"""Gives the epoch whose classes count, for each fold."""

Point = tuple[int, Callable[..., Tensor], float]
"""Hidden layers, initialisation and rate."""

STEPS = 100
NEIGHBOURS, TEMPERATURE = 10, 0.07
HIDDEN, DROPOUT, LARGE_BATCH, MOST_EPOCHS, EVERY, PATIENCE, POINTS = 1024, 0.1, 1024, 500, 3, 20, 8
RATES = (3.2e-3, 1e-3, 3.2e-4, 1e-4)


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


def perceptron(case: Case, folds: Sequence[Fold]) -> list[Indices]:
    """The first split's best point of the grid serves all splits; training clips keep the order of their folds."""
    points = [*itertools.product((1, 2), (nn.init.xavier_uniform_, nn.init.xavier_normal_), RATES)]
    random.Random(SEED).shuffle(points)
    for size in (len(fold.train) for fold in folds):
        if size % LARGE_BATCH == 1:
            raise SelectionError(f"HEAR's last batch of {size} clips holds one, which batch norm refuses; name --rules")
    with _seeded():
        fitted = itertools.count(1)

        def selected(fold: Fold, point: Point) -> tuple[float, Indices]:
            found = _selected(case, fold, point)
            case.tell(next(fitted) / (POINTS + len(folds) - 1))
            return found

        tried = [(*selected(folds[0], point), point) for point in points[:POINTS]]
        _, said, best = max(tried, key=lambda one: one[0])
        return [said, *(selected(fold, best)[1] for fold in folds[1:])]


def _training(case: Case, fold: Fold) -> Training:
    groups = None
    if case.groups is not None:  # numbered as a sealed cell's are, so that inner folds come out as there
        names = [case.groups[i] for i in fold.train]
        numbers = {name: str(number) for number, name in enumerate(dict.fromkeys(names))}
        groups = [numbers[name] for name in names]
    x, targets = case.x[fold.train], case.targets[fold.train]
    return Training(x=x, targets=targets, classes=case.classes, groups=groups, recipe=case.recipe)


@contextmanager
def _seeded() -> Iterator[None]:
    """One stream of random numbers through all folds; that of others goes on as if nothing had been drawn."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        yield


def _layer_by_epoch(case: Case, folds: Sequence[Fold], layer: Layer) -> list[Indices]:
    found = []
    with _seeded():
        for fold in folds:
            net = nn.Sequential(nn.LayerNorm(case.x.shape[1]), nn.Linear(case.x.shape[1], case.classes))
            optimizer = Adam(net.parameters(), betas=layer.betas, weight_decay=layer.decay, fused=True)
            said = []
            for epoch in range(layer.epochs):
                optimizer.param_groups[0]["lr"] = layer.rate(epoch)
                _pass(net, optimizer, case, fold.train[torch.randperm(len(fold.train)).numpy()], layer.batch)
                said.append(_said(net, case, fold.test))
            found.append(np.stack(said))
    return found


def _network(dim: int, classes: int, point: Point) -> nn.Sequential:
    """Linear, batch norm, dropout and ReLU for each hidden layer, then a linear one."""
    layers, draw, _ = point
    parts: list[nn.Module] = []
    widths = [dim, *[HIDDEN] * layers, classes]
    for place, (size, following) in enumerate(itertools.pairwise(widths)):
        parts.append(nn.Linear(size, following))
        draw(parts[-1].weight, gain=nn.init.calculate_gain("relu" if place else "linear"))
        if place < layers:
            parts += [nn.BatchNorm1d(following), nn.Dropout(DROPOUT), nn.ReLU()]
    return nn.Sequential(*parts)


def _selected(case: Case, fold: Fold, point: Point) -> tuple[float, Indices]:
    """Best accuracy on the clips for choosing, looked at every third epoch, and what is said of the test clips then."""
    net = _network(case.x.shape[1], case.classes, point)
    optimizer = Adam(net.parameters(), lr=point[2], fused=True)
    best, said, waited = -1.0, fold.test, 0
    for epoch in range(1, MOST_EPOCHS + 1):
        _pass(net, optimizer, case, fold.train, LARGE_BATCH)
        if epoch % EVERY:
            continue
        right = float((_said(net, case, fold.choose) == case.targets[fold.choose]).mean())
        if right > best:
            best, said, waited = right, _said(net, case, fold.test), 0
        elif (waited := waited + 1) >= PATIENCE:
            break
    return best, said


def _pass(net: nn.Module, optimizer: torch.optim.Optimizer, case: Case, order: Indices, batch: int) -> None:
    """Once through some clips in their order, a step down the cross-entropy of each batch."""
    net.train()
    for index in np.split(order, range(batch, len(order), batch)):
        optimizer.zero_grad()
        x, y = torch.from_numpy(case.x[index]), torch.from_numpy(case.targets[index])
        nn.functional.cross_entropy(net(x), y).backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def _said(net: nn.Module, case: Case, index: Indices) -> Indices:
    net.eval()
    with torch.no_grad():
        found: Indices = net(torch.from_numpy(case.x[index])).argmax(1).numpy()
    return found
