"""Model A against model B on the same clips."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from bench.statistics.bootstrap import over_seeds, sorted_quantiles, stretch, wilson
from bench.statistics.draws import MIN_SEEDS, SAME, Draws, Evidence, draw_scores
from bench.statistics.parts import Parts
from bench.statistics.results import Counts, Floats, Interval, Refusal, check_level

POWER = float(special.ndtri(0.8))
"""Standard errors beyond the end of an interval at which four of five differences are found."""
LEAST_P = 1e-12
_FEW = 25
_MOST_DRAWS = 1 << 19
"""Draws of differences that are held in memory at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class McNemar:
    """Exact test on the clips that exactly one of two *trained* models gets right.

    Attributes:
        p_value: Two-sided; it describes these two sets of weights, not the methods that made them.
        only_a: Clips that only A gets right.
        only_b: Clips that only B gets right.
        both: Clips that both get right.
        neither: Clips that neither gets right.
    """

    p_value: float
    only_a: int
    only_b: int
    both: int
    neither: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Score of A minus score of B on shared clips, averaged over seeds.

    Attributes:
        difference: A minus B; positive = A scores higher.
        interval: Of the difference.
        p_value: Two-sided, of this pair alone: the level at which the interval just reaches 0.
        clips: Shared clips.
        groups: Groups among them.
        seeds: Seeds of A and of B.
        discordance: Average fraction of clips on which exactly one of a trained A and a trained B is right; ``None``
            where clips are not right or wrong.
        resolution: Minimum detectable difference here (see :func:`pair_resolutions`), or why it is unknown.
    """

    difference: float
    interval: Interval
    p_value: float
    clips: int
    groups: int
    seeds: tuple[int, int]
    discordance: float | None
    resolution: float | Refusal

    @property
    def resolved(self) -> bool:
        """Whether the data tell A and B apart; never below three seeds each."""
        return min(self.seeds) >= MIN_SEEDS and not self.interval.covers(0.0)


def mcnemar_exact(a: ArrayLike, b: ArrayLike) -> McNemar:
    """Exact (binomial) McNemar test.

    Args:
        a: Right (1) or wrong (0) per clip for one trained model ``(clips,)``.
        b: The same clips for the other.

    Returns:
        The p value and the four counts; without a discordant clip p is 1.

    Raises:
        ValueError: If the shapes differ, there is no clip, or a value is neither 0 nor 1.

    Source: McNemar (1947); Dietterich (1998), section 3.1, with the binomial tail in place of chi-squared.
    """
    first, second = np.asarray(a), np.asarray(b)
    if first.ndim != 1 or first.shape != second.shape or first.size == 0:
        raise ValueError(f"a and b have shapes {first.shape} and {second.shape}; expected the same (clips,), not empty")
    if not (np.isin(first, (0, 1)).all() and np.isin(second, (0, 1)).all()):
        raise ValueError("a and b must hold only right (1) and wrong (0); run the test per seed, not on averages")
    both, only_a, only_b = (int(found.sum()) for found in (first * second, first > second, second > first))
    discordant = only_a + only_b
    tail = float(special.bdtr(min(only_a, only_b), discordant, 0.5)) if discordant else 1.0
    return McNemar(
        p_value=min(1.0, 2 * tail), only_a=only_a, only_b=only_b, both=both, neither=first.size - both - discordant
    )


def compare_pairs(drawn: Draws, level: float) -> tuple[Floats, Floats]:
    """What the draws say of each difference of two scores, row minus column.

    Returns:
        Two-sided p values of "no difference", not adjusted ``(models, models)``, 1 on the diagonal: the level at which
        the interval just reaches 0. And the ends of the intervals ``(models, models, 2)``: percentiles over groups, and
        what seeds add; where clips are right or wrong and no draw of groups differs, Wilson's bound over groups; NaN
        where no draw of groups changes the difference of other scores.
    """
    models, parts = len(drawn.scores), drawn.pair_parts()
    p_values, ends = np.ones((models, models)), np.full((models, models, 2), np.nan)
    for a, b, apart, differences in _pairs(drawn):
        p_values[a, b] = p_values[b, a] = _p_values(apart, differences, drawn, parts[a, b])
        ends[a, b] = _ends(apart, differences, drawn, parts[a, b], level)
        ends[b, a] = -ends[a, b, ::-1]
    return p_values, ends


def _pairs(drawn: Draws) -> Iterator[tuple[Counts, Counts, Floats, Floats]]:
    """The pairs of models, some at a time: indices, difference and each draw of it, sorted ``(pairs, draws)``."""
    draws = np.ascontiguousarray(drawn.drawn.T)
    firsts, seconds = np.triu_indices(len(draws), 1)
    together = max(1, _MOST_DRAWS // max(1, draws.shape[1]))
    for start in range(0, len(firsts), together):
        a, b = firsts[start : start + together], seconds[start : start + together]
        differences = np.empty((len(a), draws.shape[1]))
        for row, first, second in zip(differences, a.tolist(), b.tolist(), strict=True):
            np.subtract(draws[first], draws[second], out=row)  # no copies of all draws: fresh memory is what costs
        differences.sort(axis=1)
        yield a, b, drawn.scores[a] - drawn.scores[b], differences


def _ends(apart: Floats, differences: Floats, drawn: Draws, parts: Parts, level: float) -> Floats:
    scatters, most = differences[:, -1] - differences[:, 0] > SAME, 1.0 if drawn.fraction else np.inf
    ends = sorted_quantiles(differences, np.array([0.5 - level / 2, 0.5 + level / 2]))
    sides = stretch(drawn.groups - 1, level) * (ends - apart[:, None]) * [-1, 1]
    bound = np.nan if drawn.shares is None else wilson(0, drawn.groups, level).high
    reach = parts[:, None].reach(np.maximum(np.where(scatters[:, None], sides, bound), 0.0), 0.5 - level / 2)
    return np.clip(apart[:, None] + reach * [-1, 1], -most, most)


def _p_values(apart: Floats, differences: Floats, drawn: Draws, parts: Parts) -> Floats:
    """With fewer than 25 draws further out the group part of the interval is that of a normal distribution."""
    low, high = np.full(len(apart), math.log(LEAST_P)), np.zeros(len(apart))
    for _ in range(32):
        middle = (low + high) / 2
        covered = _reach(apart, differences, np.exp(middle) / 2, drawn, parts) >= np.abs(apart)
        low, high = np.where(covered, middle, low), np.where(covered, high, middle)
    return np.where(np.abs(apart) > SAME, np.exp(high), 1.0)


def _reach(apart: Floats, differences: Floats, tail: Floats, drawn: Draws, parts: Parts) -> Floats:
    """How far the interval of each pair extends towards 0 with ``tail`` beyond it ``(pairs,)``."""
    draws = differences.shape[1]
    z, most = np.maximum(-special.ndtri(tail), SAME), max(draws - _FEW, draws // 2)
    at = np.clip((1 - tail) * (draws + 1) - 1, 0, most - 1)
    below = at.astype(np.int64)
    ends = _away(apart, differences, below)
    ends = ends + (at - below) * (_away(apart, differences, np.minimum(below + 1, most)) - ends)
    spread = np.sqrt(parts.drawn)
    ends = np.where(tail * (draws + 1) < _FEW, np.maximum(ends, spread * z), ends)
    flat = z**2 / (drawn.groups + z**2) if drawn.shares is not None else 1e9
    student = -special.stdtrit(drawn.groups - 1, tail)
    differs = differences[:, -1] - differences[:, 0] > SAME
    ends = np.where(differs, np.maximum(0.0, student / z * ends), flat)
    return parts.reach(ends, tail, student)


def _away(apart: Floats, differences: Floats, place: Counts) -> Floats:
    """How far the draw of each difference at ``place``, counted away from it towards 0, lies from it ``(pairs,)``."""
    pairs, below = np.arange(len(apart)), apart < 0
    away = differences[pairs, np.where(below, place, differences.shape[1] - 1 - place)] - apart
    return np.where(below, away, -away)


def paired_cluster_bootstrap(
    a: Evidence, b: Evidence, groups: ArrayLike | None, *, draws: int = 4000, seed: int = 0, level: float = 0.95
) -> Comparison | Refusal:
    """Difference of two scores on the same clips, over groups and seeds.

    Args:
        a: Values per clip, ``(clips,)`` or ``(seeds, clips)``, or a resampled score.
        b: The same of the other model; the number of seeds may differ.
        groups: One label per clip ``(clips,)``; ``None`` = every clip alone.
        draws: Resamples; both models see the same groups in each.
        seed: Of the resampling.
        level: Nominal coverage.

    Returns:
        The comparison, or a refusal below five groups and where no resample differs. Clips are never counted once per
        seed: seeds are averaged first. Where clips are right or wrong and none separates the two, the ends are the
        upper bound of Wilson's interval for the rate of groups that could.

    Raises:
        ValueError: If shapes do not fit, values are not finite or ``level`` is no level.
    """
    check_level(level)
    drawn = draw_scores([a, b], groups, draws=draws, seed=seed)
    if isinstance(drawn, Refusal):
        return drawn
    p_values, ends = compare_pairs(drawn, level)
    interval = _difference(drawn, ends[0, 1], level)
    if isinstance(interval, Refusal):
        return interval
    resolution = float(pair_resolutions(drawn)[0, 1])
    return Comparison(
        difference=interval.estimate,
        interval=interval,
        p_value=float(p_values[0, 1]),
        clips=drawn.clips,
        groups=drawn.groups,
        seeds=(int(drawn.seeds[0]), int(drawn.seeds[1])),
        discordance=None if drawn.shares is None else mean_discordance(*drawn.shares),
        resolution=resolution if resolution > 0 else Refusal(reason="no group of clips tells the two apart"),
    )


def _difference(drawn: Draws, ends: Floats, level: float) -> Interval | Refusal:
    """The interval of the score of the first of two models minus that of the second."""
    low, high = ends.tolist()
    if math.isnan(low):
        return Refusal(reason="no draw of groups changes the difference: its scatter is unknown")
    if np.ptp(drawn.drawn[:, 0] - drawn.drawn[:, 1]) > SAME:
        how = "of the score itself (centred percentile, t)" if drawn.recomputed else "(percentile, t)"
        method = f"paired bootstrap over {drawn.groups} groups {how}"
    else:
        method = f"Wilson bound over {drawn.groups} groups (no draw differs)"
    method += over_seeds(int(drawn.seeds.min()))
    return Interval(estimate=float(drawn.scores[0] - drawn.scores[1]), low=low, high=high, level=level, method=method)


def mean_discordance(a: Floats, b: Floats) -> float:
    """How often exactly one is right, averaged over pairs of seeds, of how often each clip was right ``(clips,)``."""
    return float((a * (1 - b) + b * (1 - a)).mean())


def pair_resolutions(drawn: Draws, level: float = 0.95) -> Floats:
    """True difference of each pair that one test finds in four of five cases ``(models, models)``; NaN if unknown.

    Half an interval and 0.84 standard errors: over many groups, with one seed each and independent clips that are
    right or wrong, ``2.8 * sqrt(discordance / clips)``.
    """
    parts, tail = drawn.pair_parts(), 0.5 - level / 2
    ends = -special.stdtrit(drawn.groups - 1, tail) * np.sqrt(parts.drawn)
    error = np.sqrt(parts.clips + parts.seeds)
    found: Floats = np.where(error > 1e-9, parts.reach(ends, tail) + POWER * error, np.nan)
    return found
