"""Stored records, or a file of pytest-benchmark, as rows of a baseline: what is pinned and gated is read alike."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import median_abs_deviation

from bench.cell import Cell
from bench.errors import DataError
from bench.gate.baseline import DRAWS, Measured, PinnedRow, Scored, packed
from bench.metrics.scoring import Metric
from bench.plugins.factories import load_factory
from bench.results.predictions import Arrays, Predictions, clip_groups
from bench.results.quantities import QUANTITIES, Quantity, finite, follow, measurements
from bench.results.records import PLANNED, Record
from bench.statistics.draws import clip_weights
from bench.statistics.results import Refusal
from bench.textfiles import parse_json

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
    """

    rows: tuple[PinnedRow, ...]
    lost: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    libraries: Mapping[str, str | None] = field(default_factory=dict)
    machines: Mapping[str, str] = field(default_factory=dict)
    contended: tuple[str, ...] = ()


def row_name(cell: Cell) -> str:
    """Every axis of a cell but fold and seed, and what the user's own files hold, which is the row's identity."""
    mode = cell.mode if cell.weights == "random" else f"{cell.mode}@{cell.weights}"
    axes = (
        cell.kind, mode, cell.inputs, cell.frontend, cell.feeding, cell.recipe,
        cell.device, cell.precision, f"b{cell.batch}", f"n{cell.clip_samples}",
        *([f"p{cell.nproc}"] if cell.nproc > 1 else []),
    )  # fmt: skip
    return f"{cell.dataset.partition('~')[0]}/{cell.protocol}/{cell.model}/{'-'.join(axes)}"


def collect(records: Iterable[Record], predictions: Predictions, metrics: Mapping[str, Metric]) -> Collected:
    """The rows of a run.

    Args:
        records: Of any status; what did not end well is listed in ``lost``.
        predictions: Gives the arrays beside a record; what it raises comes through.
        metrics: By name; a score whose metric is not among them has no evidence from single clips.
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
    return Collected(
        rows=tuple(_row(*key, members, predictions, metrics) for key, members in sorted(groups.items())),
        lost=lost,
        libraries=dict(sorted(libraries.items())),
        machines=machines,
        contended=tuple(sorted(contended)),
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
    scores: dict[str, Any] = {}
    if first.cell.kind == "evaluate":
        metric = str(follow(first, "provenance.dataset.primary_metric") or "accuracy")
        known = next((score for record in members for score in record.scores if score.name == metric), None)
        values = [(record, finite(record.score(metric))) for record in members]
        cells = (_scored(one, value, metrics.get(metric), predictions) for one, value in values if value is not None)
        if empty := [f"fold {r.cell.fold} seed {r.cell.seed}" for r, value in values if value is None]:
            missing[metric] = f"no number for {metric} in {', '.join(empty)}"
        scores = {"metric": metric, "cells": tuple(cells)}
        if known is not None:
            scores |= {"unit": known.unit, "higher_is_better": known.higher_is_better}
    return PinnedRow(
        name=name, kind=first.cell.kind, identity=identity, hardware=where or None, quantities=quantities,
        missing=missing, **scores,
    )  # fmt: skip


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


def collect_benchmarks(text: str, origin: str) -> Collected:
    """The timings in the text of a file of pytest-benchmark; ``origin`` names it in messages.

    Raises:
        DataError: Another kind of file, or a test that stands in it twice.
    """
    content = parse_json(text, origin, advice=f"run pytest --benchmark-json={origin} again")
    entries = content.get("benchmarks") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not all(isinstance(e, dict) and "fullname" in e for e in entries):
        raise DataError(f"{origin}: not a file of pytest-benchmark; make one with pytest --benchmark-json={origin}")
    where, words = _machine(_block(content.get("machine_info")))
    rows = sorted((_benchmark_row(entry, where) for entry in entries), key=lambda row: row.name)
    names = [row.name for row in rows]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"{origin}: in it twice: {', '.join(twice)}; run each test once")
    return Collected(rows=tuple(rows), machines={where: words} if where else {})


def _benchmark_row(entry: Mapping[str, Any], where: str | None) -> PinnedRow:
    stats = _block(entry.get("stats"))
    raw = stats.get("data")
    samples = [finite(value) for value in raw] if isinstance(raw, list) else []
    times = [value for value in samples if value is not None and value > 0]
    median = finite(stats.get("median"))
    row = PinnedRow(name=str(entry["fullname"]), kind="pytest-benchmark", hardware=where)
    if not samples and raw is not None:
        missing = "no round was timed"
    elif len(times) < len(samples):
        missing = "raw times are not positive and finite"
    elif median is None or median <= 0:
        missing = "the median is no positive, finite number"
    else:
        return row.model_copy(update={"quantities": {"latency": measured("s", [median], [times] if times else ())}})
    return row.model_copy(update={"missing": {"latency": missing}})


def _machine(info: Mapping[str, Any]) -> tuple[str | None, str]:
    """A short name of the CPU and its cores, and words; no host name. ``None`` where the CPU is not named."""
    cpu = _block(info.get("cpu"))
    brand, count = cpu.get("brand_raw"), cpu.get("count")
    if not brand:
        return None, ""
    facts = json.dumps([brand, count, info.get("machine"), info.get("system")])
    return hashlib.sha256(facts.encode()).hexdigest()[:12], f"{brand}, {count} logical cores"


def _block(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
