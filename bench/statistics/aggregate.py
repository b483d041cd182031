"""One number over several data sets, with its interval and what it tells apart.

Groups are drawn within each data set, the same for every model and independently of the other data sets. A mean of
scores is then a score like any other: its interval and its pairs are those of :mod:`~bench.statistics.bootstrap` and
:mod:`~bench.statistics.paired`. Places are none: every draw gives them anew, with what other seeds would give drawn
from Student's distribution (three seeds are too few to draw from), and intervals are the percentiles of the draws.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import stats

from bench.statistics.bootstrap import over_seeds, score_intervals, stretch
from bench.statistics.draws import MIN_SEEDS, SAME, Draws
from bench.statistics.paired import compare_pairs
from bench.statistics.parts import TINY
from bench.statistics.ranking import holm, rank_intervals, tie_groups, tie_letter
from bench.statistics.results import Floats, Interval, check_level

Way = Literal["mean", "rank", "borda"]
DRAWS = 10_000
"""Enough for a pair of twenty models to differ significantly by Holm's method."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Aggregate:
    """What several data sets say together of some models, in the order in which these were given.

    Attributes:
        intervals: Of each model's aggregate, with the aggregate as estimate.
        ranks: Best and worst place of each that the significant pairs allow; empty below three seeds.
        ties: Letters of the tie groups of each; likewise.
    """

    intervals: tuple[Interval, ...]
    ranks: tuple[tuple[int, int], ...] = ()
    ties: tuple[str, ...] = ()


def combined(scores: Floats, weights: Sequence[float], way: Way, signs: Sequence[int]) -> Floats:
    """The aggregate ``(..., models)`` of scores ``(..., data sets, models)``.

    Args:
        scores: Of the same models on every data set.
        weights: Of the data sets, above 0; their sum does not matter.
        way: ``mean``: of the scores. ``rank``: mean place among the models, equal scores share the mean of theirs.
            ``borda``: mean number of models beaten, half of one for an equal score.
        signs: 1 for a data set where more is better, -1 where less is.
    """
    if way != "mean":
        better = np.round(np.asarray(signs)[:, None] * scores, 12)
        scores = stats.rankdata(-better, axis=-1)
        scores = scores if way == "rank" else scores.shape[-1] - scores
    found: Floats = np.average(scores, axis=-2, weights=weights)
    return found


def aggregate(
    parts: Sequence[Draws], weights: Sequence[float], way: Way, signs: Sequence[int], *, level: float = 0.95
) -> Aggregate:
    """Aggregate the scores of the same models on several data sets.

    Args:
        parts: One for each data set, the models in the same order.
        weights: As for :func:`combined`, as are ``way`` and ``signs``.
        way: How scores become one number.
        signs: Directions of the scores.
        level: Of the intervals; two models differ where their p value, adjusted by Holm's method over all pairs, is
            below ``1 - level``.

    Raises:
        ValueError: If ``level`` is no level.
    """
    check_level(level)
    rng = np.random.default_rng(0)
    estimates = combined(np.stack([one.scores for one in parts]), weights, way, signs)
    if way == "mean":
        mean = _mean(parts, np.asarray(weights) / sum(weights), rng)
        bounds = [(one.low, one.high) for one in score_intervals(mean, level) if isinstance(one, Interval)]
        bounds = bounds if len(bounds) == len(estimates) else [(math.nan, math.nan)] * len(estimates)
        p_values = compare_pairs(mean, level)[0]
    else:
        drawn = combined(np.stack([_places(one, level, rng) for one in parts], axis=1), weights, way, signs)
        ends = np.quantile(drawn, [0.5 - level / 2, 0.5 + level / 2], axis=0)
        bounds = list(zip(np.minimum(ends[0], estimates), np.maximum(ends[1], estimates), strict=True))
        p_values = _p_values(estimates, drawn)
    fewest = min(int(one.seeds.min()) for one in parts)
    method = f"bootstrap over groups within each of {len(parts)} data sets{over_seeds(fewest)}"
    intervals = tuple(
        Interval(estimate=float(value), low=float(low), high=float(high), level=level, method=method)
        for value, (low, high) in zip(estimates, bounds, strict=True)
    )
    if fewest < MIN_SEEDS:
        return Aggregate(intervals=intervals)
    sign = -1 if way == "rank" or (way == "mean" and signs[0] < 0) else 1
    resolved, upper = np.zeros(p_values.shape, dtype=bool), np.triu_indices(len(estimates), 1)
    resolved[upper] = resolved.T[upper] = holm(p_values[upper]) < round(1 - level, 12)
    order = np.argsort(-sign * estimates, kind="stable")
    letters = dict(zip(order.tolist(), tie_groups(resolved[np.ix_(order, order)]), strict=True))
    return Aggregate(
        intervals=intervals,
        ranks=tuple(zip(*rank_intervals(sign * (estimates[:, None] - estimates), resolved), strict=True)),
        ties=tuple("".join(map(tie_letter, letters[model])) for model in range(len(estimates))),
    )


def _mean(parts: Sequence[Draws], weights: Floats, rng: np.random.Generator) -> Draws:
    """The weighted mean as one score: variances and third moments add, freedom by Welch and Satterthwaite."""

    def added(values: Sequence[Floats], power: int = 2) -> Floats:
        found: Floats = np.tensordot(weights**power, np.stack(values), axes=1)
        return found

    def freedom(values: Sequence[Floats], own: Sequence[Any]) -> Floats:
        squares = added([value**2 / np.maximum(one - 1, 1) for value, one in zip(values, own, strict=True)], 4)
        whole = np.maximum(added(values) ** 2, TINY) / np.maximum(squares, TINY)
        found: Floats = np.maximum(whole, np.min([np.broadcast_to(one - 1, whole.shape) for one in own], axis=0))
        return found

    variances = [np.diag(one.covariance) for one in parts]
    seeds = [one.seed_variance for one in parts]
    third = added([one.skew * variance**1.5 for one, variance in zip(parts, variances, strict=True)], 3)
    return Draws(
        scores=added([one.scores for one in parts], 1),
        drawn=added([_shuffled(one, rng) for one in parts], 1),
        covariance=added([one.covariance for one in parts]),
        skew=third / np.maximum(added(variances), TINY) ** 1.5,
        seed_variance=added(seeds),
        interaction=added([one.interaction for one in parts]),
        seeds=np.floor(1 + freedom(seeds, [one.seeds for one in parts])).astype(np.int64),
        clips=sum(one.clips for one in parts),
        groups=int(1 + freedom(variances, [one.groups for one in parts]).min()),
        fraction=all(one.fraction for one in parts),
    )


def _shuffled(one: Draws, rng: np.random.Generator) -> Floats:
    """The draws of groups ``(draws, models)``, in an order that has nothing to do with that of other data sets.

    Where all clips of a model are right, or wrong, no draw differs: its rate is then drawn by Jeffreys' prior, each
    group counted as one trial.
    """
    drawn: Floats = one.drawn[rng.permutation(np.resize(np.arange(len(one.drawn)), DRAWS))]
    if one.shares is None:
        return drawn
    rates = rng.beta(one.groups * one.scores + 0.5, one.groups * (1 - one.scores) + 0.5, drawn.shape)
    found: Floats = np.where(np.ptp(one.drawn, axis=0) > SAME, drawn, rates)
    return found


def _places(one: Draws, level: float, rng: np.random.Generator) -> Floats:
    """Scores ``(draws, models)`` to be ranked: under draws of groups, and of what other seeds would give."""
    parts = one.parts()
    away = stretch(one.groups - 1, level) * (_shuffled(one, rng) - one.scores)
    away = away * np.sqrt(np.where(parts.drawn > TINY, parts.clips / np.maximum(parts.drawn, TINY), 1.0))
    squares = parts.clips**2 / (one.groups - 1) + parts.seeds**2 / parts.seed_freedom
    freedom = np.maximum((parts.clips + parts.seeds) ** 2, TINY) / np.maximum(squares, TINY)
    seeds = rng.standard_t(np.maximum(freedom, parts.seed_freedom), away.shape) * np.sqrt(parts.seeds)
    found: Floats = one.scores + away + seeds
    return found


def _p_values(estimates: Floats, drawn: Floats) -> Floats:
    """Of each pair of models, two-sided: how often the draws have the two the other way round, or equal."""
    apart, count = np.sign(np.round(estimates[:, None] - estimates, 12)), len(drawn)
    p_values = np.ones_like(apart)
    for a, b in zip(*np.nonzero(apart), strict=True):
        beyond = np.count_nonzero(apart[a, b] * (drawn[:, a] - drawn[:, b]) <= SAME)
        p_values[a, b] = min(1.0, 2 * (beyond + 1) / (count + 1))
    return p_values
