"""Rows whose score is no mean over clips: mean average precision, resampled with the clips of every cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bench.analysis.model import Interval
from bench.analysis.predictions import Judged, Reader
from bench.metrics import weighted
from bench.metrics.scores import mean_average_precision
from bench.statistics import Refusal, Resampled, clip_weights, cluster_bootstrap

MAP = "map"
"""The one score, other than accuracy, that is resampled."""

MOST_CELLS = 2_000_000_000
"""Clips times classes times draws over all cells of a row: what bounds the time of large label sets."""

DRAWS = (200, 1000)
"""Fewest and most draws."""

Pair = tuple[int, int]


def score_resampled(
    found: Mapping[Pair, Judged], folds: Sequence[int], seeds: Sequence[int], reader: Reader
) -> Resampled | Refusal:
    """The row's mean average precision as observed and under resampling of groups.

    A seed's score is the mean over its folds, as on the board. Groups are drawn over all folds together, the same
    draws for every row over the same folds.

    Args:
        found: Results by ``(fold, seed)``.
        folds: Folds that the score covers.
        seeds: Seeds that it covers.
        reader: Holds the clips of each fold.
    """
    cells = {pair: found[pair] for pair in ((fold, seed) for seed in seeds for fold in folds)}
    if any(one.logits is None for one in cells.values()):
        return Refusal(reason="no stored predictions to draw from")
    sizes = [len(reader.folds[fold].ids) for fold in folds]
    classes = max(one.logits.shape[1] for one in cells.values() if one.logits is not None)
    draws = int(np.clip(MOST_CELLS // (sum(sizes) * classes * len(seeds)), *DRAWS))
    drawn = clip_weights(reader.groups(folds), sum(sizes), draws=draws)
    if isinstance(drawn, Refusal):
        return drawn
    weights = dict(zip(folds, np.split(drawn[0], np.cumsum(sizes)[:-1], axis=1), strict=True))
    observed, resampled = {}, {}
    for (fold, seed), one in cells.items():
        targets = reader.folds[fold].labels
        value = mean_average_precision(one.logits, targets)  # type: ignore[arg-type]
        if value is None:
            return Refusal(reason=f"fold {fold} has no clip of one of the classes")
        observed[fold, seed] = value
        resampled[fold, seed] = weighted.mean_average_precision(one.logits, targets, weights[fold])  # type: ignore[arg-type]
    return Resampled(
        observed=np.array([np.mean([observed[fold, seed] for fold in folds]) for seed in seeds]),
        drawn=np.stack([np.mean([resampled[fold, seed] for fold in folds], axis=0) for seed in seeds]),
        clips=sum(sizes),
        groups=drawn[1],
    )


def map_interval(score: Resampled | Refusal) -> Interval | str:
    """The 95 % interval of a row's mean average precision, or why there is none."""
    made = score if isinstance(score, Refusal) else cluster_bootstrap(score, None)
    if isinstance(made, Refusal):
        return made.reason
    return Interval(low=made.low, high=made.high, method=made.method)
