"""How the rules' networks are trained and asked, and HEAR's perceptrons."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from bench.errors import SelectionError
from bench.studies.translate.divisions import SEED, Case, Fold, Indices

Point = tuple[int, Callable[..., Tensor], float]
"""Hidden layers, initialisation and rate."""

HIDDEN, DROPOUT, LARGE_BATCH, MOST_EPOCHS, EVERY, PATIENCE, POINTS = 1024, 0.1, 1024, 500, 3, 20, 8
RATES = (3.2e-3, 1e-3, 3.2e-4, 1e-4)


@contextmanager
def seeded() -> Iterator[None]:
    """One stream of random numbers through all folds; that of others goes on as if nothing had been drawn."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        yield


def perceptron(case: Case, folds: Sequence[Fold]) -> list[Indices]:
    """The first split's best point of the grid serves all splits; training clips keep the order of their folds."""
    points = [*itertools.product((1, 2), (nn.init.xavier_uniform_, nn.init.xavier_normal_), RATES)]
    random.Random(SEED).shuffle(points)
    for size in (len(fold.train) for fold in folds):
        if size % LARGE_BATCH == 1:
            raise SelectionError(f"HEAR's last batch of {size} clips holds one, which batch norm refuses; name --rules")
    with seeded():
        tried, work = [], POINTS + len(folds) - 1
        for done, point in enumerate(points[:POINTS], 1):
            tried.append((*_selected(case, folds[0], point), point))
            case.tell(done / work)
        _, first, best = max(tried, key=lambda one: one[0])
        said = [first]
        for done, fold in enumerate(folds[1:], POINTS + 1):
            said.append(_selected(case, fold, best)[1])
            case.tell(done / work)
        return said


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
    optimizer = torch.optim.Adam(net.parameters(), lr=point[2], fused=True)
    best, said, waited = -1.0, fold.test, 0
    for epoch in range(1, MOST_EPOCHS + 1):
        one_pass(net, optimizer, case, fold.train, LARGE_BATCH)
        if epoch % EVERY:
            continue
        right = float((classes_said(net, case, fold.choose) == case.targets[fold.choose]).mean())
        if right > best:
            best, said, waited = right, classes_said(net, case, fold.test), 0
        elif (waited := waited + 1) >= PATIENCE:
            break
    return best, said


def one_pass(net: nn.Module, optimizer: torch.optim.Optimizer, case: Case, order: Indices, batch: int) -> None:
    """Once through some clips in their order, a step down the cross-entropy of each batch."""
    net.train()
    for index in np.split(order, range(batch, len(order), batch)):
        optimizer.zero_grad()
        x, y = torch.from_numpy(case.x[index]), torch.from_numpy(case.targets[index])
        nn.functional.cross_entropy(net(x), y).backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def classes_said(net: nn.Module, case: Case, index: Indices) -> Indices:
    """The class that a network gives each of some clips."""
    net.eval()
    with torch.no_grad():
        found: Indices = net(torch.from_numpy(case.x[index])).argmax(1).numpy()
    return found
