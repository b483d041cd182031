"""Scores of several models under the same draws of groups: what intervals, comparisons and rankings are made of.

Clips of one source recording or speaker are right or wrong together, so groups are drawn, never clips.
``G - 1`` of ``G`` groups are drawn with replacement, which makes the variance of the draws unbiased
(Rao & Wu 1988), and the ends are stretched from the normal to Student's quantile.

A model comes either as its values per clip, whose mean is the score (right or wrong, a loss), or as a score that was
recomputed under the weights of :func:`clip_weights` (mean average precision). A recomputed score is biased on few
clips, and a resample holds fewer distinct clips still: its draws are shifted so that their mean is the estimate, and
the interval is that of the score expected on test sets of this size.

Several seeds: groups are drawn for the average over seeds. What differs from training to training, as a whole and
clip by clip, is a part of its own: the variance of the seeds' scores. Three seeds say far less of it than hundreds of
groups say of the clips, so that each part has its own Student's quantile (:class:`~bench.statistics.parts.Parts`).
Three seeds are too few to draw from, and drawing them crossed with groups counts the noise of single clips more than
once. Below three seeds nothing is known of this part: what is said then holds over clips only.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.statistics.parts import TINY, Parts
from bench.statistics.results import Counts, Floats, Refusal, group_codes, right_or_wrong, seeds_by_clips, too_few

MIN_GROUPS = 5
"""Below this many groups the draws say little about the spread: refused."""

MIN_SEEDS = 3
"""With fewer trainings of a model nothing is said of what another training would give: no rank, no "better"."""

LEAST_DRAWS = 100
"""With fewer draws that leave a score defined the ends of an interval are those of a handful."""

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
    def seed_variances(self) -> tuple[float, float]:
        """As :func:`_seed_variances`."""
        seeds = len(self.observed)
        if seeds < MIN_SEEDS:
            return 0.0, 0.0
        own = self.drawn - self.drawn.mean(axis=0)
        explained = float(np.nansum(np.nanvar(own, axis=1, ddof=1))) / (seeds - 1)
        return float(self.observed.var(ddof=1)) / seeds, explained / seeds


Evidence = ArrayLike | Resampled
"""What is known of one model: values per clip ``(clips,)`` or ``(seeds, clips)``, or a score under resampling."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Draws:
    """Scores of several models on the same clips, as observed and under the same draws of groups.

    Attributes:
        scores: Over all clips and seeds ``(models,)``.
        drawn: Under each draw ``(draws, models)``.
        covariance: Of the scores, due to the choice of groups ``(models, models)``.
        skew: A sixth of each score's skewness ``(models,)``; 0 for plain percentiles.
        seed_variance: Variance of each score due to its seeds ``(models,)``; 0 below three.
        interaction: The part of it, and of ``covariance``, that seeds make clip by clip ``(models,)``.
        seeds: Seeds of each model ``(models,)``.
        clips: Shared clips.
        groups: Groups among them.
        shares: How often each clip was right ``(models, clips)``; ``None`` for any other score.
        fraction: Whether scores lie between 0 and 1.
        recomputed: Whether they are scores of weighted clips rather than means of values per clip.
    """

    scores: Floats
    drawn: Floats
    covariance: Floats
    skew: Floats
    seed_variance: Floats
    interaction: Floats
    seeds: Counts
    clips: int
    groups: int
    shares: Floats | None = None
    fraction: bool
    recomputed: bool = False

    def parts(self) -> Parts:
        """What the variance of each score is made of ``(models,)``."""
        group = np.diag(self.covariance)
        freedom = np.maximum(self.seeds - 1.0, 1.0)
        return Parts(self.groups, group, np.maximum(group - self.interaction, 0.0), self.seed_variance, freedom)

    def pair_parts(self) -> Parts:
        """The same of each difference of two scores ``(models, models)``; freedom of seeds by Satterthwaite."""
        own, seeds = np.diag(self.covariance), self.seed_variance
        group = np.maximum(own[:, None] + own - 2 * self.covariance, 0.0)
        clips = np.maximum(group - self.interaction[:, None] - self.interaction, 0.0)
        total, single = seeds[:, None] + seeds, seeds**2 / np.maximum(self.seeds - 1, 1)
        freedom = np.maximum(total**2, TINY) / np.maximum(single[:, None] + single, TINY)
        return Parts(self.groups, group, clips, total, freedom)


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
    resampled = [model for model in models if isinstance(model, Resampled)]
    if not resampled:
        return _of_values([seeds_by_clips(model) for model in models], groups, draws, seed)  # type: ignore[arg-type]
    if len(resampled) < len(models):
        raise ValueError("some models have values per clip, others a resampled score: these are different metrics")
    return _of_scores(resampled)


def _of_values(
    values: Sequence[Floats], groups: ArrayLike | None, draws: int, seed: int | np.random.Generator
) -> Draws | Refusal:
    clips = values[0].shape[1]
    if any(one.shape[1] != clips for one in values):
        raise ValueError(
            f"models have {sorted({one.shape[1] for one in values})} clips; compare on the same clips only"
        )
    codes, sizes = group_codes(groups, clips)
    if sizes.size < MIN_GROUPS:
        return too_few("group", sizes.size, MIN_GROUPS, "an interval over groups")
    by_seed = [_group_sums(one, codes, sizes.size) for one in values]
    sums, total = np.stack([one.mean(0) for one in by_seed], axis=1), sizes.sum()
    scores = sums.sum(0) / total
    residuals = sums - sizes[:, None] * scores
    seed_variance, interaction = np.array([_seed_variances(one, sizes) for one in by_seed]).T
    drawn = np.concatenate([(w @ sums) / (w @ sizes)[:, None] for w in group_weights(sizes.size, draws, seed)])
    squares = (residuals**2).sum(0)
    proportion = all(map(right_or_wrong, values))
    return Draws(
        scores=scores,
        drawn=drawn,
        covariance=residuals.T @ residuals * (sizes.size / ((sizes.size - 1) * total**2)),
        skew=(residuals**3).sum(0) / (6 * np.maximum(squares, 1e-12) ** 1.5),
        seed_variance=seed_variance,
        interaction=interaction,
        seeds=np.array([len(one) for one in values], dtype=np.int64),
        clips=clips,
        groups=sizes.size,
        shares=np.stack([one.mean(0) for one in values]) if proportion else None,
        fraction=proportion,
    )


def _group_sums(values: Floats, codes: Counts, groups: int) -> Floats:
    """Sums of ``(seeds, clips)`` over the clips of each group ``(seeds, groups)``."""
    places = codes + groups * np.arange(len(values))[:, None]
    return np.bincount(places.ravel(), values.ravel(), len(values) * groups).reshape(-1, groups).astype(np.float64)


def _seed_variances(sums: Floats, sizes: Floats) -> tuple[float, float]:
    """Variance of the seed-averaged score due to seeds, and the part that they make group by group; 0 below three.

    Components of a two-way layout of ``sums`` ``(seeds, groups)``.
    """
    seeds, groups = sums.shape
    if seeds < MIN_SEEDS:
        return 0.0, 0.0
    total = float(sizes.sum())
    deviation = sums.sum(1) / total - sums.sum() / (seeds * total)
    interaction = sums - sums.mean(0) - deviation[:, None] * sizes
    explained = float((interaction**2).sum()) * groups / ((groups - 1) * (seeds - 1) * total**2)
    return float((deviation**2).sum()) / (seeds - 1) / seeds, explained / seeds


def _of_scores(models: Sequence[Resampled]) -> Draws | Refusal:
    first = models[0]
    if any((one.drawn.shape[1], one.groups) != (first.drawn.shape[1], first.groups) for one in models):
        raise ValueError("the scores were not drawn with the same weights")
    drawn = np.stack([one.drawn.mean(axis=0) for one in models], axis=1)
    draws, drawn = len(drawn), drawn[np.isfinite(drawn).all(axis=1)]
    if len(drawn) < (need := max(2, min(LEAST_DRAWS, draws // 2))):
        told = f"{len(drawn)} of {draws} draws of groups leave the score defined: its scatter is unknown"
        return Refusal(reason=told, have=len(drawn), need=need)
    scores = np.array([float(one.observed.mean()) for one in models])
    seed_variance, interaction = np.array([one.seed_variances for one in models]).T
    return Draws(
        scores=scores,
        drawn=drawn - drawn.mean(axis=0) + scores,
        covariance=np.atleast_2d(np.cov(drawn, rowvar=False)),
        skew=np.zeros(len(models)),
        seed_variance=seed_variance,
        interaction=interaction,
        seeds=np.array([len(one.observed) for one in models], dtype=np.int64),
        clips=first.clips,
        groups=first.groups,
        fraction=first.fraction,
        recomputed=True,
    )


def group_weights(groups: int, draws: int, seed: int | np.random.Generator) -> Iterable[Floats]:
    """How often each group was drawn, as counts ``(some draws, groups)``; one group fewer is drawn than there are."""
    if isinstance(seed, int) and groups * draws <= _CHUNK_CELLS:
        return _kept_weights(groups, draws, seed)
    return _drawn_weights(groups, draws, np.random.default_rng(seed))


@functools.lru_cache(maxsize=2)
def _kept_weights(groups: int, draws: int, seed: int) -> tuple[Floats, ...]:
    """The same for every section and row of so many groups."""
    return tuple(_drawn_weights(groups, draws, np.random.default_rng(seed)))


def _drawn_weights(groups: int, draws: int, rng: np.random.Generator) -> Iterator[Floats]:
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
    drawn = np.concatenate(list(group_weights(sizes.size, draws, seed)))
    return drawn.astype(np.float32)[:, codes], int(sizes.size)
