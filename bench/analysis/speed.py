"""Speed and memory of a row, kept apart by hardware."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bench.analysis.grouping import RowGroup
from bench.analysis.model import RowKey
from bench.results.quantities import Hardware, Speed
from bench.results.records import Record
from bench.statistics import Interval, process_interval

SAMPLED = (
    "train_clips_per_s", "infer_clips_per_s", "latency_s", "latency_mad_s", "real_time_factor", "host_peak_mib",
    "device_peak_mib", "joules_per_clip", "net_joules_per_clip",
)  # fmt: skip
"""What differs from process to process."""


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
    middle: dict[str, Any] = {}
    intervals: dict[str, tuple[float, float]] = {}
    for name in SAMPLED:
        values = [value for one in found if (value := getattr(one, name)) is not None]
        middle[name] = float(np.median(values)) if len(values) == len(found) else None
        interval = process_interval(values) if middle[name] is not None and min(values) > 0 else None
        if isinstance(interval, Interval):
            intervals[name] = (interval.low, interval.high)
    return replace(
        found[0],
        **middle,
        unsteady=2 * sum(one.unsteady for one in found) > len(found),
        reasons={name: why for one in found for name, why in one.reasons.items()},
        notes=tuple(dict.fromkeys(note for one in found for note in one.notes)),
        processes=len(found),
        intervals=intervals,
    )


def _number(values: Mapping[str, Any] | None, name: str) -> float | None:
    value = values.get(name) if isinstance(values, Mapping) else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _scaled(values: Mapping[str, Any] | None, name: str, factor: float) -> float | None:
    value = _number(values, name)
    return None if value is None else value * factor


def _speed(key: RowKey, record: Record) -> Speed:
    timing, memory = record.timing, record.memory
    latency, infer, train = timing.get("latency"), timing.get("infer"), timing.get("train")
    flops, energy = timing.get("flops"), timing.get("energy")
    batch = _number(infer, "batch")
    notes = tuple(_differences(key, record))
    return Speed(
        hardware=hardware_key(record),
        train_clips_per_s=_number(train, "clips_per_s"),
        infer_clips_per_s=_number(infer, "clips_per_s"),
        infer_batch=None if batch is None else int(batch),
        latency_s=_scaled(latency, "median_ms", 1e-3),
        latency_mad_s=_scaled(latency, "mad_ms", 1e-3),
        unsteady=bool(isinstance(latency, Mapping) and latency.get("unsteady")),
        host_peak_mib=_number(memory, "host_peak_mib"),
        device_peak_mib=_number(memory, "device_peak_mib"),
        real_time_factor=_number(latency, "real_time_factor"),
        flops_per_clip=_flops(flops),
        uncounted=_uncounted(flops),
        joules_per_clip=_number(energy, "joules_per_clip"),
        net_joules_per_clip=_number(energy, "net_joules_per_clip"),
        energy_source=str((energy.get("source") if isinstance(energy, Mapping) else None) or ""),
        reasons=_reasons((timing, memory, *(block for block in (latency, energy) if isinstance(block, Mapping)))),
        notes=notes,
    )


def _flops(table: Mapping[str, Any] | None) -> float | None:
    """Operations per clip: the record counts those of a few clips together."""
    total, clips = _number(table, "total"), _number(table, "clips")
    return total / clips if total is not None and clips else None


def _uncounted(table: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Operators whose work nobody knows how to count, front end and model together."""
    found: Counter[str] = Counter()
    for name in ("frontend", "model"):
        block = table.get(name) if isinstance(table, Mapping) else None
        if isinstance(block, Mapping):
            found.update({str(op).removeprefix("aten."): int(times) for op, times in block["uncounted"].items()})
    return tuple(f"{op.lstrip('_')} x{times}" for op, times in sorted(found.items()))


def _reasons(blocks: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for block in blocks:
        reasons = block.get("reasons")
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
