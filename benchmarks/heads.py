"""Heads on vectors that are there: bench's against scikit-learn's own, fold by fold in turns, by processor time.

``python benchmarks/heads.py --out benchmarks/results/heads.md`` takes two minutes of one core, most of them in
scikit-learn. Logistic regression with C of seven values chosen in five inner folds, ten nearest neighbours and a
perceptron, each for five folds and three seeds on 2 000 vectors of 512 values and 50 classes. What is deterministic is
solved once a fold here and three times there, as both would be run. ``--vectors FILE`` takes ``x`` and ``y`` of an
``.npz`` file instead of drawn ones.
"""

from __future__ import annotations

import argparse
import functools
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bench.execution.classifiers import fit_logistic, fit_plain_neighbours
from bench.execution.heads import Training, moments
from bench.execution.perceptron import fit_perceptrons
from bench.recipe import Recipe

CLIPS, DIM, CLASSES, HIDDEN_DIM, LIMIT, POINTS = 2000, 512, 50, 40, 0.25, 0.5
HEADS = ("logistic", "neighbours", "mlp")
CHOICES = list(Recipe().head_c)


def drawn(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Vectors like an encoder's: classes in a few directions, values that go together, positive and skewed."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(CLIPS) % CLASSES)
    inner = rng.normal(size=(CLIPS, HIDDEN_DIM)) + 0.5 * rng.normal(size=(CLASSES, HIDDEN_DIM))[y]
    x = inner @ rng.normal(size=(HIDDEN_DIM, DIM)) + 1.5 * rng.normal(size=(CLIPS, DIM))
    return np.log1p(np.exp(x / 4)).astype(np.float32), y


def theirs(head: str, data: Training, x: np.ndarray, seed: int) -> np.ndarray:
    """What scikit-learn's estimator answers, with its own defaults but for what the question fixes."""
    made = {
        "logistic": lambda: LogisticRegressionCV(Cs=CHOICES, cv=StratifiedKFold(5)),
        "neighbours": lambda: KNeighborsClassifier(10),
        "mlp": lambda: MLPClassifier(random_state=seed),
    }
    return np.asarray(make_pipeline(StandardScaler(), made[head]()).fit(data.x, data.targets).predict(x))


def ours(head: str, data: Training, x: np.ndarray, seeds: list[int]) -> list[np.ndarray]:
    """What a fitted head answers for each seed; one answer for all where it draws nothing."""
    if head == "mlp":
        fitted: list[Any] = list(fit_perceptrons(data.x, data.indicators, moments(data.x), seeds, several=False))
    else:
        fitted = [{"logistic": fit_logistic, "neighbours": fit_plain_neighbours}[head](data)]
    return [head.logits(x).argmax(1) for head in fitted]


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """What it gives, and processor seconds."""
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call(), time.process_time() - start


def measure(x: np.ndarray, y: np.ndarray, folds: int, seeds: list[int]) -> dict[str, dict[str, float]]:
    """Processor seconds and mean accuracy of both sides by head."""
    total = {head: dict.fromkeys(("ours_s", "theirs_s", "ours", "theirs"), 0.0) for head in HEADS}
    for train, test in list(StratifiedKFold(5, shuffle=True, random_state=0).split(x, y))[:folds]:
        data = Training(x=x[train], targets=y[train], classes=int(y.max()) + 1, recipe=Recipe())
        for head in HEADS:
            one = total[head]
            found, seconds = timed(functools.partial(ours, head, data, x[test], seeds))
            one["ours_s"] += seconds
            one["ours"] += float(np.mean([(row == y[test]).mean() for row in found])) / folds
            for seed in seeds:
                answer, seconds = timed(functools.partial(theirs, head, data, x[test], seed))
                one["theirs_s"] += seconds
                one["theirs"] += float((answer == y[test]).mean()) / folds / len(seeds)
            print(head, {name: round(value, 3) for name, value in one.items()}, flush=True)
    return total


def render(found: dict[str, dict[str, float]], folds: int, seeds: int, what: str) -> str:
    """The page."""
    rows = [
        f"| {head} | {one['ours_s']:.1f} | {one['theirs_s']:.1f} | {one['ours_s'] / one['theirs_s']:.3f} "
        f"| {100 * one['ours']:.1f} | {100 * one['theirs']:.1f} |"
        for head, one in found.items()
    ]
    ours_s, theirs_s = (sum(one[name] for one in found.values()) for name in ("ours_s", "theirs_s"))
    return "\n".join(
        [
            "# Heads on vectors that are there",
            "",
            f"`python benchmarks/heads.py --folds {folds} --seeds {seeds}`: {what}; one thread, processor time, both "
            "sides in turns.",
            "",
            "| head | bench, s | scikit-learn, s | ratio | accuracy, bench | accuracy, scikit-learn |",
            "|---|---|---|---|---|---|",
            *rows,
            f"| all | {ours_s:.1f} | {theirs_s:.1f} | **{ours_s / theirs_s:.3f}** (limit {LIMIT}) | | |",
            "",
        ]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--vectors", type=Path)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    what = f"{CLIPS} drawn vectors of {DIM} values, {CLASSES} classes"
    x, y = drawn()
    if asked.vectors:
        with np.load(asked.vectors) as file:
            x, y = file["x"], file["y"]
        what = f"{len(x)} vectors of {x.shape[1]} values out of {asked.vectors.name}"
    found = measure(x, y, asked.folds, list(range(asked.seeds)))
    page = render(found, asked.folds, asked.seeds, what)
    print(page)
    if asked.out:
        asked.out.write_text(page, encoding="utf-8")
    ratio = sum(one["ours_s"] for one in found.values()) / sum(one["theirs_s"] for one in found.values())
    worse = max(100 * (one["theirs"] - one["ours"]) for one in found.values())
    return 0 if ratio <= LIMIT and worse <= POINTS else 1


if __name__ == "__main__":
    raise SystemExit(main())
