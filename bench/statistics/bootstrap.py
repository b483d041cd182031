"""The interval of one score.

An accuracy near 1 has a skewed distribution, for which plain percentiles cover too little and miss on one side
(at 400 clips and accuracy 0.95 four misses in five lie above the truth); the ends of a mean of values per clip are
corrected for bias and acceleration (BCa, Efron 1987). ``benchmarks/coverage`` measures it.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from bench.statistics.draws import MIN_SEEDS, SAME, Draws, Evidence, Resampled, draw_scores
from bench.statistics.results import Floats, Interval, Refusal, check_level, right_or_wrong, seeds_by_clips


def wilson(successes: float, n: int, level: float = 0.95) -> Interval:
    """Score interval of a proportion whose trials are independent.

    Args:
        successes: Clips that were right, 0 to ``n``.
        n: Clips, at least 1.
        level: Nominal coverage.

    Returns:
        The interval as fractions. With several clips per recording it is too narrow:
        use :func:`bench.statistics.cluster_bootstrap`.

    Raises:
        ValueError: If there is no clip or ``successes`` is not among them.

    Source: Wilson (1927), without continuity correction.
    """
    check_level(level)
    if n < 1:
        raise ValueError(f"n is {n}; an accuracy needs at least one clip")
    if not 0 <= successes <= n:
        raise ValueError(f"successes is {successes}; it must lie between 0 and n = {n}")
    z = float(special.ndtri(0.5 + level / 2))
    share = successes / n
    scale = 1 + z * z / n
    centre = (share + z * z / (2 * n)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return Interval(estimate=share, low=low, high=high, level=level, method="Wilson")


def cluster_bootstrap(
    score: Evidence, groups: ArrayLike | None, *, draws: int = 2000, seed: int = 0, level: float = 0.95
) -> Interval | Refusal:
    """Interval of one score whose clips come in groups.

    Args:
        score: Values per clip, ``(clips,)`` or ``(seeds, clips)`` (then of the mean over seeds), or a resampled score.
        groups: One label per clip ``(clips,)``: source recording, speaker; ``None`` = every clip alone.
        draws: Resamples.
        seed: Of the resampling; equal seeds give equal intervals.
        level: Nominal coverage.

    Returns:
        The interval in the unit of the score, or a refusal below five groups and where no resample differs. Of right
        and wrong there is always one: where every clip has the same outcome it is Wilson's, each group counted as one
        trial.

    Raises:
        ValueError: If shapes do not fit, values are not finite or ``level`` is no level.
    """
    check_level(level)
    drawn = draw_scores([score], groups, draws=draws, seed=seed)
    return drawn if isinstance(drawn, Refusal) else score_intervals(drawn, level)[0]


def score_interval(score: Evidence, groups: ArrayLike | None, *, level: float = 0.95) -> Interval | Refusal:
    """As :func:`cluster_bootstrap`; Wilson's where clips are independent, right or wrong and of one seed."""
    if groups is None and not isinstance(score, Resampled):
        values = seeds_by_clips(score)
        if len(values) == 1 and right_or_wrong(values):
            found = wilson(float(values.sum()), values.size, level)
            return dataclasses.replace(found, method=found.method + over_seeds(1))
    return cluster_bootstrap(score, groups, level=level)


def over_seeds(seeds: int) -> str:
    """How seeds enter an interval, the end of the name of its method."""
    return f" and {seeds} seeds (t)" if seeds >= MIN_SEEDS else ", over clips only"


def score_intervals(drawn: Draws, level: float) -> list[Interval | Refusal]:
    """The interval of each model's score."""
    ends, parts = _ends(drawn, level), drawn.parts()
    results: list[Interval | Refusal] = []
    for model, centre in enumerate(drawn.scores.tolist()):
        if np.ptp(drawn.drawn[:, model]) > SAME:
            low, high = ends[:, model].tolist()
            how = " of the score itself (centred percentile, t)" if drawn.recomputed else " (BCa, t)"
            method = f"bootstrap over {drawn.groups} groups{how}"
        elif drawn.shares is not None:
            bound = wilson(centre * drawn.groups, drawn.groups, level)
            low, high, method = bound.low, bound.high, f"Wilson over {drawn.groups} groups (no draw differs)"
        else:
            results.append(Refusal(reason="no draw of groups changes the score: its scatter is unknown"))
            continue
        sides = np.maximum([centre - low, high - centre], 0.0)
        below, above = parts[model].reach(sides, 0.5 - level / 2).tolist()
        low, high = (min(1.0, max(0.0, end)) if drawn.fraction else end for end in (centre - below, centre + above))
        method += over_seeds(int(drawn.seeds[model]))
        results.append(Interval(estimate=centre, low=low, high=high, level=level, method=method))
    return results


def _ends(drawn: Draws, level: float) -> Floats:
    """Ends of the BCa interval over groups ``(2, models)``, stretched to Student's quantile.

    Bias correction and acceleration of a mean are both a sixth of its skewness. Counting draws below the estimate,
    the usual way to the first, is at the mercy of ties: accuracies lie on a grid.
    """
    shifted = drawn.skew + special.ndtri(0.5 - level / 2) * np.array([[1.0], [-1.0]])
    levels = special.ndtr(drawn.skew + shifted / np.maximum(1 - drawn.skew * shifted, 1e-3))
    pairs = zip(drawn.drawn.T, levels.T, strict=True)
    ends = np.stack([np.quantile(values, at, method="weibull") for values, at in pairs], axis=1)
    stretched: Floats = drawn.scores + stretch(drawn.groups - 1, level) * (ends - drawn.scores)
    return np.clip(stretched, 0.0, 1.0) if drawn.fraction else stretched


def stretch(freedom: ArrayLike, level: ArrayLike) -> Floats:
    """Student's quantile over the normal one: how far the ends move out for few groups, at least 1."""
    upper = 0.5 + np.asarray(level) / 2
    factor: Floats = special.stdtrit(freedom, upper) / special.ndtri(upper)
    return factor


def sorted_quantiles(values: Floats, levels: Floats) -> Floats:
    """``np.quantile(row, levels, method="weibull")`` of each row of sorted ``values``: ``(rows, levels)``."""
    draws = values.shape[1]
    place = np.clip(draws * levels + levels - 1, 0, draws - 1)
    below = place.astype(np.int64)
    a, b, share = values[:, below], values[:, np.minimum(below + 1, draws - 1)], place - below
    found: Floats = np.where(share < 0.5, a + (b - a) * share, b - (b - a) * (1 - share))
    return found
