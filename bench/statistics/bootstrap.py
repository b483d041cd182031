"""The bootstrap over groups: one accuracy, and the machinery that the paired comparison shares.

Clips of one source recording or speaker are right or wrong together, so groups are drawn, never clips.
``G - 1`` of ``G`` groups are drawn with replacement, which makes the variance of the draws unbiased
(Rao & Wu 1988), and the ends are stretched from the normal to Student's quantile.

An accuracy near 1 has a skewed distribution, for which plain percentiles cover too little and miss on one side
(at 400 clips and accuracy 0.95 four misses in five lie above the truth); its ends are corrected for bias and
acceleration (BCa, Efron 1987). ``benchmarks/coverage.py`` measures both choices.

Several seeds: groups are drawn for the average over seeds, which holds what a seed adds to single clips. What
a seed moves as a whole is a variance component of its own, added as normal noise, and Student's quantile takes
Satterthwaite's degrees of freedom of the two. Three seeds are too few to draw from, and drawing them crossed with
groups counts the noise of single clips more than once: the interval comes out too wide.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from bench.statistics._checks import Counts, Floats, check_level, group_codes, seeds_by_clips
from bench.statistics.proportion import wilson
from bench.statistics.results import Interval, Refusal

MIN_GROUPS = 5
"""Below this many groups the draws say little about the spread: refused."""

_CHUNK_CELLS = 4_000_000


@dataclass(frozen=True, slots=True, eq=False)
class GroupedScores:
    """Correct clips of several models, summed within groups and averaged over seeds.

    Attributes:
        sums: ``(groups, models)``.
        sizes: Clips per group ``(groups,)``.
        seed_variance: Variance of each model's accuracy that its seeds add as a whole ``(models,)``.
        seeds: Seeds of each model ``(models,)``.
    """

    sums: Floats
    sizes: Floats
    seed_variance: Floats
    seeds: Counts

    @property
    def accuracy(self) -> Floats:
        """Accuracy of each model over all clips and seeds ``(models,)``."""
        result: Floats = self.sums.sum(0) / self.sizes.sum()
        return result

    @property
    def residuals(self) -> Floats:
        """Correct clips of a group beyond the model's average ``(groups, models)``."""
        result: Floats = self.sums - self.sizes[:, None] * self.accuracy
        return result

    @property
    def group_covariance(self) -> Floats:
        """Covariance of the accuracies due to the choice of groups ``(models, models)``."""
        groups = self.sizes.size
        scale = groups / ((groups - 1) * self.sizes.sum() ** 2)
        result: Floats = self.residuals.T @ self.residuals * scale
        return result

    @property
    def seed_squares(self) -> Floats:
        """Squared seed variance over its degrees of freedom ``(models,)``."""
        result: Floats = self.seed_variance**2 / np.maximum(self.seeds - 1, 1)
        return result

    @property
    def freedom(self) -> Floats:
        """Degrees of freedom of each model's accuracy ``(models,)``."""
        group = np.diag(self.group_covariance)
        return degrees_of_freedom(group, self.seed_variance, self.seed_squares, self.sizes.size)

    @property
    def pair_freedom(self) -> Floats:
        """Degrees of freedom of each difference of two accuracies ``(models, models)``."""
        own = np.diag(self.group_covariance)
        group = np.maximum(own[:, None] + own - 2 * self.group_covariance, 0.0)
        seed = self.seed_variance[:, None] + self.seed_variance
        squares = self.seed_squares[:, None] + self.seed_squares
        return degrees_of_freedom(group, seed, squares, self.sizes.size)


def group_scores(correct: list[Floats], groups: ArrayLike | None) -> GroupedScores:
    """Sum correctness within groups.

    Args:
        correct: For each model ``(seeds, clips)``; the clips are the same, the number of seeds may differ.
        groups: One label per clip, or ``None`` where every clip stands alone.

    Returns:
        Sums, sizes and the variance that seeds add.

    Raises:
        ValueError: If the clips are not the same for all.
    """
    clips = correct[0].shape[1]
    if any(c.shape[1] != clips for c in correct):
        raise ValueError(f"models have {sorted({c.shape[1] for c in correct})} clips; compare on the same clips only")
    codes, sizes = group_codes(groups, clips)
    by_seed = [_sum_groups(c, codes, sizes.size) for c in correct]
    return GroupedScores(
        sums=np.stack([sums.mean(0) for sums in by_seed], axis=1),
        sizes=sizes,
        seed_variance=np.array([_seed_variance(sums, sizes) for sums in by_seed]),
        seeds=np.array([c.shape[0] for c in correct], dtype=np.int64),
    )


def _sum_groups(correct: Floats, codes: Counts, groups: int) -> Floats:
    return np.stack([np.bincount(codes, weights=row, minlength=groups) for row in correct])


def _seed_variance(sums: Floats, sizes: Floats) -> float:
    """Variance of the seed-averaged accuracy due to whole seeds, 0 where the clips' own noise explains it.

    Args:
        sums: ``(seeds, groups)``.
        sizes: ``(groups,)``.

    Returns:
        A squared fraction; the positive part of a two-way variance component.
    """
    seeds, groups = sums.shape
    if seeds < 2 or groups < 2:
        return 0.0
    total = float(sizes.sum())
    deviation = sums.sum(1) / total - sums.sum() / (seeds * total)
    observed = float((deviation**2).sum()) / (seeds - 1)
    interaction = sums - sums.mean(0) - deviation[:, None] * sizes
    explained = float((interaction**2).sum()) * groups / ((groups - 1) * (seeds - 1) * total**2)
    excess = max(0.0, observed - explained)
    return float(excess / seeds)


def draw_accuracies(scores: GroupedScores, draws: int, rng: np.random.Generator) -> Floats:
    """Accuracies under resampling, the same groups for every model.

    Args:
        scores: Sums within groups.
        draws: How many resamples.
        rng: Source of randomness.

    Returns:
        ``(draws, models)``.
    """
    parts = [(w @ scores.sums) / (w @ scores.sizes)[:, None] for w in group_weights(scores.sizes.size, draws, rng)]
    result: Floats = np.concatenate(parts)
    noisy = np.flatnonzero(scores.seed_variance)
    result[:, noisy] += np.sqrt(scores.seed_variance[noisy]) * rng.standard_normal((draws, noisy.size))
    return result


def group_weights(groups: int, draws: int, rng: np.random.Generator) -> Iterator[Floats]:
    """How often each group was drawn, some draws at a time.

    Args:
        groups: How many groups there are; one fewer is drawn, with replacement.
        draws: Resamples in all.
        rng: Source of randomness.

    Yields:
        Counts ``(some draws, groups)``.
    """
    chunk = max(1, _CHUNK_CELLS // groups)
    for start in range(0, draws, chunk):
        rows = min(chunk, draws - start)
        drawn = rng.integers(0, groups, size=(rows, groups - 1))
        drawn += groups * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * groups).reshape(rows, groups).astype(np.float64)


def degrees_of_freedom(group: Floats, seed: Floats, seed_squares: Floats, groups: int) -> Floats:
    """Satterthwaite's degrees of freedom of a variance made of groups and seeds.

    Args:
        group: Variance due to groups, any shape.
        seed: Variance due to whole seeds, of the same shape.
        seed_squares: Sum over models of their squared seed variance divided by (seeds - 1), of the same shape.
        groups: How many groups there are.

    Returns:
        At least 1 and at most ``groups - 1``, of the same shape.
    """
    total = np.maximum((group + seed) ** 2, 1e-300)
    share = group**2 / (groups - 1) + seed_squares
    freedom: Floats = np.clip(total / np.maximum(share, total / (groups - 1)), 1.0, groups - 1.0)
    return freedom


def stretch(freedom: Floats, level: float) -> Floats:
    """Student's quantile over the normal one: how far the ends move out for few groups or seeds.

    Args:
        freedom: Degrees of freedom, any shape.
        level: Nominal coverage.

    Returns:
        Factors of at least 1, of the same shape.
    """
    upper = 0.5 + level / 2
    factor: Floats = special.stdtrit(freedom, upper) / special.ndtri(upper)
    return factor


def accuracy_ends(scores: GroupedScores, drawn: Floats, level: float) -> Floats:
    """Ends of the BCa interval of each model's accuracy, stretched to Student's quantile.

    Bias correction and acceleration of a mean are both a sixth of its skewness. Counting draws below the estimate,
    the usual way to the first, is at the mercy of ties: accuracies lie on a grid.

    Args:
        scores: Sums within groups.
        drawn: Accuracies under resampling ``(draws, models)``.
        level: Nominal coverage.

    Returns:
        ``(2, models)``, clipped to [0, 1].
    """
    centre = scores.accuracy
    total_squares = (scores.residuals**2).sum(0) + scores.seed_variance * scores.sizes.sum() ** 2
    skew = (scores.residuals**3).sum(0) / (6 * np.maximum(total_squares, 1e-12) ** 1.5)
    shifted = skew + special.ndtri(0.5 - level / 2) * np.array([[1.0], [-1.0]])
    levels = special.ndtr(skew + shifted / np.maximum(1 - skew * shifted, 1e-3))
    ends = np.stack([np.quantile(d, at, method="weibull") for d, at in zip(drawn.T, levels.T, strict=True)], axis=1)
    factor = stretch(scores.freedom, level)
    return np.clip(centre + factor * (ends - centre), 0.0, 1.0)


def too_few_groups(groups: int) -> Refusal | None:
    """The refusal for too few groups, ``None`` where there are enough."""
    if groups >= MIN_GROUPS:
        return None
    reason = f"{groups} group{'s' if groups != 1 else ''}: an interval over groups needs at least {MIN_GROUPS}"
    return Refusal(reason=reason, have=groups, need=MIN_GROUPS)


def cluster_bootstrap(
    correct: ArrayLike, groups: ArrayLike | None, *, draws: int = 2000, seed: int = 0, level: float = 0.95
) -> Interval | Refusal:
    """Interval of one accuracy whose clips come in groups.

    Args:
        correct: Right (1) or wrong (0) per clip, ``(clips,)`` or ``(seeds, clips)``: then of the mean over seeds.
        groups: One label per clip ``(clips,)``: source recording, speaker; ``None`` = every clip alone.
        draws: Resamples.
        seed: Of the resampling; equal seeds give equal intervals.
        level: Nominal coverage.

    Returns:
        The interval as fractions, or a refusal below five groups. Where every clip has the same outcome no
        resample can differ: then Wilson's interval with each group counted as one trial.

    Raises:
        ValueError: If shapes do not fit, values lie outside [0, 1] or ``level`` is no level.
    """
    check_level(level)
    scores = group_scores([seeds_by_clips(correct)], groups)
    refusal = too_few_groups(scores.sizes.size)
    if refusal is not None:
        return refusal
    drawn = draw_accuracies(scores, draws, np.random.default_rng(seed))
    return accuracy_intervals(scores, drawn, level)[0]


def accuracy_intervals(scores: GroupedScores, drawn: Floats, level: float) -> tuple[Interval, ...]:
    """The interval of each model's accuracy.

    Args:
        scores: Sums within groups.
        drawn: Accuracies under resampling ``(draws, models)``.
        level: Nominal coverage.

    Returns:
        One interval per model.
    """
    ends = accuracy_ends(scores, drawn, level)
    groups = scores.sizes.size
    results = []
    for model, centre in enumerate(scores.accuracy):
        if np.ptp(drawn[:, model]) > 1e-12:
            low, high = float(min(ends[0, model], centre)), float(max(ends[1, model], centre))
            method = f"bootstrap over {groups} groups (BCa, t)"
        else:
            bound = wilson(float(centre) * groups, groups, level)
            low, high, method = bound.low, bound.high, f"Wilson over {groups} groups (no draw differs)"
        results.append(Interval(estimate=float(centre), low=low, high=high, level=level, method=method))
    return tuple(results)
