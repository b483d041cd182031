"""What became of each quantity over several pinned baselines: lasting steps, and drift."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from bench.gate.baseline import Baseline, PinnedRow
from bench.gate.intervals import score_mean
from bench.gate.verdict import value
from bench.statistics.history import Step, Trend, detect_steps, trend_test
from bench.statistics.results import Refusal

HEADER = ("row", "quantity", "baselines", "first", "last", "change", "steps and drift", "hardware")


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """One quantity of one row on one machine.

    Attributes:
        hardware: Hardware fingerprint and threads; ``None`` where unknown or of no importance.
        values: One per baseline that has it, oldest first.
        baselines: Which of the baselines, counted from 0.
        steps: Lasting jumps, ``index`` counts within ``values``; empty where :attr:`reason` says why.
        trend: Drift from the first to the last value, ``None`` with too few values.
        reason: Why steps or drift cannot be told, empty where they can.
    """

    row: str
    quantity: str
    unit: str
    hardware: str | None
    values: tuple[float, ...]
    baselines: tuple[int, ...]
    steps: tuple[Step, ...] = ()
    trend: Trend | None = None
    reason: str = ""


def histories(baselines: Sequence[Baseline]) -> tuple[History, ...]:
    """Every quantity of every row, by name, over baselines in the order of time."""
    found: dict[tuple[str, str, str, str | None], list[tuple[int, float]]] = {}
    for index, baseline in enumerate(baselines):
        for row in baseline.rows:
            for quantity, unit, number, _ in pinned_values(row):
                found.setdefault((row.name, quantity, unit, row.hardware), []).append((index, number))
    return tuple(_history(*key, points) for key, points in sorted(found.items(), key=lambda item: str(item[0])))


def pinned_values(row: PinnedRow) -> Iterator[tuple[str, str, float, int]]:
    """Name, unit and value of the score and of every quantity of a row, and how many measurements are behind it."""
    if row.cells:
        yield row.metric, row.unit, score_mean(row.cells), len(row.cells)
    for name, quantity in sorted(row.quantities.items()):
        yield name, quantity.unit, statistics.median(quantity.processes), len(quantity.processes)


def _history(row: str, quantity: str, unit: str, hardware: str | None, points: Sequence[tuple[int, float]]) -> History:
    baselines, values = zip(*points, strict=True)
    plain = History(row=row, quantity=quantity, unit=unit, hardware=hardware, values=values, baselines=baselines)
    if min(values) <= 0:
        return replace(plain, reason="a value is not above 0")
    steps, trend = detect_steps(values), trend_test(values)
    if isinstance(steps, Refusal):
        return replace(plain, reason=steps.reason)
    return replace(plain, steps=steps, trend=None if isinstance(trend, Refusal) else trend)


def table(found: Sequence[History], names: Sequence[str]) -> list[list[str]]:
    """Rows under :data:`HEADER`; ``names`` are those of the baselines."""
    return [
        [
            one.row, one.quantity, str(len(one.values)),
            value(one.unit, one.values[0]), value(one.unit, one.values[-1]),
            f"{one.values[-1] / one.values[0] - 1:+.1%}" if one.values[0] else "-", _events(one, names),
            one.hardware or "-",
        ]
        for one in found
    ]  # fmt: skip


def _events(one: History, names: Sequence[str]) -> str:
    told = [
        f"{value(one.unit, step.before)} -> {value(one.unit, step.after)} from {names[one.baselines[step.index]]} on"
        for step in one.steps
    ]
    if one.trend is not None and one.trend.unsteady and not one.steps:
        told.append(f"drifts by {one.trend.drift:+.1%}")
    return "; ".join(told) or one.reason or "level"
