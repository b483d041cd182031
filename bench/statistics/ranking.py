"""Many models on the same clips: who can be told from whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.statistics._checks import Floats, check_level, seeds_by_clips
from bench.statistics.bootstrap import accuracy_intervals, draw_accuracies, group_scores, too_few_groups
from bench.statistics.multiple import benjamini_hochberg, holm
from bench.statistics.paired import mean_discordance, two_sided_p
from bench.statistics.proportion import minimum_detectable_difference
from bench.statistics.results import Interval, Refusal

Adjustment = Literal["benjamini_hochberg", "holm"]
_ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedModel:
    """One row of a ranking.

    Attributes:
        name: The model.
        accuracy: Over all shared clips and seeds, a fraction.
        interval: Of that accuracy, over groups and seeds.
        rank_low: Best rank the data allow: 1 + the models that are resolved to be better.
        rank_high: Worst rank the data allow: the models minus those resolved to be worse.
        ties: Numbers of the tie groups it belongs to, from 0; two models share one exactly when unresolved.
        seeds: Seeds it was trained with.
    """

    name: str
    accuracy: float
    interval: Interval
    rank_low: int
    rank_high: int
    ties: tuple[int, ...]
    seeds: int

    @property
    def letters(self) -> str:
        """The tie groups as letters: ``"a"``, ``"ab"``."""
        return "".join(tie_letter(number) for number in self.ties)

    @property
    def ranks(self) -> str:
        """The rank interval as text: ``"1"``, ``"2-4"``."""
        low, high = self.rank_low, self.rank_high
        return str(low) if low == high else f"{low}-{high}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ranking:
    """Models in order of accuracy, with what the data resolve.

    Attributes:
        models: Best first, equal accuracies by name.
        differences: Accuracy of row minus column in that order ``(models, models)``, fractions.
        p_values: Of each pair, adjusted ``(models, models)``; 1 on the diagonal.
        clips: Shared clips.
        groups: Groups among them.
        adjustment: How the p values were adjusted.
        resolution: Minimum detectable difference at the median discordance of all pairs, or why it is unknown.
    """

    models: tuple[RankedModel, ...]
    differences: Floats
    p_values: Floats
    clips: int
    groups: int
    adjustment: Adjustment
    resolution: float | Refusal


def ranking(
    correct: Mapping[str, ArrayLike],
    groups: ArrayLike | None,
    *,
    draws: int = 4000,
    seed: int = 0,
    level: float = 0.95,
    adjust: Adjustment = "benjamini_hochberg",
) -> Ranking | Refusal:
    """Rank models on the clips that all of them have.

    Args:
        correct: For each model right (1) or wrong (0), ``(clips,)`` or ``(seeds, clips)``, the same clips for all.
        groups: One label per clip ``(clips,)``; ``None`` = every clip alone.
        draws: Resamples, shared by all models.
        seed: Of the resampling.
        level: Of the intervals; pairs are resolved where the adjusted p value is below ``1 - level``.
        adjust: ``benjamini_hochberg`` for a board, ``holm`` for a few comparisons planned beforehand.

    Returns:
        The ranking, or a refusal below five groups.

    Raises:
        ValueError: If there is no model, shapes do not fit or values lie outside [0, 1].
    """
    check_level(level)
    if not correct:
        raise ValueError("correct is empty; a ranking needs at least one model")
    values = {name: seeds_by_clips(value, name) for name, value in correct.items()}
    names = sorted(values, key=lambda name: (-round(float(values[name].mean()), 12), name))
    scores = group_scores([values[name] for name in names], groups)
    refusal = too_few_groups(scores.sizes.size)
    if refusal is not None:
        return refusal
    drawn = draw_accuracies(scores, draws, np.random.default_rng(seed))
    p_values = pairwise_p(drawn, scores.pair_freedom, adjust)
    differences: Floats = scores.accuracy[:, None] - scores.accuracy
    clips = values[names[0]].shape[1]
    intervals = dict(zip(names, accuracy_intervals(scores, drawn, level), strict=True))
    return Ranking(
        models=ranked_models(intervals, [int(seeds) for seeds in scores.seeds], differences, p_values < 1 - level),
        differences=differences,
        p_values=p_values,
        clips=clips,
        groups=scores.sizes.size,
        adjustment=adjust,
        resolution=_resolution([values[name] for name in names], clips),
    )


def ranked_models(
    intervals: Mapping[str, Interval], seeds: Sequence[int], differences: Floats, resolved: NDArray[np.bool_]
) -> tuple[RankedModel, ...]:
    """Places of models that stand in order, best first.

    Args:
        intervals: Of each model's score, in that order.
        seeds: Of each model.
        differences: Score of row minus column ``(models, models)``.
        resolved: Which pairs are told apart ``(models, models)``, symmetric.
    """
    lows, highs = rank_intervals(differences, resolved)
    rows = zip(intervals.items(), lows, highs, tie_groups(resolved), seeds, strict=True)
    return tuple(
        RankedModel(
            name=name,
            accuracy=interval.estimate,
            interval=interval,
            rank_low=low,
            rank_high=high,
            ties=ties,
            seeds=count,
        )
        for (name, interval), low, high, ties, count in rows
    )


def pairwise_p(drawn: Floats, freedom: Floats, adjust: Adjustment) -> Floats:
    """Adjusted p values of all pairs of models.

    Args:
        drawn: Accuracies under resampling ``(draws, models)``.
        freedom: Degrees of freedom of each pair ``(models, models)``.
        adjust: Which adjustment over all pairs.

    Returns:
        Symmetric ``(models, models)`` with 1 on the diagonal.
    """
    models = drawn.shape[1]
    rows, columns = np.triu_indices(models, 1)
    raw = np.ones((models, models))
    for i in range(models - 1):
        raw[i, i + 1 :] = two_sided_p(drawn[:, i : i + 1] - drawn[:, i + 1 :], freedom[i, i + 1 :])
    adjusted = (holm if adjust == "holm" else benjamini_hochberg)(raw[rows, columns])
    result = np.ones((models, models))
    result[rows, columns] = result[columns, rows] = adjusted
    return result


def rank_intervals(differences: Floats, resolved: NDArray[np.bool_]) -> tuple[list[int], list[int]]:
    """Best and worst rank that the resolved pairs allow.

    Args:
        differences: Accuracy of row minus column ``(models, models)``.
        resolved: Which pairs are told apart ``(models, models)``, symmetric.

    Returns:
        Best and worst ranks, each ``(models,)``, from 1.
    """
    better = (resolved & (differences < 0)).sum(1)
    worse = (resolved & (differences > 0)).sum(1)
    models = len(resolved)
    return [1 + int(count) for count in better], [models - int(count) for count in worse]


def tie_groups(resolved: NDArray[np.bool_]) -> list[tuple[int, ...]]:
    """Number tie groups so that two models share one exactly when the data do not tell them apart.

    Args:
        resolved: Which pairs are told apart ``(models, models)``, symmetric; models in order of accuracy.

    Returns:
        For each model the numbers of its groups, from 0, in order of their best model. Each unresolved pair
        opens a group that takes in, from the top, every model unresolved from all its members (a compact letter
        display; greedy, so the number of groups is small but not always the smallest).
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


def _resolution(values: list[Floats], clips: int) -> float | Refusal:
    if len(values) < 2:
        return Refusal(reason="one model: there is no pair to compare", have=1, need=2)
    pairs = [mean_discordance(a, b) for i, a in enumerate(values) for b in values[i + 1 :]]
    return minimum_detectable_difference(float(np.median(pairs)), clips)
