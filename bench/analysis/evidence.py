"""What a section sorts by, and what its rows are compared by: values per clip, or the score under resampling."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from bench.analysis.grouping import part
from bench.analysis.predictions import Evaluated, Metrics, Reader
from bench.clips import TaskType
from bench.errors import UnknownNameError
from bench.metrics.specs import PRIMARY
from bench.results.records import Record, Score
from bench.statistics.draws import Evidence, Resampled, clip_weights
from bench.statistics.results import Refusal

MOST_CELLS = 2_000_000_000
"""Clips times classes times draws over all cells of a row: what bounds the time of large label sets."""

DRAWS = (200, 1000)
"""Fewest and most draws; the fewest where the host computes the metric on resampled clips."""

Pair = tuple[int, int]
"""Fold and seed."""


def shown_score(records: Iterable[Record], metrics: Metrics, asked: str | None = None) -> Score:
    """The score that a section sorts by, without a value; ``asked`` comes first where it is defined for the task."""
    known: dict[str, Score] = {}
    named, multi = "", False
    for record in records:
        data = part(record, "dataset")
        named = named or str(data.get("primary_metric") or "")
        multi = multi or data.get("majority_accuracy", 0) is None
        known.update({score.name: score for score in record.scores})
    task: TaskType = "multi_label" if multi else "single_label"
    for name in (asked or "", named, PRIMARY[task]):
        if name in known:
            return known[name].of(None)
        if name in metrics and task in metrics[name].task_types:
            return metrics[name].described
    return Score(name=named or PRIMARY[task], value=None)


def check_metric(asked: str | None, records: Iterable[Record], metrics: Metrics) -> None:
    """Raise ``UnknownNameError`` unless a plugin gives the metric or a record holds it."""
    if asked is not None and asked not in metrics:
        known = {score.name for record in records for score in record.scores} | set(metrics)
        if asked not in known:
            raise UnknownNameError("metric", asked, known)


def evidence(
    found: Mapping[Pair, Evaluated], folds: Sequence[int], seeds: Sequence[int], reader: Reader
) -> Evidence | Refusal:
    """What the score of a row is compared by, over these folds and seeds.

    Returns:
        Values per clip ``(seeds, clips)`` where the score is a mean over clips, else the score under resampling; a
        refusal where it cannot be computed here or a cell has no comparable predictions.
    """
    cells = [found[fold, seed] for seed in seeds for fold in folds]
    if reader.metric is None:
        return Refusal(reason=f"no plugin here gives the metric {reader.shown.name!r}, which its interval takes")
    if any(one.predicted is None and one.values is None and one.logits is None for one in cells):
        return Refusal(reason="no stored predictions to compare clip by clip")
    if reader.metric.per_clip is None:
        return resampled(cells, folds, seeds, reader)
    if any(one.values is None for one in cells):
        return Refusal(reason=f"{reader.shown.name} is not defined for every fold")
    return np.stack([np.concatenate([found[fold, seed].values for fold in folds]) for seed in seeds])


def resampled(
    cells: Sequence[Evaluated], folds: Sequence[int], seeds: Sequence[int], reader: Reader
) -> Resampled | Refusal:
    """A score as observed and under resampling of groups; cells come seed by seed, each with all of its folds.

    A seed's score is the mean over its folds, as on the board. Groups are drawn over all folds together, the same
    draws for every row over the same folds.
    """
    metric, clips = reader.metric, [reader.folds[fold] for fold in folds]
    if metric is None or any(one.value is None for one in cells):
        return Refusal(reason=f"{reader.shown.name} is not defined for every fold")
    sizes = [len(one.ids) for one in clips]
    classes = max(one.logits.shape[1] for one in cells if one.logits is not None)
    draws = int(np.clip(MOST_CELLS // (sum(sizes) * classes * len(seeds)), *DRAWS))
    drawn = clip_weights(reader.groups(folds), sum(sizes), draws=draws if metric.weighted else DRAWS[0])
    if isinstance(drawn, Refusal):
        return drawn
    weights = np.split(drawn[0], np.cumsum(sizes)[:-1], axis=1)
    shape = (len(seeds), len(folds))
    scores = []
    for number, one in enumerate(cells):
        at = number % len(folds)
        labels, drawn_here = clips[at].labels, weights[at]
        made = None if one.logits is None else reader.guarded(metric.resampled, one.logits, labels, drawn_here)
        if made is None:
            return Refusal(reason=f"{metric.name} cannot be computed on resampled clips")
        scores.append(made)
    return Resampled(
        observed=np.array([one.value for one in cells], dtype=np.float64).reshape(shape).mean(axis=1),
        drawn=np.stack(scores).reshape(*shape, -1).mean(axis=1),
        clips=sum(sizes),
        groups=drawn[1],
        fraction=reader.shown.unit == "fraction",
    )
