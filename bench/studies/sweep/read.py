"""From the records of a grid to what they say: scores, what differs significantly from the best, how steep it is."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.analysis.evidence import evidence, shown_score
from bench.analysis.grouping import part
from bench.analysis.predictions import Evaluated, Metrics, Reader
from bench.analysis.rows import choose, row_value
from bench.cell import FROZEN
from bench.metrics.specs import PRIMARY
from bench.planning.plan import PlannedCell
from bench.results.predictions import Predictions
from bench.results.records import Record
from bench.statistics.bootstrap import score_interval
from bench.statistics.draws import Evidence
from bench.statistics.ranking import ranking
from bench.statistics.results import Refusal, mean_of_all
from bench.studies.common import known
from bench.studies.sweep.shape import steepness

LEVEL = 0.05
"""Adjusted p value below which a value differs significantly from the best."""

Found = dict[tuple[int, int], Evaluated]


@dataclass(frozen=True, slots=True, kw_only=True)
class GridPoint:
    """One point of the grid for one curve."""

    texts: Mapping[str, str]
    values: Mapping[str, Any]
    planned: tuple[PlannedCell, ...]
    records: tuple[Record, ...]

    @property
    def finished(self) -> bool:
        """Whether every planned cell has a result."""
        return len(self.records) == len(self.planned) and all(record.status == "ok" for record in self.records)


def is_diverged(record: Record) -> bool:
    """Whether training ended in a loss that is no number."""
    return record.status == "failed" and record.error is not None and record.error.reason == "nan"


def read_curve(
    tried: Sequence[GridPoint], keys: Sequence[str], predictions: Predictions, metrics: Metrics
) -> dict[str, Any]:
    """Everything a report needs about one curve, as JSON values.

    Returns:
        ``points`` (one per value), ``best`` (index, or ``None``), ``comparison`` (how the others compare with
        it), ``shape`` (per key the range around the best), ``budget``, ``chosen`` (on validation, fold by fold).
    """
    records = [record for one in tried for record in one.records]
    reader = Reader(predictions, metrics, shown_score(records, metrics))
    evaluated = reader.read(records)
    found: list[Found] = [
        {(r.cell.fold, r.cell.seed): evaluated[r.cell] for r in one.records if r.cell in evaluated} for one in tried
    ]
    folds = sorted({planned.cell.fold for one in tried for planned in one.planned})
    scores = [_score(cells, folds, reader) for cells in found]
    complete = [one.finished and score["score"] is not None for one, score in zip(tried, scores, strict=True)]
    best, comparison = _compare(
        [cells if ok else {} for cells, ok in zip(found, complete, strict=True)], scores, reader
    )
    points = [
        {
            "texts": dict(one.texts),
            "values": dict(one.values),
            "recipe": one.planned[0].cell.recipe,
            **_state(one),
            **score,
            "complete": ok,
            "against_best": comparison["rows"].get(i),
            "validation": mean_of_all([_peak(cell) for cell in cells.values()]) if ok else None,
            **_budget(one),
        }
        for i, (one, cells, score, ok) in enumerate(zip(tried, found, scores, complete, strict=True))
    ]
    return {
        **_scored_on(records, folds, reader),
        "seeds": sorted({planned.cell.seed for one in tried for planned in one.planned}),
        "points": points,
        "best": best,
        "comparison": {name: value for name, value in comparison.items() if name != "rows"},
        "shape": {key: steepness(points, key, best) for key in keys} if best is not None else {},
        "chosen": _chosen(tried, found, complete, (folds, reader)),
        "problems": sorted(reader.problems),
    }


def _scored_on(records: Sequence[Record], folds: Sequence[int], reader: Reader) -> dict[str, Any]:
    """By which score, on what, and when."""
    data = next((block for record in records if (block := part(record, "dataset")).get("test")), None)
    of_accuracy = reader.shown.name == PRIMARY["single_label"]
    return {
        "metric": reader.shown.name,
        "unit": reader.shown.unit,
        "higher_is_better": reader.shown.higher_is_better,
        "title": "" if data is None else str(data["title"]),
        "chance": data.get("chance_accuracy") if data and of_accuracy else None,
        "folds": folds,
        "tuned_folds": folds if all(part(r, "protocol").get("scheme") == "folds" for r in records) else [],
        "date": max((record.started_at[:10] for record in records), default=None),
    }


def _score(found: Found, folds: Sequence[int], reader: Reader) -> dict[str, Any]:
    """Mean over clips and seeds of what is finished, with its interval or the reason why there is none."""
    used, seeds = choose(found, folds)
    pairs = [(fold, seed) for fold in used for seed in seeds]
    compared = evidence(found, used, seeds, reader) if pairs else Refusal(reason="no result")
    mean = row_value(compared, [found[pair].value for pair in pairs])
    interval = compared if isinstance(compared, Refusal) else score_interval(compared, reader.groups(used))
    if isinstance(interval, Refusal):
        return {"score": mean, "interval": None, "interval_note": interval.reason}
    return {"score": mean, "interval": [interval.low, interval.high], "interval_note": interval.method}


def _compare(
    found: Sequence[Found], scores: Sequence[Mapping[str, Any]], reader: Reader
) -> tuple[int | None, dict[str, Any]]:
    """The best finished point, and every other one compared with it on the same clips.

    The best is picked by looking, so p values are adjusted over all pairs, not only over those with the best.
    """
    stacks: dict[int, Evidence] = {}
    folds: tuple[int, ...] = ()
    for index, cells in enumerate(found):
        folds, seeds = choose(cells, sorted({fold for fold, _ in cells})) if cells else (folds, ())
        compared = evidence(cells, folds, seeds, reader) if cells else Refusal(reason="no result")
        if not isinstance(compared, Refusal):
            stacks[index] = compared
    scored = [index for index, cells in enumerate(found) if cells]
    if not scored:
        return None, {"rows": {}, "reason": "no value finished all its folds and seeds", "resolution": None}
    sign = reader.shown.sign
    best = max(scored, key=lambda index: (round(sign * scores[index]["score"], 12), -index))
    if len(stacks) < 2 or len(stacks) < len(scored):
        why = "one finished value: nothing to compare" if len(scored) < 2 else "predictions cannot be paired"
        return best, {"rows": {}, "reason": why, "resolution": None}
    result = ranking(
        {f"{i:06d}": value for i, value in stacks.items()}, reader.groups(folds), level=1 - LEVEL,
        higher_is_better=reader.shown.higher_is_better,
    )  # fmt: skip
    if isinstance(result, Refusal):
        return best, {"rows": {}, "reason": result.reason, "resolution": None}
    order = [int(model.name) for model in result.models]
    first = zip(order, (-result.differences[0]).tolist(), result.p_values[0].tolist(), strict=True)
    rows = {index: {"difference": apart, "p_value": p, "resolved": p < LEVEL} for index, apart, p in first}
    del rows[order[0]]
    resolution = None if isinstance(result.resolution, Refusal) else list(result.resolution)
    return order[0], {
        "rows": rows,
        "reason": "",
        "clips": result.clips,
        "groups": result.groups,
        "grouped": reader.groups(folds) is not None,
        "adjustment": "Holm",
        "pairs": len(order) * (len(order) - 1) // 2,
        "resolution": resolution,
    }


def _state(one: GridPoint) -> dict[str, Any]:
    """What became of the point's cells, in a word, with the first reason."""
    kinds = Counter("diverged" if is_diverged(record) else record.status for record in one.records)
    if missing := len(one.planned) - len(one.records):
        kinds["missing"] = missing
    bad = next((record.error.message for record in one.records if record.error is not None), None)
    whole = len(kinds) == 1
    status = next(iter(kinds)) if whole else ", ".join(f"{name} {count}" for name, count in sorted(kinds.items()))
    return {"status": status, "diverged": kinds["diverged"], "cells": dict(kinds), "problem": bad}


def _budget(one: GridPoint) -> dict[str, Any]:
    """What one cell of the point was given: epochs, clips, seconds; planned where nothing was measured."""
    good = [record for record in one.records if record.status == "ok"]
    epochs = known(good, lambda record: record.timing.get("epochs"))
    train = known(good, lambda record: part(record, "dataset").get("train"))
    frozen = one.planned[0].cell.mode in FROZEN
    fitted = frozen or (bool(good) and not epochs)  # an estimator, a head on vectors: it takes its clips once
    mean_epochs = mean_of_all(epochs or ([] if fitted else [one.planned[0].recipe.epochs]))
    clips = sum(train) / len(train) if train else sum(p.train_clips for p in one.planned) / len(one.planned)
    return {
        "epochs": mean_epochs,
        "train_clips": clips,
        "clips_seen": clips if mean_epochs is None else mean_epochs * clips,
        "budget_measured": bool((epochs or fitted) and train),
        "train_s": mean_of_all(known(good, lambda record: record.timing.get("train_s"))),
        "busy": sum(record.environment.get("contended") is True for record in good),
        "embedded": frozen and bool(good),
    }


def _peak(one: Evaluated) -> float | None:
    """The validation score of the epoch that was kept."""
    if one.curve is None:
        return None
    seen = [value for value in one.curve.validation if value is not None]
    sign = one.curve.metric.sign
    return max(seen, key=lambda value: sign * value, default=None)


def _chosen(
    tried: Sequence[GridPoint], found: Sequence[Found], complete: Sequence[bool], scope: tuple[Sequence[int], Reader]
) -> dict[str, Any] | None:
    """Pick the value on validation in each fold, then read that value's test score; ``None`` without validation.

    Each fold picks for itself: the validation clips of one fold are test clips of another.
    """
    folds, reader = scope
    right = total = 0.0
    picks: dict[int, int] = {}
    for fold in folds:
        best = -math.inf
        for index, cells in enumerate(found):
            here = [one for (f, _), one in sorted(cells.items()) if f == fold] if complete[index] else []
            peaks = [one.curve.metric.sign * peak for one in here if one.curve and (peak := _peak(one)) is not None]
            if here and len(peaks) == len(here) and sum(peaks) / len(peaks) > best:
                best, picks[fold] = sum(peaks) / len(peaks), index
        if fold not in picks or fold not in reader.folds:
            return None
        scored = [one for (f, _), one in found[picks[fold]].items() if f == fold]
        tests = [one.value if one.values is None else float(one.values.mean()) for one in scored if not one.note]
        if not tests or len(tests) < len(scored) or None in tests:
            return None
        clips = len(reader.folds[fold].ids)
        right += float(np.mean(np.array(tests, dtype=np.float64))) * clips
        total += clips
    values = {str(fold): dict(tried[index].texts) for fold, index in picks.items()}
    return {"by_fold": values, "test": right / total} if total else None
