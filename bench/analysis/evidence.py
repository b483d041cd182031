"""What a section sorts by, and what its rows are compared by: values per clip, or the score under resampling."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.analysis.grouping import part
from bench.analysis.predictions import Evaluated, Metrics, Reader
from bench.clips import TaskType
from bench.errors import UnknownNameError
from bench.metrics.scoring import Metric
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
    every = list(records)
    named, multi = "", False
    for record in every:
        data = part(record, "dataset")
        named = named or str(data.get("primary_metric") or "")
        multi = multi or data.get("majority_accuracy", 0) is None
    task: TaskType = "multi_label" if multi else "single_label"
    for name in filter(None, (asked, named, PRIMARY[task])):
        if found := next((one for record in reversed(every) for one in record.scores if one.name == name), None):
            return found.of(None)
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
        told = dict.fromkeys(one.note for one in cells if one.note)
        return Refusal(reason="; ".join(told) or _nothing(reader.metric))
    if reader.metric.per_clip is None:
        return resampled(cells, folds, seeds, reader)
    if any(one.values is None for one in cells):
        return Refusal(reason=f"{reader.shown.name} is not defined for every fold")
    return np.stack([np.concatenate([found[fold, seed].values for fold in folds]) for seed in seeds])


def _nothing(metric: Metric | None) -> str:
    """Why a cell has nothing that its score could be made of."""
    if metric is None or metric.reads == "logits":
        return "no stored predictions to compare clip by clip"
    return f"{metric.name} takes the {metric.reads} of frozen vectors, which its records do not hold"


def resampled(
    cells: Sequence[Evaluated], folds: Sequence[int], seeds: Sequence[int], reader: Reader
) -> Resampled | Refusal:
    """A score as observed and under resampling of groups; cells come seed by seed, each with all of its folds.

    A seed's score is the mean over its folds, as on the board, or that of all folds together where one of them lacks a
    class. Groups are drawn over all folds together, the same draws for every row over the same folds.
    """
    metric, clips = reader.metric, [reader.folds[fold] for fold in folds]
    logits = [one.logits for one in cells if one.logits is not None]
    if metric is None or len(logits) < len(cells):
        return Refusal(reason=_nothing(metric))
    sizes = [len(one.ids) for one in clips]
    classes = max(one[0].size for one in logits)
    draws = int(np.clip(MOST_CELLS // (sum(sizes) * classes * len(seeds)), *DRAWS))
    drawn = clip_weights(reader.groups(folds), sum(sizes), draws=draws if metric.weighted else DRAWS[0])
    if isinstance(drawn, Refusal):
        return drawn
    weights = np.split(drawn[0], np.cumsum(sizes)[:-1], axis=1)
    labels, values = [one.labels for one in clips], [one.value for one in cells]
    if metric.reads == "logits" and lacks_class(labels):
        joined = [np.concatenate(logits[at : at + len(folds)]) for at in range(0, len(cells), len(folds))]
        logits, labels, weights = joined, [np.concatenate(labels)], [drawn[0]]
        whole = [reader.guarded(metric.score, one, labels[0]) for one in logits]
        values = [None if one is None else one.value for one in whole]
    if None in values:
        return Refusal(reason=f"{metric.name} is not defined for every fold")
    shape = (len(seeds), len(labels))
    scores = []
    for number, one in enumerate(logits):
        made = reader.guarded(metric.resampled, one, labels[number % len(labels)], weights[number % len(labels)])
        scores += [] if made is None else [made]
    if len(scores) < len(seeds) * len(labels):
        return Refusal(reason=f"{metric.name} cannot be computed on resampled clips")
    return Resampled(
        observed=np.array(values, dtype=np.float64).reshape(shape).mean(axis=1),
        drawn=np.stack(scores).reshape(*shape, -1).mean(axis=1),
        clips=sum(sizes),
        groups=drawn[1],
        fraction=reader.shown.unit == "fraction",
    )


def lacks_class(labels: Sequence[npt.NDArray[Any]]) -> bool:
    """Whether a fold has no clip of a class that another one has: a mean over classes means another thing in each."""
    present = [frozenset(np.flatnonzero(one.any(axis=0) if one.ndim == 2 else np.bincount(one))) for one in labels]
    return len(set(present)) > 1
