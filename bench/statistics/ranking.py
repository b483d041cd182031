"""Many models on the same clips: who can be told from whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.statistics.bootstrap import score_intervals
from bench.statistics.draws import MIN_SEEDS, Evidence, Resampled, draw_scores
from bench.statistics.paired import compare_pairs, pair_resolutions
from bench.statistics.results import Floats, Interval, Refusal, check_level, finite_vector, too_few

_ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedModel:
    """One row of a ranking.

    Attributes:
        name: The model.
        interval: Of its score over all shared clips and seeds.
        rank_low: Best rank the data allow: 1 + the models that are resolved to be better.
        rank_high: Worst rank the data allow: the models minus those resolved to be worse.
        ties: Numbers of the tie groups it belongs to, from 0; two models share one exactly when unresolved.
        seeds: Seeds it was trained with.
    """

    name: str
    interval: Interval
    rank_low: int
    rank_high: int
    ties: tuple[int, ...]
    seeds: int

    @property
    def letters(self) -> str:
        """The tie groups as letters: ``"a"``, ``"ab"``."""
        return "".join(tie_letter(number) for number in self.ties)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ranking:
    """Models in order of their scores, with what the data resolve.

    Attributes:
        models: Best first, equal scores by name.
        differences: Score of row minus column in that order ``(models, models)``.
        p_values: Of each pair, adjusted by Holm's method over all of them ``(models, models)``; 1 on the diagonal.
        unadjusted: The same of each pair alone.
        resolutions: Minimum detectable difference of each pair (one test, 80 % power); NaN where unknown.
        intervals: Ends of the interval of each difference, of that pair alone ``(models, models, 2)``; NaN where
            unknown.
        clips: Shared clips.
        groups: Groups among them.
    """

    models: tuple[RankedModel, ...]
    differences: Floats
    p_values: Floats
    unadjusted: Floats
    resolutions: Floats
    intervals: Floats
    clips: int
    groups: int

    @property
    def resolution(self) -> tuple[float, float] | Refusal:
        """Smallest and largest minimum detectable difference of neighbouring models, or why it is unknown."""
        if len(self.models) < 2:
            return Refusal(reason="one model: there is no pair to compare", have=len(self.models), need=2)
        found = np.diag(self.resolutions, 1)
        if not np.isfinite(found).any():
            return Refusal(reason="no group of clips tells neighbours apart")
        return float(np.nanmin(found)), float(np.nanmax(found))


def ranking(
    scores: Mapping[str, Evidence],
    groups: ArrayLike | None,
    *,
    higher_is_better: bool = True,
    draws: int = 4000,
    level: float = 0.95,
) -> Ranking | Refusal:
    """Rank models on the clips that all of them have.

    Args:
        scores: For each model its values per clip, ``(clips,)`` or ``(seeds, clips)``, or its resampled score; the
            same clips for all.
        groups: One label per clip ``(clips,)``; ``None`` = every clip alone.
        higher_is_better: Direction of the score.
        draws: Resamples, shared by all models.
        level: Of the intervals; pairs are resolved where the adjusted p value is below ``1 - level``: then the chance
            that a board tells any two equal models apart is at most that.

    Returns:
        The ranking of the models whose scores have an interval, or a refusal below five groups, below three seeds or
        where none has one.

    Raises:
        ValueError: If there is no model, shapes do not fit or values are not finite.
    """
    check_level(level)
    if not scores:
        raise ValueError("scores is empty; a ranking needs at least one model")
    sign = 1 if higher_is_better else -1
    seen = {name: score.observed if isinstance(score, Resampled) else score for name, score in scores.items()}
    means = {name: float(np.asarray(values, dtype=np.float64).mean()) for name, values in seen.items()}
    names = sorted(scores, key=lambda name: (-round(sign * means[name], 12), name))
    drawn = draw_scores([scores[name] for name in names], groups, draws=draws)
    if isinstance(drawn, Refusal):
        return drawn
    if (fewest := int(drawn.seeds.min())) < MIN_SEEDS:
        return too_few("seed", fewest, MIN_SEEDS, "a rank")
    found = dict(zip(names, score_intervals(drawn, level), strict=True))
    intervals = {name: interval for name, interval in found.items() if isinstance(interval, Interval)}
    if unknown := [interval for interval in found.values() if isinstance(interval, Refusal)]:
        if not intervals:
            return unknown[0]
        kept = {name: scores[name] for name in intervals}
        return ranking(kept, groups, higher_is_better=higher_is_better, draws=draws, level=level)
    unadjusted, ends = compare_pairs(drawn, level)
    p_values, upper = np.ones_like(unadjusted), np.triu_indices(len(names), 1)
    p_values[upper] = p_values.T[upper] = holm(unadjusted[upper])
    differences: Floats = drawn.scores[:, None] - drawn.scores
    return Ranking(
        models=_ranked(intervals, sign * differences, p_values < round(1 - level, 12), drawn.seeds.tolist()),
        differences=differences,
        p_values=p_values,
        unadjusted=unadjusted,
        resolutions=pair_resolutions(drawn, level),
        intervals=ends,
        clips=drawn.clips,
        groups=drawn.groups,
    )


def _ranked(
    intervals: Mapping[str, Interval], differences: Floats, resolved: NDArray[np.bool_], seeds: Sequence[int]
) -> tuple[RankedModel, ...]:
    """The models in the order of their scores, with the ranks that the resolved pairs allow."""
    each = zip(intervals.items(), *rank_intervals(differences, resolved), tie_groups(resolved), seeds, strict=True)
    return tuple(
        RankedModel(name=name, interval=interval, rank_low=low, rank_high=high, ties=ties, seeds=count)
        for (name, interval), low, high, ties, count in each
    )


def rank_intervals(differences: Floats, resolved: NDArray[np.bool_]) -> tuple[list[int], list[int]]:
    """Best and worst rank of each model that the resolved pairs allow, from 1; ``differences``: row minus column."""
    better = (resolved & (differences < 0)).sum(1)
    worse = (resolved & (differences > 0)).sum(1)
    models = len(resolved)
    return [1 + int(count) for count in better], [models - int(count) for count in worse]


def tie_groups(resolved: NDArray[np.bool_]) -> list[tuple[int, ...]]:
    """Number tie groups so that two models share one exactly when the data do not tell them apart.

    For each model, in order of their scores, the numbers of its groups from 0, in order of their best model. Each
    unresolved pair opens a group that takes in, from the top, every model unresolved from all its members (a compact
    letter display; greedy, so the number of groups is small but not always the smallest).
    """
    unresolved = ~np.asarray(resolved, dtype=bool)
    models = len(unresolved)
    covered = np.zeros((models, models), dtype=bool)
    cliques: list[list[int]] = []
    for i in range(models):
        for j in range(i, models):
            if covered[i, j] or not (i == j or unresolved[i, j]):
                continue
            if i == j and unresolved[i].sum() > 1 and (np.delete(unresolved[i], i)).any():
                continue
            clique = [i] if i == j else [i, j]
            for k in range(models):
                if k not in clique and all(unresolved[k, m] for m in clique):
                    clique.append(k)
            covered[np.ix_(clique, clique)] = True
            cliques.append(sorted(clique))
    cliques.sort()
    return [tuple(number for number, clique in enumerate(cliques) if i in clique) for i in range(models)]


def tie_letter(number: int) -> str:
    """The letter of a tie group: ``a`` to ``Z``, then the number in brackets."""
    return _ALPHABET[number] if number < len(_ALPHABET) else f"({number + 1})"


def holm(p_values: ArrayLike) -> Floats:
    """Holm's step-down adjustment.

    Args:
        p_values: ``(tests,)``, each in [0, 1].

    Returns:
        Adjusted p values in the same order; rejecting those below alpha keeps the chance of any false one below it.

    Raises:
        ValueError: If a value is no probability.

    Source: Holm (1979).
    """
    p = finite_vector(p_values, "p_values")
    if p.size and (p.min() < 0 or p.max() > 1):
        raise ValueError(f"p_values span {p.min()} to {p.max()}; each must lie between 0 and 1")
    order = np.argsort(p, kind="stable")
    scaled = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    return np.minimum(1.0, scaled)[np.argsort(order)]
