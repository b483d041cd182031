"""Stored records as rows of a baseline: what is pinned and what is gated is read alike."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import median_abs_deviation

from bench.cell import Cell
from bench.gate.baseline import DRAWS, Measured, PinnedRow, Scored, packed
from bench.metrics.scoring import Metric
from bench.plugins.factories import load_factory
from bench.results.predictions import Arrays, Predictions, clip_groups
from bench.results.quantities import QUANTITIES, Quantity, finite, follow, measurements
from bench.results.records import PLANNED, Record
from bench.statistics.draws import clip_weights
from bench.statistics.results import Refusal

MAX_SAMPLES = 200

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What one run measured.

    Attributes:
        rows: Sorted by name and hardware.
        lost: Cells without a result, by row name, with fold, seed and the reason.
        machines: Hardware to words.
        contended: Names of rows whose speed was measured while others used the machine.
        scores: All that some cell was scored by.
    """

    rows: tuple[PinnedRow, ...]
    lost: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    libraries: Mapping[str, str | None] = field(default_factory=dict)
    machines: Mapping[str, str] = field(default_factory=dict)
    contended: tuple[str, ...] = ()
    scores: frozenset[str] = frozenset()


def row_name(cell: Cell) -> str:
    """Every axis of a cell but fold and seed, and what the user's own files hold, which is the row's identity."""
    mode = cell.mode if cell.weights == "random" else f"{cell.mode}@{cell.weights}"
    axes = (
        cell.kind, mode, cell.inputs, cell.frontend, cell.feeding, cell.recipe,
        cell.device, cell.precision, f"b{cell.batch}", f"n{cell.clip_samples}",
        *([f"p{cell.nproc}"] if cell.nproc > 1 else []),
    )  # fmt: skip
    return f"{cell.dataset.partition('~')[0]}/{cell.protocol}/{cell.model}/{'-'.join(axes)}"


def collect(
    records: Iterable[Record], predictions: Predictions, metrics: Mapping[str, Metric], wanted: Collection[str] = ()
) -> Collected:
    """The rows of a run.

    Args:
        records: Of any status; what did not end well is listed in ``lost``.
        predictions: Gives the arrays beside a record; what it raises comes through.
        metrics: By name; a score whose metric is not among them has no evidence from single clips.
        wanted: Scores that get rows of their own beside that which boards of a data set sort by.
    """
    groups: dict[tuple[str, str, str], list[Record]] = {}
    lost: dict[str, tuple[str, ...]] = {}
    libraries: dict[str, str | None] = {}
    machines: dict[str, str] = {}
    contended: set[str] = set()
    for record in sorted(records, key=lambda record: record.cell):
        name, where, identity = row_name(record.cell), None, ""
        if record.status != "ok":
            lost[name] = (*lost.get(name, ()), _lost(record))
            continue
        libraries |= follow(record, "environment.libraries") or {}
        if record.cell.kind == "evaluate":
            contents = record.cell.dataset.partition("~")[2]
            identity = contents + str(follow(record, "provenance.protocol.hash") or "")
        else:
            where = hardware(record)
            machines |= {where: _words(record)} if where else {}
            contended |= {name} if record.environment.get("contended") else set()
        groups.setdefault((name, identity, where or ""), []).append(record)
    rows = []
    for (name, identity, where), members in sorted(groups.items()):
        row = _row(name, identity, where, members, predictions, metrics)
        more = [one for one in wanted if one != row.metric and any(r.score(one) is not None for r in members)]
        rows += [row, *(_score_row(row, one, members, predictions, metrics) for one in more)]
    return Collected(
        rows=tuple(rows),
        lost=lost,
        libraries=dict(sorted(libraries.items())),
        machines=machines,
        contended=tuple(sorted(contended)),
        scores=frozenset(score.name for members in groups.values() for record in members for score in record.scores),
    )


def unfinished(records: Iterable[Record]) -> list[str]:
    """One line for each record that should have a result and has none; planned outcomes are results."""
    return [f"{r.cell.id}: {_lost(r)}" for r in records if r.status != "ok" and r.status not in PLANNED]


def hardware(record: Record) -> str | None:
    """The machine and the threads that a speed belongs to, ``None`` where the record does not name the machine."""
    fingerprint = record.environment.get("hardware_fingerprint")
    if not fingerprint:
        return None
    threads = follow(record, "environment.torch.threads")
    return f"{fingerprint}/{threads} threads" if threads is not None else str(fingerprint)


def measured(
    unit: str, processes: Sequence[float], samples: Sequence[Sequence[float]] = (), *, higher_is_better: bool = False
) -> Measured:
    """A quantity with its raw samples thinned and its scatter."""
    raw = [process for process in samples if len(process)]
    mad, kept = float(median_abs_deviation(raw[0])) if raw else None, tuple(map(_thinned, raw))
    return Measured(unit=unit, higher_is_better=higher_is_better, processes=tuple(processes), mad=mad, samples=kept)


def _row(
    name: str, identity: str, where: str, members: Sequence[Record], predictions: Predictions,
    metrics: Mapping[str, Metric],
) -> PinnedRow:  # fmt: skip
    first = members[0]
    quantities: dict[str, Measured] = {}
    missing: dict[str, str] = {}
    for quantity in (*(one for one in QUANTITIES if one.gated), *measurements(first)):
        if first.cell.kind == "profile" or quantity.exact:
            found = _over_processes(quantity, members, predictions)
            if isinstance(found, str):
                missing[quantity.gated or quantity.name] = found
            elif found is not None:
                quantities[quantity.gated or quantity.name] = found
    row = PinnedRow(
        name=name, kind=first.cell.kind, identity=identity, hardware=where or None, quantities=quantities,
        missing=missing,
    )  # fmt: skip
    if first.cell.kind != "evaluate":
        return row
    metric = str(follow(first, "provenance.dataset.primary_metric") or "accuracy")
    scored = _score_row(row, metric, members, predictions, metrics)
    return scored.model_copy(update={"quantities": quantities, "missing": {**missing, **scored.missing}})


def _score_row(
    row: PinnedRow, metric: str, members: Sequence[Record], predictions: Predictions, metrics: Mapping[str, Metric]
) -> PinnedRow:
    """What the cells of a ``row`` score by one metric, in the direction that their records state, and nothing else."""
    known = next((score for record in members for score in record.scores if score.name == metric), None)
    values = [(record, finite(record.score(metric))) for record in members]
    cells = (_scored(one, value, metrics.get(metric), predictions) for one, value in values if value is not None)
    empty = [f"fold {r.cell.fold} seed {r.cell.seed}" for r, value in values if value is None]
    missing = {metric: f"no number for {metric} in {', '.join(empty)}"} if empty else {}
    scores: dict[str, Any] = {"metric": metric, "cells": tuple(cells), "quantities": {}, "missing": missing}
    if known is not None:
        scores |= {"unit": known.unit, "higher_is_better": known.higher_is_better}
    return row.model_copy(update=scores)


def _over_processes(quantity: Quantity, members: Sequence[Record], predictions: Predictions) -> Measured | str | None:
    """The quantity over all records of a row, why there is none, or ``None`` where it is not spoken of."""
    known: list[float] = []
    for record in members:
        value = quantity.read(record)
        if value is None:
            return quantity.reason(record)
        known.append(value)
    if quantity.exact:
        return measured(quantity.unit, [max(known)], higher_is_better=quantity.higher_is_better)
    if min(known) <= 0:
        return f"measured {min(known):g} {quantity.unit}, which is no measurement"
    samples = [_samples(record, quantity, predictions) for record in members]
    broken = sum(not math.isfinite(value) or value <= 0 for process in samples for value in process)
    if broken:
        return f"{broken} raw samples are not positive and finite"
    return measured(quantity.unit, known, samples, higher_is_better=quantity.higher_is_better)


def _samples(record: Record, quantity: Quantity, predictions: Predictions) -> list[float]:
    if quantity.raw:
        raw = follow(record, quantity.raw)
        return [math.nan if (value := finite(item)) is None else value for item in raw or ()]
    arrays = predictions(record) if quantity.array and "predictions" in record.artifacts else {}
    return [float(value) for value in arrays[quantity.array].ravel()] if quantity.array in arrays else []


def _scored(record: Record, value: float, metric: Metric | None, predictions: Predictions) -> Scored:
    clips = follow(record, "provenance.dataset.test")
    clips = clips if isinstance(clips, int) and clips > 0 else None
    plain = Scored(fold=record.cell.fold, seed=record.cell.seed, value=value, clips=clips)
    arrays = predictions(record) if "predictions" in record.artifacts else {}
    if metric is None or not {metric.reads, "groups"} <= arrays.keys():
        return plain
    order = np.argsort(arrays["ids"])
    logits, targets = arrays[metric.reads][order], arrays["targets"][order]
    groups = clip_groups(arrays["ids"][order], arrays["groups"][order])
    known = None if groups is None else tuple(groups.tolist())
    if metric.per_clip is None:
        name, values = "drawn", _drawn(metric, value, logits, targets, known, record.cell.fold)
    else:
        name, values = "per_clip", _per_clip(metric.per_clip, logits, targets)
        values = values if values is not None and _explains(values, value) else None
    if values is None:
        return plain
    found = {"clips": len(order) or None, "clips_sha256": _digest(arrays, order), name: packed(values), "groups": known}
    return plain.model_copy(update=found)


def _per_clip(per_clip: str, logits: Floats, targets: npt.NDArray[Any]) -> Floats | None:
    """Values of the clips, ``None`` where the metric does not take these predictions."""
    try:
        return np.asarray(load_factory(per_clip)(logits, targets), dtype=np.float64)
    except Exception:  # noqa: BLE001  a plugin may raise anything; such a score has no interval
        return None


def _drawn(
    metric: Metric, value: float, logits: Floats, targets: npt.NDArray[Any], groups: Sequence[str] | None, fold: int
) -> Floats | None:
    """A score that is no mean over clips under draws of groups, each fold by its own; ``None`` where there are none."""
    weights = clip_weights(groups, len(logits), draws=DRAWS, seed=fold)
    if isinstance(weights, Refusal):
        return None
    try:
        score = metric.score(logits, targets).value
        known = score is not None and _explains(np.asarray([score]), value)
        return metric.resampled(logits, targets, weights[0]) if known else None
    except Exception:  # noqa: BLE001  a metric that cannot be computed on draws has no interval, as the note says
        return None


def _explains(values: Floats, score: float) -> bool:
    """Whether these are the predictions that the stored score was computed from."""
    return bool(values.size and np.isfinite(values).all() and abs(values.mean() - score) <= 0.01 * abs(score) + 1e-6)


def _digest(arrays: Arrays, order: npt.NDArray[np.int64]) -> str:
    columns = (arrays[name][order].tolist() for name in ("ids", "groups", "targets"))
    lines = ("\t".join(map(str, line)) for line in zip(*columns, strict=True))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _thinned(values: Sequence[float]) -> tuple[float, ...]:
    count = min(len(values), MAX_SAMPLES)
    picked = np.linspace(0, len(values) - 1, count).astype(np.int64)
    return tuple(float(f"{values[index]:.6g}") for index in picked)


def _lost(record: Record) -> str:
    why = record.error.message if record.error else "no reason stored"
    where = f"fold {record.cell.fold} " if record.cell.kind == "evaluate" else ""
    return f"{where}seed {record.cell.seed} {record.status}: {why}"


def _words(record: Record) -> str:
    model, cores, gpu = (
        follow(record, f"environment.{path}") for path in ("cpu.model", "cpu.logical_cores", "gpu.name")
    )
    return f"{model or 'unknown CPU'}, {cores or '?'} logical cores" + (f" + {gpu}" if gpu else "")
