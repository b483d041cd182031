"""The bootstrap of a score that is no mean over clips, such as mean average precision.

The caller computes the score under each weighting of :func:`clip_weights`; here the draws become intervals. Groups are
drawn as in :mod:`bench.statistics.bootstrap`, the ends are stretched to Student's quantile, and what seeds move as a
whole is added as normal noise. Such scores are biased on few clips, and a resample holds fewer distinct clips still:
draws are therefore shifted so that their mean is the estimate, and the interval is that of the score expected on test
sets of this size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.statistics._checks import Floats, check_level, group_codes
from bench.statistics.bootstrap import degrees_of_freedom, group_weights, stretch, too_few_groups
from bench.statistics.paired import two_sided_p
from bench.statistics.results import Interval, Refusal

POWER_80 = 2.8
"""Standard errors that a true difference must measure to be found at 5 % with 80 % power."""


@dataclass(frozen=True, slots=True, eq=False)
class Resampled:
    """A score of one model, as observed and under resampling.

    Attributes:
        observed: The score of each seed ``(seeds,)``.
        drawn: The same under each draw of groups ``(seeds, draws)``; NaN where a draw left it undefined.
        groups: How many groups were drawn from.
    """

    observed: Floats
    drawn: Floats
    groups: int

    def __post_init__(self) -> None:
        """Check the shapes.

        Raises:
            ValueError: They do not fit, a value is not finite, or a draw is defined for some seeds only.
        """
        if self.observed.ndim != 1 or self.drawn.ndim != 2 or len(self.observed) != len(self.drawn):
            raise ValueError(
                f"observed has shape {self.observed.shape}, drawn {self.drawn.shape}; expected one per seed"
            )
        if not np.isfinite(self.observed).all():
            raise ValueError("observed holds values that are not finite")

    @property
    def seed_variance(self) -> float:
        """Variance of the mean over seeds due to whole seeds; 0 where the clips' own noise explains the scatter."""
        seeds = len(self.observed)
        if seeds < 2:
            return 0.0
        own = self.drawn - self.drawn.mean(axis=0)
        explained = float(np.nansum(np.nanvar(own, axis=1, ddof=1))) / (seeds - 1)
        return max(0.0, float(self.observed.var(ddof=1)) - explained) / seeds


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreComparison:
    """Score of A minus score of B on shared clips, averaged over seeds.

    Attributes:
        difference: A minus B; positive = A scores higher.
        interval: Of the difference.
        p_value: Two-sided, from the same draws.
        clips: Shared clips.
        groups: Groups among them.
        seeds: Seeds of A and of B.
        resolution: Minimum detectable difference at 80 % power: 2.8 standard errors of the difference.
    """

    difference: float
    interval: Interval
    p_value: float
    clips: int
    groups: int
    seeds: tuple[int, int]
    resolution: float

    @property
    def resolved(self) -> bool:
        """Whether the data tell A and B apart."""
        return not self.interval.covers(0.0)


def clip_weights(
    groups: ArrayLike | None, clips: int, *, draws: int = 1000, seed: int = 0
) -> tuple[NDArray[np.float32], int] | Refusal:
    """How often each clip stands in each draw of groups.

    Args:
        groups: One label per clip ``(clips,)``; ``None`` = every clip alone.
        clips: How many clips there are.
        draws: Resamples.
        seed: Of the resampling.

    Returns:
        Counts ``(clips, draws)`` and the number of groups, or a refusal below five groups.

    Raises:
        ValueError: If the lengths differ.
    """
    codes, sizes = group_codes(groups, clips)
    refusal = too_few_groups(sizes.size)
    if refusal is not None:
        return refusal
    drawn = np.concatenate(list(group_weights(sizes.size, draws, np.random.default_rng(seed))))
    return np.ascontiguousarray(drawn.astype(np.float32).T[codes]), int(sizes.size)


def score_interval(score: Resampled, *, level: float = 0.95, seed: int = 0) -> Interval | Refusal:
    """Interval of one score averaged over seeds.

    Args:
        score: Of one model.
        level: Nominal coverage.
        seed: Of the noise that stands for seeds.

    Returns:
        The interval, clipped to [0, 1], or a refusal where no draw differs.
    """
    check_level(level)
    made = _ends([score], level, seed)
    if isinstance(made, Refusal):
        return made
    estimate, (low, high), _ = made
    method = f"bootstrap over {score.groups} groups of the score itself (centred percentile, t)"
    return Interval(estimate=estimate, low=max(0.0, low), high=min(1.0, high), level=level, method=method)


def compare_scores(
    a: Resampled, b: Resampled, clips: int, *, level: float = 0.95, seed: int = 0
) -> ScoreComparison | Refusal:
    """Difference of two scores under the same draws.

    Args:
        a: Of model A.
        b: Of model B, drawn with the same weights; the number of seeds may differ.
        clips: Shared clips.
        level: Nominal coverage.
        seed: Of the noise that stands for seeds.

    Returns:
        The comparison, or a refusal where no draw differs.

    Raises:
        ValueError: If the draws are not the same.
    """
    check_level(level)
    if a.drawn.shape[1] != b.drawn.shape[1] or a.groups != b.groups:
        raise ValueError("a and b were not drawn with the same weights")
    made = _ends([a, b], level, seed)
    if isinstance(made, Refusal):
        return made
    estimate, (low, high), (drawn, freedom) = made
    method = f"paired bootstrap over {a.groups} groups of the score itself (centred percentile, t)"
    return ScoreComparison(
        difference=estimate,
        interval=Interval(estimate=estimate, low=low, high=high, level=level, method=method),
        p_value=float(two_sided_p(drawn[:, None], freedom)[0]),
        clips=clips,
        groups=a.groups,
        seeds=(len(a.observed), len(b.observed)),
        resolution=POWER_80 * float(drawn.std(ddof=1)),
    )


_Ends = tuple[float, tuple[float, float], tuple[Floats, Floats]]


def _ends(scores: list[Resampled], level: float, seed: int) -> _Ends | Refusal:
    """Estimate, ends, and draws with their degrees of freedom: of one score, or of the first minus the second."""
    signs = (1.0, -1.0)[: len(scores)]
    estimate = sum(sign * float(one.observed.mean()) for sign, one in zip(signs, scores, strict=True))
    drawn = np.sum([sign * one.drawn.mean(axis=0) for sign, one in zip(signs, scores, strict=True)], axis=0)
    drawn = drawn[np.isfinite(drawn)]
    if drawn.size < 2 or np.ptp(drawn) <= 1e-12:
        return Refusal(reason="no draw of groups changes the score: its scatter is unknown")
    own = np.array([one.seed_variance for one in scores])
    squares = sum(variance**2 / max(len(one.observed) - 1, 1) for variance, one in zip(own, scores, strict=True))
    freedom = degrees_of_freedom(
        np.array([drawn.var(ddof=1)]), np.array([own.sum()]), np.array([squares]), scores[0].groups
    )
    noise = np.sqrt(own.sum()) * np.random.default_rng(seed).standard_normal(drawn.size)
    centred: Floats = drawn - drawn.mean() + estimate + noise
    tails = np.quantile(centred, [0.5 - level / 2, 0.5 + level / 2], method="weibull")
    ends = estimate + stretch(freedom, level) * (tails - estimate)
    return estimate, (min(float(ends[0]), estimate), max(float(ends[1]), estimate)), (centred, freedom)
