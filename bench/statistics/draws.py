"""Scores of several models under the same draws of groups: what intervals, comparisons and rankings are made of.

Clips of one source recording or speaker are right or wrong together, so groups are drawn, never clips.
``G - 1`` of ``G`` groups are drawn with replacement, which makes the variance of the draws unbiased
(Rao & Wu 1988), and the ends are stretched from the normal to Student's quantile.

A model comes either as its values per clip, whose mean is the score (right or wrong, a loss), or as a score that was
recomputed under the weights of :func:`clip_weights` (mean average precision). A recomputed score is biased on few
clips, and a resample holds fewer distinct clips still: its draws are shifted so that their mean is the estimate, and
the interval is that of the score expected on test sets of this size.

Several seeds: groups are drawn for the average over seeds, which holds what a seed adds to single clips. What
a seed moves as a whole is a variance component of its own, added as normal noise, and Student's quantile takes
Satterthwaite's degrees of freedom of the two. Three seeds are too few to draw from, and drawing them crossed with
groups counts the noise of single clips more than once: the interval comes out too wide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.statistics.results import Counts, Floats, Refusal, group_codes, right_or_wrong, seeds_by_clips, too_few

MIN_GROUPS = 5
"""Below this many groups the draws say little about the spread: refused."""

SAME = 1e-12
"""Draws that differ by no more are equal."""

_CHUNK_CELLS = 4_000_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Resampled:
    """A score of one model that is no mean over clips, as observed and under the weights of :func:`clip_weights`.

    Attributes:
        observed: The score of each seed ``(seeds,)``.
        drawn: The same under each draw of groups ``(seeds, draws)``; NaN where a draw left it undefined.
        clips: How many clips there are.
        groups: How many groups were drawn from.
        fraction: Whether it lies between 0 and 1.
    """

    observed: Floats
    drawn: Floats
    clips: int
    groups: int
    fraction: bool = True

    def __post_init__(self) -> None:
        """Check the shapes.

        Raises:
            ValueError: They do not fit, or an observed value is not finite.
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


Evidence = ArrayLike | Resampled
"""What is known of one model: values per clip ``(clips,)`` or ``(seeds, clips)``, or a score under resampling."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Draws:
    """Scores of several models on the same clips, as observed and under the same draws of groups.

    Attributes:
        scores: Over all clips and seeds ``(models,)``.
        drawn: Under each draw, with the noise that stands for seeds ``(draws, models)``.
        covariance: Of the scores, due to the choice of groups ``(models, models)``.
        skew: A sixth of each score's skewness ``(models,)``; 0 for plain percentiles.
        seed_variance: Variance of each score that its seeds add as a whole ``(models,)``.
        seeds: Seeds of each model ``(models,)``.
        clips: Shared clips.
        groups: Groups among them.
        shares: How often each clip was right ``(models, clips)``; ``None`` for any other score.
        fraction: Whether scores lie between 0 and 1.
        lone: Whether every clip is a group of its own.
        recomputed: Whether they are scores of weighted clips rather than means of values per clip.
    """

    scores: Floats
    drawn: Floats
    covariance: Floats
    skew: Floats
    seed_variance: Floats
    seeds: Counts
    clips: int
    groups: int
    shares: Floats | None = None
    fraction: bool
    lone: bool = False
    recomputed: bool = False

    @property
    def freedom(self) -> Floats:
        """Degrees of freedom of each score ``(models,)``."""
        return self._satterthwaite(np.diag(self.covariance), lambda values: values)

    @property
    def pair_freedom(self) -> Floats:
        """Degrees of freedom of each difference of two scores ``(models, models)``."""
        own = np.diag(self.covariance)
        group = np.maximum(own[:, None] + own - 2 * self.covariance, 0.0)
        return self._satterthwaite(group, lambda values: values[:, None] + values)

    def _satterthwaite(self, group: Floats, over: Callable[[Floats], Floats]) -> Floats:
        """Degrees of freedom of a variance made of groups and seeds, at least 1 and at most ``groups - 1``."""
        most = self.groups - 1
        total = np.maximum((group + over(self.seed_variance)) ** 2, 1e-300)
        share = group**2 / most + over(self.seed_variance**2 / np.maximum(self.seeds - 1, 1))
        freedom: Floats = np.clip(total / np.maximum(share, total / most), 1.0, float(most))
        return freedom


def draw_scores(
    models: Sequence[Evidence], groups: ArrayLike | None, *, draws: int, seed: int | np.random.Generator = 0
) -> Draws | Refusal:
    """Draw groups, the same for every model.

    Models are all of one kind and about the same clips; the number of seeds may differ. Resampled scores bring their
    own groups and draws.

    Returns:
        The draws, or a refusal below five groups or where fewer than two draws leave the scores defined.

    Raises:
        ValueError: If the clips or draws are not the same for all, or values are not finite.
    """
    rng = np.random.default_rng(seed)
    resampled = [model for model in models if isinstance(model, Resampled)]
    if not resampled:
        return _of_values([seeds_by_clips(model) for model in models], groups, draws, rng)  # type: ignore[arg-type]
    if len(resampled) < len(models):
        raise ValueError("some models have values per clip, others a resampled score: these are different metrics")
    return _of_scores(resampled, rng)


def _of_values(
    values: Sequence[Floats], groups: ArrayLike | None, draws: int, rng: np.random.Generator
) -> Draws | Refusal:
    clips = values[0].shape[1]
    if any(one.shape[1] != clips for one in values):
        raise ValueError(
            f"models have {sorted({one.shape[1] for one in values})} clips; compare on the same clips only"
        )
    codes, sizes = group_codes(groups, clips)
    if sizes.size < MIN_GROUPS:
        return too_few("group", sizes.size, MIN_GROUPS, "an interval over groups")
    by_seed = [np.stack([np.bincount(codes, row, sizes.size).astype(np.float64) for row in one]) for one in values]
    sums, total = np.stack([one.mean(0) for one in by_seed], axis=1), sizes.sum()
    scores = sums.sum(0) / total
    residuals = sums - sizes[:, None] * scores
    seed_variance = np.array([_seed_variance(one, sizes) for one in by_seed])
    drawn = np.concatenate([(w @ sums) / (w @ sizes)[:, None] for w in group_weights(sizes.size, draws, rng)])
    noisy = np.flatnonzero(seed_variance)
    drawn[:, noisy] += np.sqrt(seed_variance[noisy]) * rng.standard_normal((draws, noisy.size))
    squares = (residuals**2).sum(0) + seed_variance * total**2
    proportion = all(map(right_or_wrong, values))
    return Draws(
        scores=scores,
        drawn=drawn,
        covariance=residuals.T @ residuals * (sizes.size / ((sizes.size - 1) * total**2)),
        skew=(residuals**3).sum(0) / (6 * np.maximum(squares, 1e-12) ** 1.5),
        seed_variance=seed_variance,
        seeds=np.array([len(one) for one in values], dtype=np.int64),
        clips=clips,
        groups=sizes.size,
        shares=np.stack([one.mean(0) for one in values]) if proportion else None,
        fraction=proportion,
        lone=groups is None,
    )


def _seed_variance(sums: Floats, sizes: Floats) -> float:
    """Variance of the seed-averaged score due to whole seeds, 0 where the clips' own noise explains it.

    The positive part of a two-way variance component of ``sums`` ``(seeds, groups)``.
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


def _of_scores(models: Sequence[Resampled], rng: np.random.Generator) -> Draws | Refusal:
    first = models[0]
    if any((one.drawn.shape[1], one.groups) != (first.drawn.shape[1], first.groups) for one in models):
        raise ValueError("the scores were not drawn with the same weights")
    drawn = np.stack([one.drawn.mean(axis=0) for one in models], axis=1)
    drawn = drawn[np.isfinite(drawn).all(axis=1)]
    if len(drawn) < 2:
        return Refusal(reason="draws of groups leave the score undefined: its scatter is unknown", have=len(drawn))
    scores = np.array([float(one.observed.mean()) for one in models])
    seed_variance = np.array([one.seed_variance for one in models])
    noise = np.sqrt(seed_variance) * rng.standard_normal(drawn.shape)
    return Draws(
        scores=scores,
        drawn=drawn - drawn.mean(axis=0) + scores + noise,
        covariance=np.atleast_2d(np.cov(drawn, rowvar=False)),
        skew=np.zeros(len(models)),
        seed_variance=seed_variance,
        seeds=np.array([len(one.observed) for one in models], dtype=np.int64),
        clips=first.clips,
        groups=first.groups,
        fraction=first.fraction,
        recomputed=True,
    )


def group_weights(groups: int, draws: int, rng: np.random.Generator) -> Iterator[Floats]:
    """How often each group was drawn, as counts ``(some draws, groups)``; one group fewer is drawn than there are."""
    chunk = max(1, _CHUNK_CELLS // groups)
    for start in range(0, draws, chunk):
        rows = min(chunk, draws - start)
        drawn = rng.integers(0, groups, size=(rows, groups - 1))
        drawn += groups * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * groups).reshape(rows, groups).astype(np.float64)


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
        Counts ``(draws, clips)`` and the number of groups, or a refusal below five groups.

    Raises:
        ValueError: If the lengths differ.
    """
    codes, sizes = group_codes(groups, clips)
    if sizes.size < MIN_GROUPS:
        return too_few("group", sizes.size, MIN_GROUPS, "an interval over groups")
    drawn = np.concatenate(list(group_weights(sizes.size, draws, np.random.default_rng(seed))))
    return drawn.astype(np.float32)[:, codes], int(sizes.size)
