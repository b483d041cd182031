"""Speed and memory of a row, kept apart by hardware; machines and libraries in words."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bench.analysis.grouping import RowGroup, RowKey
from bench.analysis.phrases import plural
from bench.results.quantities import OF_SPEED, Hardware, Speed, finite, follow, measurements
from bench.results.records import Record
from bench.statistics.results import Interval
from bench.statistics.timing import process_interval

_MACHINE = ("cpu", "gpu", "torch")
"""Blocks of ``bench.measurement.environment.describe`` that name a machine."""


def hardware_key(record: Record) -> str:
    """What must be equal for two speeds to share a column: the machine and the device."""
    return f"{record.environment.get('hardware_fingerprint') or 'unknown hardware'}/{record.cell.device}"


def speeds(row: RowGroup) -> tuple[Speed, ...]:
    """One speed per hardware; where several profile cells fit, those of the cell closest to the row's own axes.

    Cells that differ in nothing but their seed are processes of one measurement.
    """
    found: dict[str, list[Record]] = {}
    good = [record for record in row.profile if record.status == "ok"]
    for record in sorted(good, key=lambda record: (_distance(row.key, record), record.cell)):
        same = found.setdefault(hardware_key(record), [])
        if not same or replace(record.cell, seed=0) == replace(same[0].cell, seed=0):
            same.append(record)
    return tuple(_over_processes([_speed(row.key, record) for record in same]) for _, same in sorted(found.items()))


def hardware(rows: Iterable[RowGroup], describe: Mapping[str, str]) -> tuple[Hardware, ...]:
    """All hardware of the rows' speeds, the one with the most rows first; ``describe``: its key to words."""
    found = ({(hardware_key(one), one.cell.device) for one in row.profile if one.status == "ok"} for row in rows)
    count = Counter(pair for pairs in found for pair in pairs)
    ordered = sorted(count, key=lambda pair: (-count[pair], pair))
    return tuple(Hardware(key=key, device=device, label=describe.get(key, key)) for key, device in ordered)


def _distance(key: RowKey, record: Record) -> tuple[bool, bool, bool]:
    cell = record.cell
    return (cell.recipe != key.recipe, cell.mode != key.mode, cell.weights != key.weights)


def _over_processes(found: Sequence[Speed]) -> Speed:
    """Medians over processes, and intervals where there are enough of them; what is counted is the first one's."""
    if len(found) == 1:
        return found[0]
    middle: dict[str, float | None] = {}
    intervals: dict[str, tuple[float, float]] = {}
    for name in (quantity.name for quantity in (*OF_SPEED, *found[0].added) if not quantity.exact):
        values = [value for one in found if (value := one.values.get(name)) is not None]
        middle[name] = float(np.median(values)) if len(values) == len(found) else None
        interval = process_interval(values) if middle[name] is not None and min(values) > 0 else None
        if isinstance(interval, Interval):
            intervals[name] = (interval.low, interval.high)
    return replace(
        found[0],
        values={**found[0].values, **middle},
        intervals=intervals,
        unsteady=2 * sum(one.unsteady for one in found) > len(found),
        reasons={name: why for one in found for name, why in one.reasons.items()},
        notes=tuple(dict.fromkeys(note for one in found for note in one.notes)),
        processes=len(found),
    )


def _speed(key: RowKey, record: Record) -> Speed:
    added = measurements(record)
    batch = finite(follow(record, "timing.infer.batch"))
    return Speed(
        hardware=hardware_key(record),
        values={one.name: one.read(record) for one in (*OF_SPEED, *added)},
        reasons=_reasons(record) | {one.name: why for one in added if (why := one.reason(record)) is not None},
        unsteady=bool(follow(record, "timing.latency.unsteady")),
        infer_batch=None if batch is None else int(batch),
        uncounted=_uncounted(record),
        energy_source=str(follow(record, "timing.energy.source") or ""),
        notes=tuple(_differences(key, record)),
        added=added,
    )


def _uncounted(record: Record) -> tuple[str, ...]:
    """Operators whose work nobody knows how to count, front end and model together."""
    found: Counter[str] = Counter()
    for name in ("frontend", "model"):
        operators: Any = follow(record, f"timing.flops.{name}.uncounted")
        found.update({str(op).removeprefix("aten."): int(times) for op, times in (operators or {}).items()})
    return tuple(f"{op.lstrip('_')} x{times}" for op, times in sorted(found.items()))


def _reasons(record: Record) -> dict[str, str]:
    blocks = (follow(record, f"{name}.reasons") for name in ("timing", "memory", "timing.latency", "timing.energy"))
    known = (sorted(block.items()) for block in blocks if isinstance(block, Mapping))
    return {str(name): str(why) for block in known for name, why in block}


def _differences(key: RowKey, record: Record) -> Iterable[str]:
    if record.environment.get("contended"):
        yield "others used the machine while its speed was measured"
    if record.cell.recipe != key.recipe:
        yield f"speed measured with recipe {record.cell.recipe}"
    if record.cell.mode != key.mode:
        yield f"speed measured in mode {record.cell.mode}"


def hardware_words(record: Record) -> str:
    """The machine and device of a record: ``AMD EPYC, 2 cores, 1 thread (cpu)``."""
    environment, device = record.environment, record.cell.device
    cpu, gpu, torch = (found if isinstance(found := environment.get(name), Mapping) else {} for name in _MACHINE)
    threads = torch.get("threads")
    words = [str(gpu["name"])] if device == "cuda" and gpu.get("name") else []
    words += [str(cpu["model"])] if cpu.get("model") else []
    words += [f"{cpu['logical_cores']} cores"] if cpu.get("logical_cores") else []
    words += [plural(threads, "thread")] if threads else []
    if not words:
        words = [f"hardware {str(environment.get('hardware_fingerprint') or 'unknown')[:12]}"]
    return f"{', '.join(words)} ({device})"


def environment_words(record: Record) -> str:
    """Operating system, Python and library versions: ``CPython 3.11.7, torch 2.11.0``."""
    system = (record.environment.get("os"), record.environment.get("python"))
    return _environment_words(system, tuple((record.environment.get("libraries") or {}).items()))


@functools.lru_cache(maxsize=256)
def _environment_words(system: tuple[str | None, ...], libraries: tuple[tuple[str, str | None], ...]) -> str:
    words = [str(name) for name in system if name]
    words += [f"{name} {version}" for name, version in sorted(libraries) if version]
    return ", ".join(words) or "versions unknown"
