"""Speed and memory of a row, kept apart by hardware."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bench.analysis.grouping import RowGroup, RowKey
from bench.results.quantities import OF_SPEED, Hardware, Speed, finite, follow, measurements
from bench.results.records import Record
from bench.statistics import Interval, process_interval


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
    """All hardware of the rows' speeds, the one with the most rows first.

    Args:
        rows: Rows of one section.
        describe: Hardware key to words.
    """
    count: Counter[tuple[str, str]] = Counter()
    for row in rows:
        keys = {(hardware_key(record), record.cell.device) for record in row.profile if record.status == "ok"}
        count.update(keys)
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
    found: dict[str, str] = {}
    for block in ("timing", "memory", "timing.latency", "timing.energy"):
        reasons = follow(record, f"{block}.reasons")
        if isinstance(reasons, Mapping):
            found |= {str(name): str(why) for name, why in sorted(reasons.items())}
    return found


def _differences(key: RowKey, record: Record) -> Iterable[str]:
    if record.environment.get("contended"):
        yield "others used the machine while its speed was measured"
    if record.cell.recipe != key.recipe:
        yield f"speed measured with recipe {record.cell.recipe}"
    if record.cell.mode != key.mode:
        yield f"speed measured in mode {record.cell.mode}"
