"""Simulated trainings: right or wrong per clip, with what groups, clips, seeds and folds add."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from scipy import special

from bench.statistics.results import Refusal

T = TypeVar("T")
GROUP_SHARE = 0.4
MODEL_SHARE = 0.6
FOLD_SPREAD = 0.02


def group_labels(clips: int, rng: np.random.Generator) -> np.ndarray:
    """Groups of one to eight clips ``(clips,)``."""
    sizes = rng.integers(1, 9, size=clips)
    return np.repeat(np.arange(clips), sizes)[:clips]


@dataclass(frozen=True, slots=True)
class Noise:
    """What training adds, as standard deviations of an accuracy.

    ``seed`` moves all clips of a seed, ``product`` those of one training (a seed and a fold), ``fold`` those of a fold
    whatever the seed: the training set of that fold, and so part of what a board over these folds is about.
    """

    seed: float = 0.0
    product: float = 0.0
    fold: float = 0.0

    @classmethod
    def of(cls, scatter: float) -> Noise:
        """So that the whole scores of seeds scatter by so many points, half of the variance from single trainings."""
        half = scatter / 100 / math.sqrt(2)
        return cls(seed=half, product=half * math.sqrt(5), fold=FOLD_SPREAD)


def simulate(
    labels: np.ndarray, accuracies: tuple[float, ...], seeds: int, noise: Noise, rng: np.random.Generator
) -> tuple[list[np.ndarray], list[float]]:
    """Right or wrong per model ``(seeds, clips)``, and the true accuracies: a normal score below a threshold.

    A share of the score's variance belongs to the group, a share to the clip (both common to all models and
    seeds), the rest to the single training. Groups lie in one of five folds; training moves thresholds.
    """
    clips = labels.size
    group = rng.standard_normal(labels.max() + 1)[labels]
    shared = math.sqrt(GROUP_SHARE) * group + math.sqrt(1 - GROUP_SHARE) * rng.standard_normal(clips)
    fold = labels % 5
    results, truths = [], []
    for accuracy in accuracies:
        single = rng.standard_normal((seeds, clips))
        score = math.sqrt(MODEL_SHARE) * shared + math.sqrt(1 - MODEL_SHARE) * single
        expected = accuracy + noise.fold * rng.standard_normal(5)
        moved = noise.seed * rng.standard_normal((seeds, 1)) + noise.product * rng.standard_normal((seeds, 5))
        threshold = special.ndtri(np.clip(expected + moved, 0.001, 0.999))
        results.append((score < threshold[:, fold]).astype(np.float64))
        truths.append(float(expected[fold].mean()))
    return results, truths


def known(result: T | Refusal) -> T:
    """What the statistics give where they give something."""
    if isinstance(result, Refusal):
        raise TypeError(result.reason)
    return result
