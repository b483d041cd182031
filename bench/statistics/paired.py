"""Model A against model B: on the same clips, and over folds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from bench.statistics.bootstrap import POWER_FACTOR, minimum_detectable_difference, stretch, wilson
from bench.statistics.draws import SAME, Draws, Evidence, draw_scores
from bench.statistics.results import Floats, Interval, Refusal, check_level, finite_vector

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
    """Score of A minus score of B on shared clips, averaged over seeds.

    Attributes:
        difference: A minus B; positive = A scores higher.
        interval: Of the difference.
        p_value: Two-sided, from the same draws, so that it falls below ``1 - level`` where the interval leaves out 0
            (to within the randomness of the draws).
        clips: Shared clips.
        groups: Groups among them.
        seeds: Seeds of A and of B.
        discordance: Average fraction of clips on which exactly one of a trained A and a trained B is right; ``None``
            where clips are not right or wrong.
        resolution: Minimum detectable difference here, or why it is unknown.
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
    both, only_a, only_b = (int(found.sum()) for found in (first * second, first > second, second > first))
    discordant = only_a + only_b
    tail = float(special.bdtr(min(only_a, only_b), discordant, 0.5)) if discordant else 1.0
    return McNemar(
        p_value=min(1.0, 2 * tail),
        only_a=only_a,
        only_b=only_b,
        both=both,
        neither=first.size - both - discordant,
    )


def two_sided_p(differences: Floats, freedom: Floats) -> Floats:
    """Two-sided p value of "no difference" of each pair from draws of differences ``(draws, pairs)``.

    The share of draws beyond 0 gives the normal score that Student's distribution turns into a probability; with fewer
    than 25 draws there, the score is the mean over the spread of the draws.
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
    a: Evidence,
    b: Evidence,
    groups: ArrayLike | None,
    *,
    draws: int = 2000,
    seed: int = 0,
    level: float = 0.95,
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
    interval = difference_interval(drawn, 0, 1, level)
    if isinstance(interval, Refusal):
        return interval
    return Comparison(
        difference=interval.estimate,
        interval=interval,
        p_value=float(two_sided_p(drawn.drawn[:, :1] - drawn.drawn[:, 1:], drawn.pair_freedom[:1, 1])[0]),
        clips=drawn.clips,
        groups=drawn.groups,
        seeds=(int(drawn.seeds[0]), int(drawn.seeds[1])),
        discordance=None if drawn.shares is None else mean_discordance(*drawn.shares),
        resolution=median_resolution(drawn),
    )


def difference_interval(drawn: Draws, a: int, b: int, level: float) -> Interval | Refusal:
    """Interval of the score of model ``a`` minus that of ``b``: percentiles, stretched to Student's quantile."""
    estimate, differences = float(drawn.scores[a] - drawn.scores[b]), drawn.drawn[:, a] - drawn.drawn[:, b]
    most = 1.0 if drawn.fraction else np.inf
    if np.ptp(differences) > SAME:
        ends = np.quantile(differences, [0.5 - level / 2, 0.5 + level / 2], method="weibull")
        low, high = estimate + stretch(drawn.pair_freedom[a, b], level) * (ends - estimate)
        how = "of the score itself (centred percentile, t)" if drawn.recomputed else "(percentile, t)"
        method = f"paired bootstrap over {drawn.groups} groups {how}"
    elif drawn.shares is not None:
        bound = wilson(0, drawn.groups, level).high
        low, high = estimate - bound, estimate + bound
        method = f"Wilson bound over {drawn.groups} groups (no draw differs)"
    else:
        return Refusal(reason="no draw of groups changes the difference: its scatter is unknown")
    low, high = max(-most, min(float(low), estimate)), min(most, max(float(high), estimate))
    return Interval(estimate=estimate, low=low, high=high, level=level, method=method)


def mean_discordance(a: Floats, b: Floats) -> float:
    """How often exactly one is right, averaged over pairs of seeds, of how often each clip was right ``(clips,)``."""
    return float((a * (1 - b) + b * (1 - a)).mean())


def median_resolution(drawn: Draws) -> float | Refusal:
    """Minimum detectable difference at 80 % power of the median pair of models, or why it is unknown.

    From the discordance where clips are right or wrong, else 2.8 standard errors of the difference.
    """
    pairs = list(combinations(range(len(drawn.scores)), 2))
    if not pairs:
        return Refusal(reason="one model: there is no pair to compare", have=1, need=2)
    if drawn.shares is not None:
        rates = [mean_discordance(drawn.shares[i], drawn.shares[j]) for i, j in pairs]
        return minimum_detectable_difference(float(np.median(rates)), drawn.clips)
    errors = [float((drawn.drawn[:, i] - drawn.drawn[:, j]).std(ddof=1)) for i, j in pairs]
    known = [error for error in errors if error > SAME]
    if not known:
        return Refusal(reason="no draw of groups changes the difference of any pair")
    return POWER_FACTOR * float(np.median(known))


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldTest:
    """Corrected resampled t test over folds.

    Attributes:
        interval: Of the mean difference.
        statistic: Student's t with the corrected standard error.
        freedom: Degrees of freedom, folds minus one.
        p_value: Two-sided.
        factor: What the naive standard error was multiplied by.
    """

    interval: Interval
    statistic: float
    freedom: int
    p_value: float
    factor: float


def correction_factor(folds: int, test_to_train: float) -> float:
    """How much wider the standard error over folds is than the naive one.

    Args:
        folds: Test folds that were averaged.
        test_to_train: Test clips divided by training clips.

    Returns:
        ``sqrt((1/k + n_test/n_train) / (1/k))``: 1.50 for five folds trained on four, 1.63 trained on three.

    Raises:
        ValueError: If there is no fold or the ratio is not positive.

    Source: Nadeau & Bengio (1999; 2003), the corrected resampled t test.
    """
    if folds < 1:
        raise ValueError(f"folds is {folds}; at least one is needed")
    if not (math.isfinite(test_to_train) and test_to_train > 0):
        raise ValueError(f"test_to_train is {test_to_train}; it must be test clips / training clips, above 0")
    return math.sqrt((1 / folds + test_to_train) * folds)


def corrected_fold_t(differences: ArrayLike, test_to_train: float, *, level: float = 0.95) -> FoldTest | Refusal:
    """Test the mean of per-fold differences without pretending that folds are independent.

    Args:
        differences: Score of A minus score of B on each fold ``(folds,)``, seeds averaged first.
        test_to_train: Test clips divided by training clips: 0.25 for ``4+1``, 1/3 for ``3+1+1``.
        level: Nominal coverage.

    Returns:
        The test, or a refusal with fewer than two folds or where all differences are equal.

    Raises:
        ValueError: If an argument is no finite vector, no ratio or no level.

    Source: Nadeau & Bengio (1999; 2003).
    """
    check_level(level)
    values = finite_vector(differences, "differences")
    factor = correction_factor(max(1, values.size), test_to_train)
    if values.size < 2:
        return Refusal(reason=f"{values.size} folds: a test over folds needs at least 2", have=values.size, need=2)
    deviation = float(values.std(ddof=1))
    mean = float(values.mean())
    if deviation <= 1e-12 * max(1.0, abs(mean)):
        return Refusal(reason="all folds differ by the same amount: their scatter is unknown", have=1, need=2)
    error = factor * deviation / math.sqrt(values.size)
    freedom = values.size - 1
    half = float(special.stdtrit(freedom, 0.5 + level / 2)) * error
    method = "corrected t over folds"
    return FoldTest(
        interval=Interval(estimate=mean, low=mean - half, high=mean + half, level=level, method=method),
        statistic=mean / error,
        freedom=freedom,
        p_value=float(2 * special.stdtr(freedom, -abs(mean / error))),
        factor=factor,
    )
