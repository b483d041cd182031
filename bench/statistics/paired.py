"""Model A against model B on the same clips."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from bench.statistics._checks import Floats, check_level, seeds_by_clips
from bench.statistics.bootstrap import GroupedScores, draw_accuracies, group_scores, stretch, too_few_groups
from bench.statistics.proportion import minimum_detectable_difference, wilson
from bench.statistics.results import Interval, Refusal

_FEW = 25


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

    @property
    def discordance(self) -> float:
        """Fraction of clips on which exactly one is right."""
        return (self.only_a + self.only_b) / (self.only_a + self.only_b + self.both + self.neither)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Accuracy of A minus accuracy of B on shared clips, averaged over seeds.

    Attributes:
        difference: A minus B, a fraction; positive = A is better.
        interval: Of the difference.
        p_value: Two-sided, from the same draws, so that it falls below ``1 - level`` where the interval leaves out 0
            (to within the randomness of the draws).
        clips: Shared clips.
        groups: Groups among them.
        seeds: Seeds of A and of B.
        discordance: Average fraction of clips on which exactly one of a trained A and a trained B is right.
        resolution: Minimum detectable difference here, or why it is unknown.
    """

    difference: float
    interval: Interval
    p_value: float
    clips: int
    groups: int
    seeds: tuple[int, int]
    discordance: float
    resolution: float | Refusal

    @property
    def resolved(self) -> bool:
        """Whether the data tell A and B apart."""
        return not self.interval.covers(0.0)


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
    right_a, right_b = first.astype(bool), second.astype(bool)
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    discordant = only_a + only_b
    tail = float(special.bdtr(min(only_a, only_b), discordant, 0.5)) if discordant else 1.0
    return McNemar(
        p_value=min(1.0, 2 * tail),
        only_a=only_a,
        only_b=only_b,
        both=int((right_a & right_b).sum()),
        neither=int((~right_a & ~right_b).sum()),
    )


def mean_discordance(a: Floats, b: Floats) -> float:
    """Average over pairs of seeds of the fraction of clips on which exactly one is right.

    Args:
        a: ``(seeds, clips)``.
        b: ``(seeds, clips)``.

    Returns:
        A fraction.
    """
    share_a, share_b = a.mean(0), b.mean(0)
    return float((share_a * (1 - share_b) + share_b * (1 - share_a)).mean())


def two_sided_p(differences: Floats, freedom: Floats) -> Floats:
    """Two-sided p value of "no difference" from draws of a difference.

    Args:
        differences: ``(draws, pairs)``.
        freedom: Degrees of freedom of each pair ``(pairs,)``.

    Returns:
        ``(pairs,)``. The share of draws beyond 0 gives the normal score that Student's distribution turns into a
        probability; with fewer than 25 draws there, the score is the mean over the spread of the draws.
    """
    draws = differences.shape[0]
    tail = np.minimum((differences <= 1e-12).sum(0), (differences >= -1e-12).sum(0))
    counted = -special.ndtri(np.minimum((tail + 1) / (draws + 1), 0.5))
    spread = differences.std(0)
    ratio = np.abs(differences.mean(0)) / np.where(spread > 1e-12, spread, np.inf)
    least = -float(special.ndtri((_FEW + 1) / (draws + 1))) if draws > 2 * _FEW else 0.0
    score = np.where(tail < _FEW, np.maximum(ratio, least * (spread > 1e-12)), counted)
    result: Floats = np.minimum(1.0, 2 * special.stdtr(freedom, -score))
    return result


def paired_cluster_bootstrap(
    a: ArrayLike,
    b: ArrayLike,
    groups: ArrayLike | None,
    *,
    draws: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Comparison | Refusal:
    """Difference of two accuracies on the same clips, over groups and seeds.

    Args:
        a: Right (1) or wrong (0), ``(clips,)`` or ``(seeds, clips)``.
        b: The same clips; the number of seeds may differ.
        groups: One label per clip ``(clips,)``; ``None`` = every clip alone.
        draws: Resamples; both models see the same groups in each.
        seed: Of the resampling.
        level: Nominal coverage.

    Returns:
        The comparison, or a refusal below five groups. Clips are never counted once per seed: seeds are averaged
        first. Where no clip separates the two, the ends are the upper bound of Wilson's interval
        for the rate of groups that could.

    Raises:
        ValueError: If shapes do not fit, values lie outside [0, 1] or ``level`` is no level.
    """
    check_level(level)
    first, second = seeds_by_clips(a, "a"), seeds_by_clips(b, "b")
    scores = group_scores([first, second], groups)
    refusal = too_few_groups(scores.sizes.size)
    if refusal is not None:
        return refusal
    drawn = draw_accuracies(scores, draws, np.random.default_rng(seed))
    discordance = mean_discordance(first, second)
    clips = first.shape[1]
    return Comparison(
        difference=float(scores.accuracy[0] - scores.accuracy[1]),
        interval=difference_interval(scores, drawn, level),
        p_value=float(two_sided_p(drawn[:, :1] - drawn[:, 1:], scores.pair_freedom[:1, 1])[0]),
        clips=clips,
        groups=scores.sizes.size,
        seeds=(first.shape[0], second.shape[0]),
        discordance=discordance,
        resolution=minimum_detectable_difference(discordance, clips),
    )


def _difference_ends(scores: GroupedScores, drawn: Floats, level: float) -> Floats:
    """Percentiles of the drawn differences, stretched to Student's quantile; the estimate lies between them."""
    centre = float(scores.accuracy[0] - scores.accuracy[1])
    tails = np.array([0.5 - level / 2, 0.5 + level / 2])
    ends = np.quantile(drawn[:, 0] - drawn[:, 1], tails, method="weibull")
    ends = centre + stretch(scores.pair_freedom[0, 1], level) * (ends - centre)
    clipped: Floats = np.clip([min(ends[0], centre), max(ends[1], centre)], -1.0, 1.0)
    return clipped


def difference_interval(scores: GroupedScores, drawn: Floats, level: float) -> Interval:
    """Interval of the difference of the first two models.

    Args:
        scores: Sums within groups of two models.
        drawn: Accuracies under resampling ``(draws, 2)``.
        level: Nominal coverage.

    Returns:
        The interval as fractions.
    """
    groups = scores.sizes.size
    estimate = float(scores.accuracy[0] - scores.accuracy[1])
    if np.ptp(drawn[:, 0] - drawn[:, 1]) > 1e-12:
        low, high = (float(end) for end in _difference_ends(scores, drawn, level))
        method = f"paired bootstrap over {groups} groups (percentile, t)"
    else:
        bound = wilson(0, groups, level).high
        low, high = max(-1.0, estimate - bound), min(1.0, estimate + bound)
        method = f"Wilson bound over {groups} groups (no draw differs)"
    return Interval(estimate=estimate, low=low, high=high, level=level, method=method)
