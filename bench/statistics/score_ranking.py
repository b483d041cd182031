"""Many models by a score that is no mean over clips, such as mean average precision: who can be told from whom."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bench.statistics._checks import Floats, check_level
from bench.statistics.multiple import benjamini_hochberg, holm
from bench.statistics.ranking import Adjustment, Ranking, ranked_models
from bench.statistics.resampled import Resampled, compare_scores, score_interval
from bench.statistics.results import Interval, Refusal


def rank_scores(
    scores: Mapping[str, Resampled],
    clips: int,
    *,
    level: float = 0.95,
    adjust: Adjustment = "benjamini_hochberg",
) -> Ranking | Refusal:
    """Rank models whose scores were drawn with the same weights; a pair that no draw tells apart is unresolved.

    Args:
        scores: Of each model, higher is better.
        clips: Shared clips.
        level: Of the intervals; pairs are resolved where the adjusted p value is below ``1 - level``.
        adjust: As for :func:`bench.statistics.ranking.ranking`.

    Returns:
        The ranking, its ``accuracy`` being the score; or a refusal where a score has no interval.

    Raises:
        ValueError: If there is no model, or the draws are not the same.
    """
    check_level(level)
    if not scores:
        raise ValueError("scores is empty; a ranking needs at least one model")
    values = {name: float(score.observed.mean()) for name, score in scores.items()}
    names = sorted(scores, key=lambda name: (-round(values[name], 12), name))
    intervals: dict[str, Interval] = {}
    for name in names:
        made = score_interval(scores[name], level=level)
        if isinstance(made, Refusal):
            return made
        intervals[name] = made
    means = np.array([values[name] for name in names])
    differences: Floats = means[:, None] - means
    p_values, resolution = _pairs([scores[name] for name in names], clips, level, adjust)
    seeds = [len(scores[name].observed) for name in names]
    return Ranking(
        models=ranked_models(intervals, seeds, differences, p_values < 1 - level),
        differences=differences,
        p_values=p_values,
        clips=clips,
        groups=scores[names[0]].groups,
        adjustment=adjust,
        resolution=resolution,
    )


def _pairs(scores: list[Resampled], clips: int, level: float, adjust: Adjustment) -> tuple[Floats, float | Refusal]:
    """Adjusted p values ``(models, models)``, 1 on the diagonal, and the median resolution of all pairs."""
    models = len(scores)
    result = np.ones((models, models))
    if models < 2:
        return result, Refusal(reason="one model: there is no pair to compare", have=1, need=2)
    rows, columns = np.triu_indices(models, 1)
    raw, known = np.ones(len(rows)), []
    for k, (i, j) in enumerate(zip(rows, columns, strict=True)):
        made = compare_scores(scores[i], scores[j], clips, level=level)
        if not isinstance(made, Refusal):
            raw[k] = made.p_value
            known.append(made.resolution)
    adjusted = (holm if adjust == "holm" else benjamini_hochberg)(raw)
    result[rows, columns] = result[columns, rows] = adjusted
    if not known:
        return result, Refusal(reason="no draw of groups changes the difference of any pair")
    return result, float(np.median(known))
