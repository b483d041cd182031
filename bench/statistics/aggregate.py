"""One number of several data sets, as a score under resampling: intervals, pairs and ranks are those of any score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from bench.statistics.draws import Evidence, Resampled, clip_weights
from bench.statistics.results import Floats, Refusal, seeds_by_clips

Way = Literal["mean", "rank", "borda"]
DRAWS = 1000


def aggregate(
    parts: Sequence[Sequence[Evidence]],
    groups: Sequence[ArrayLike | None],
    weights: Sequence[float],
    way: Way,
    signs: Sequence[int],
) -> list[Resampled] | Refusal:
    """The aggregate of each model, seed by seed.

    Groups are drawn within each data set: the same for every model, independently of the other data sets.

    Args:
        parts: For each data set what is known of each model, in one order of models.
        groups: Of the clips of each data set.
        weights: Of the data sets, above 0; their sum does not matter.
        way: ``mean``: of the scores. ``rank``: mean place among the models, equal scores share the mean of theirs.
            ``borda``: mean number of models beaten, half of one for an equal score.
        signs: 1 for a data set where more is better, -1 where less is.

    Returns:
        One score under resampling for each model, or a refusal where a data set has fewer than five groups. As groups
        count those of the data set with the fewest.
    """
    found: list[list[Resampled]] = []
    for number, (models, labels) in enumerate(zip(parts, groups, strict=True)):
        made = [_resampled(model, labels, number) for model in models]
        if refused := next((one for one in made if isinstance(one, Refusal)), None):
            return refused
        found.append([one for one in made if isinstance(one, Resampled)])
    seeds = min(len(one.observed) for models in found for one in models)
    rows = [np.stack([_joined(one, seeds, number) for one in models], axis=-1) for number, models in enumerate(found)]
    scores = np.stack(rows, axis=-2)  # seeds, draws, data sets, models
    if way != "mean":
        from scipy.stats import rankdata  # whose import takes longer than a report

        places = rankdata(-np.round(np.asarray(signs)[:, None] * scores, 12), axis=-1)
        places[:, -1] = (scores.shape[-1] + 1) / 2  # one draw that tells nothing apart: no order is beyond doubt
        scores = places if way == "rank" else scores.shape[-1] - places
    values: Floats = np.average(scores, axis=-2, weights=weights)
    every = [one for models in found for one in models]
    return [
        Resampled(
            observed=values[:, 0, model],
            drawn=values[:, 1:, model],
            clips=sum(models[0].clips for models in found),
            groups=min(one.groups for one in every),
            fraction=way == "mean" and all(one.fraction for one in every),
        )
        for model in range(values.shape[-1])
    ]


def _resampled(model: Evidence, groups: ArrayLike | None, number: int) -> Resampled | Refusal:
    if isinstance(model, Resampled):
        return model
    values = seeds_by_clips(model)
    drawn = clip_weights(groups, values.shape[1], draws=DRAWS, seed=number)
    if isinstance(drawn, Refusal):
        return drawn
    weights, count = drawn[0].astype(np.float64), drawn[1]
    scores: Floats = values @ weights.T / weights.sum(axis=1)
    right = bool(((values >= 0) & (values <= 1)).all())
    return Resampled(observed=values.mean(axis=1), drawn=scores, clips=values.shape[1], groups=count, fraction=right)


def _joined(one: Resampled, seeds: int, number: int) -> Floats:
    """The score as observed and under each draw ``(seeds, 1 + draws)``, draws in the data set's own order.

    Of more seeds than ``seeds`` the first ones stand, moved so that the mean over seeds stays that of all.
    """
    order = np.random.default_rng(number).permutation(np.resize(np.arange(one.drawn.shape[1]), DRAWS))
    whole = np.column_stack([one.observed, one.drawn[:, order]])
    kept: Floats = whole[:seeds] + whole.mean(axis=0) - whole[:seeds].mean(axis=0)
    return kept
