"""Stored records as rows of a baseline: the same code reads what is pinned and what is gated."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.cell import Cell
from bench.gate.baseline import Measured, Row, Scored
from bench.gate.quantities import SOURCES, UNSAMPLED, Source
from bench.results.records import PLANNED, Record

Arrays = Mapping[str, npt.NDArray[Any]]
Predictions = Callable[[Record], Arrays]
"""Gives the arrays stored beside a record."""

MAX_SAMPLES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What one run measured.

    Attributes:
        rows: Sorted by name and hardware.
        lost: Cells without a result, by row name, with fold, seed and the reason.
        libraries: Versions that measured it.
        machines: Hardware to words.
        contended: Names of rows whose speed was measured while others used the machine.
    """

    rows: tuple[Row, ...]
    lost: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    libraries: Mapping[str, str | None] = field(default_factory=dict)
    machines: Mapping[str, str] = field(default_factory=dict)
    contended: tuple[str, ...] = ()


def row_name(cell: Cell) -> str:
    """Every axis of a cell but fold and seed."""
    mode = cell.mode if cell.weights == "random" else f"{cell.mode}@{cell.weights}"
    axes = (
        cell.kind, mode, cell.inputs, cell.frontend, cell.feeding, cell.recipe,
        cell.device, cell.precision, f"b{cell.batch}", f"n{cell.clip_samples}",
    )  # fmt: skip
    return f"{cell.dataset}/{cell.protocol}/{cell.model}/{'-'.join(axes)}"


def collect(records: Iterable[Record], predictions: Predictions) -> Collected:
    """The rows of a run.

    Args:
        records: Of any status; what did not end well is listed in ``lost``.
        predictions: Gives the arrays beside a record; what it raises comes through.
    """
    groups: dict[tuple[str, str, str], list[Record]] = {}
    lost: dict[str, tuple[str, ...]] = {}
    libraries: dict[str, str | None] = {}
    machines: dict[str, str] = {}
    contended: set[str] = set()
    for record in sorted(records, key=lambda record: record.cell):
        name = row_name(record.cell)
        if record.status != "ok":
            lost[name] = (*lost.get(name, ()), _lost(record))
            continue
        libraries |= _block(record.environment, "libraries")
        where = hardware(record) if record.cell.kind == "profile" else None
        if where is not None:
            machines[where] = _words(record)
        if record.cell.kind == "profile" and record.environment.get("contended"):
            contended.add(name)
        groups.setdefault((name, _identity(record), where or ""), []).append(record)
    rows = tuple(_row(*key, members, predictions) for key, members in sorted(groups.items()))
    return Collected(
        rows=rows,
        lost=lost,
        libraries=dict(sorted(libraries.items())),
        machines=machines,
        contended=tuple(sorted(contended)),
    )


def unfinished(records: Iterable[Record]) -> list[str]:
    """One line for each record that should have a result and has none; planned outcomes are results."""
    bad = (r for r in records if r.status != "ok" and r.status not in PLANNED)
    return [f"{r.cell.id}: {_lost(r)}" for r in bad]


def hardware(record: Record) -> str | None:
    """The machine and the threads that a speed belongs to, ``None`` where the record does not name the machine."""
    fingerprint = record.environment.get("hardware_fingerprint")
    if not fingerprint:
        return None
    threads = _block(record.environment, "torch").get("threads")
    return f"{fingerprint}/{threads} threads" if threads is not None else str(fingerprint)


def finite(value: Any) -> float | None:
    """A finite number, ``None`` for anything else."""
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if good else None


def measured(unit: str, processes: Sequence[float], samples: Sequence[Sequence[float]] = ()) -> Measured:
    """A quantity with its raw samples thinned and its scatter."""
    kept = tuple(_thinned(process) for process in samples if len(process))
    mad = None
    if kept:
        first = np.asarray(samples[0], dtype=np.float64)
        mad = float(np.median(np.abs(first - np.median(first))))
    return Measured(unit=unit, processes=tuple(processes), mad=mad, samples=kept)


def _row(name: str, identity: str, where: str, members: Sequence[Record], predictions: Predictions) -> Row:
    kind = members[0].cell.kind
    quantities: dict[str, Measured] = {}
    missing: dict[str, str] = {}
    for quantity, source in SOURCES:
        if kind == "evaluate" and quantity not in UNSAMPLED:
            continue
        found = _read(quantity, source, members, predictions)
        if isinstance(found, str):
            missing[quantity] = found
        elif found is not None:
            quantities[quantity] = found
    cells: tuple[Scored, ...] = ()
    metric = ""
    if kind == "evaluate":
        metric = str(_block(members[0].provenance, "dataset").get("primary_metric") or "accuracy")
        values = [(record, finite(record.score(metric))) for record in members]
        cells = tuple(_scored(record, value, metric, predictions) for record, value in values if value is not None)
        if empty := [f"fold {r.cell.fold} seed {r.cell.seed}" for r, value in values if value is None]:
            missing["accuracy"] = f"no number for {metric} in {', '.join(empty)}"
    return Row(
        name=name,
        kind=kind,
        identity=identity,
        hardware=where or None,
        metric=metric,
        cells=cells,
        quantities=quantities,
        missing=missing,
    )


def _read(quantity: str, source: Source, members: Sequence[Record], predictions: Predictions) -> Measured | str | None:
    """The quantity over all records of a row, why there is none, or ``None`` where it is not spoken of."""
    values = [_number(record, source) for record in members]
    if None in values:
        return _reason(quantity, source, members[values.index(None)])
    known = [value for value in values if value is not None]
    if quantity in UNSAMPLED:
        return measured(source.unit, [max(known)])
    if min(known) <= 0:
        return f"measured {min(known):g} {source.unit}, which is no measurement"
    samples = [_samples(record, source, predictions) for record in members]
    broken = sum(not math.isfinite(value) or value <= 0 for process in samples for value in process)
    if broken:
        return f"{broken} raw samples are not positive and finite"
    return measured(source.unit, known, samples)


def _number(record: Record, source: Source) -> float | None:
    for path, factor in source.paths:
        value = finite(_follow(record, path))
        if value is not None:
            return value * factor
    return None


def _samples(record: Record, source: Source, predictions: Predictions) -> list[float]:
    if source.raw:
        raw = _follow(record, source.raw)
        return [math.nan if (value := finite(item)) is None else value for item in raw or ()]
    if source.array and "predictions" in record.artifacts:
        arrays = predictions(record)
        if source.array in arrays:
            return [float(value) for value in arrays[source.array].ravel()]
    return []


def _follow(record: Record, path: Sequence[str]) -> Any:
    value: Any = getattr(record, path[0])
    for key in path[1:]:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _reason(quantity: str, source: Source, record: Record) -> str | None:
    """Why a record lacks a quantity; ``None`` where it neither holds nor explains it."""
    path = source.paths[0][0]
    for depth in range(1, len(path)):
        reasons = _follow(record, (*path[:depth], "reasons"))
        if isinstance(reasons, Mapping) and path[depth] in reasons:
            return str(reasons[path[depth]])
    spoken_of = any(_follow(record, path) is not None for path, _ in source.paths)
    return f"{quantity} is no finite number" if spoken_of else None


def _scored(record: Record, value: float, metric: str, predictions: Predictions) -> Scored:
    cell = record.cell
    clips = _block(record.provenance, "dataset").get("test")
    count = clips if isinstance(clips, int) and clips > 0 else None
    if metric != "accuracy" or "predictions" not in record.artifacts:
        return Scored(fold=cell.fold, seed=cell.seed, value=value, clips=count)
    arrays = predictions(record)
    if "logits" not in arrays or arrays["targets"].ndim != 1:
        return Scored(fold=cell.fold, seed=cell.seed, value=value, clips=count)
    order = np.argsort(arrays["ids"])
    correct = arrays["logits"].argmax(axis=1)[order] == arrays["targets"][order]
    groups = tuple(str(group) for group in arrays["groups"][order])
    return Scored(
        fold=cell.fold,
        seed=cell.seed,
        value=value,
        clips=len(order) or None,
        clips_sha256=_digest(arrays, order),
        correct=np.packbits(correct).tobytes().hex(),
        groups=groups if all(groups) else None,
    )


def _digest(arrays: Arrays, order: npt.NDArray[np.int64]) -> str:
    columns = (arrays[name][order].tolist() for name in ("ids", "groups", "targets"))
    lines = ("\t".join(map(str, line)) for line in zip(*columns, strict=True))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _thinned(values: Sequence[float]) -> tuple[float, ...]:
    count = min(len(values), MAX_SAMPLES)
    picked = np.linspace(0, len(values) - 1, count).astype(np.int64)
    return tuple(float(f"{values[index]:.6g}") for index in picked)


def _identity(record: Record) -> str:
    return str(_block(record.provenance, "protocol").get("hash", "")) if record.cell.kind == "evaluate" else ""


def _lost(record: Record) -> str:
    why = record.error.message if record.error else "no reason stored"
    where = f"fold {record.cell.fold} " if record.cell.kind == "evaluate" else ""
    return f"{where}seed {record.cell.seed} {record.status}: {why}"


def _words(record: Record) -> str:
    cpu, gpu = _block(record.environment, "cpu"), _block(record.environment, "gpu")
    words = [f"{cpu.get('model') or 'unknown CPU'}, {cpu.get('logical_cores') or '?'} logical cores"]
    return " + ".join([*words, str(gpu["name"])] if gpu.get("name") else words)


def _block(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    block = values.get(name)
    return block if isinstance(block, Mapping) else {}
