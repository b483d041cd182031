"""Two revisions measured in turns: the ratio of what they take, from the differences within rounds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from bench.statistics.results import Floats, Interval, Refusal, check_level, finite_vector, too_few
from bench.statistics.timing import BOOTSTRAP_PROCESSES, MIN_PROCESSES

_DRAWS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """Logarithm of a ratio with its standard error, so that one effect has intervals of every width.

    Attributes:
        log: Estimate; above 0 = the candidate's is larger.
        error: Standard error of ``log``; 0 where every round says the same.
        freedom: Degrees of freedom of Student's t.
        method: How both were made.
    """

    log: float
    error: float
    freedom: int
    method: str

    def interval(self, miss: float) -> Interval:
        """Of the ratio, one that leaves it out with the probability ``miss``, however small.

        Raises:
            ValueError: If ``miss`` is no probability strictly between 0 and 1.
        """
        check_level(miss)
        half = -float(special.stdtrit(self.freedom, miss / 2)) * self.error if self.error else 0.0
        low, middle, high = (math.exp(min(700.0, self.log + move)) for move in (-half, 0.0, half))
        return Interval(estimate=middle, low=low, high=high, level=1 - miss, method=self.method)


def effect_of_rounds(candidate: ArrayLike, baseline: ArrayLike, *, seed: int = 0) -> Effect | Refusal:
    """Ratio of two quantities of which each round measured both, one process after the other.

    What slows a machine for longer than a round slows both sides of it and drops out.

    Args:
        candidate: One value per round ``(rounds,)``, above 0.
        baseline: The same rounds ``(rounds,)``, or ``(processes, rounds)`` where each had several of it.
        seed: Of the resampling.

    Returns:
        Below 20 rounds the mean of the logarithms of the rounds' ratios, with its standard error; from 20 on their
        interquartile mean, which single disturbed rounds do not move, with its standard error by the bootstrap. A
        refusal below eight rounds.

    Raises:
        ValueError: If shapes do not fit, or a value is not positive and finite.
    """
    new = finite_vector(candidate, "candidate", positive=True)
    old = [finite_vector(one, "baseline", positive=True) for one in np.atleast_2d(np.asarray(baseline, np.float64))]
    if any(one.shape != new.shape for one in old):
        raise ValueError(f"baseline has {old[0].size} rounds, the candidate {new.size}")
    if new.size < MIN_PROCESSES:
        return too_few("round", new.size, MIN_PROCESSES, "an interval")
    logs = np.log(new) - np.mean(np.log(old), axis=0)
    spread = 0.0 if np.ptp(logs) < 1e-12 else float(logs.std(ddof=1))
    if new.size < BOOTSTRAP_PROCESSES or not spread:
        error, method = spread / math.sqrt(new.size), f"t on the logarithms of {new.size} rounds"
        return Effect(log=float(logs.mean()), error=error, freedom=new.size - 1, method=method)
    rng = np.random.default_rng(seed)
    drawn = _middle(logs[rng.integers(0, logs.size, (_DRAWS, logs.size))])
    error = float(drawn.std(ddof=1)) * math.sqrt(logs.size / (logs.size - 1))
    method = f"bootstrap of the interquartile mean of {new.size} rounds"
    return Effect(log=float(_middle(logs[None])[0]), error=error, freedom=new.size - 1, method=method)


def _middle(values: Floats) -> Floats:
    """Interquartile mean of each row ``(rows, values)``."""
    cut = values.shape[1] // 4
    ordered: Floats = np.sort(values, axis=1)[:, cut : values.shape[1] - cut]
    return np.asarray(ordered.mean(axis=1), dtype=np.float64)


def mann_whitney(candidate: ArrayLike, baseline: ArrayLike) -> float:
    """Two-sided p value that both come from one distribution: a second opinion, which sees ranks alone.

    Args:
        candidate: ``(processes,)``.
        baseline: ``(processes,)``; the counts may differ.

    Source: Mann and Whitney (1947), normal approximation with ties.
    """
    new, old = finite_vector(candidate, "candidate"), finite_vector(baseline, "baseline")
    both = np.concatenate([new, old])
    _, place, counts = np.unique(both, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    total = both.size
    ties = float((counts**3 - counts).sum()) / (total * (total - 1)) if total > 1 else 0.0
    deviation = math.sqrt(new.size * old.size / 12 * (total + 1 - ties)) if total > 1 else 0.0
    moved = abs(float(ranks[: new.size].sum()) - new.size * (total + 1) / 2) - 0.5
    return min(1.0, 2 * float(special.ndtr(-moved / deviation))) if deviation > 0 and moved > 0 else 1.0
