"""Throughput of one model over batch sizes: profile cells in fresh processes, and the knee."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from bench.config.selection import Selection, select_models
from bench.config.settings import Settings
from bench.data.locate import open_clips
from bench.errors import NoCellError, SelectionError
from bench.planning.plan import Loaded, PlannedCell, expand
from bench.plugins.registry import Registry
from bench.results.records import Record
from bench.running.progress import Progress
from bench.running.runner import Result, Runner
from bench.statistics import Refusal, process_interval

KNEE_SHARE = 0.9
"""The knee is the smallest batch that reaches this share of the highest throughput."""
ON_CPU = "on a CPU a batch that does not fit is swapped, not refused: searched for on CUDA only"
NOT_ASKED = "not searched for; ask with --largest"


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRow:
    """One batch size; throughputs are medians over processes, unknown is ``None``.

    Attributes:
        batch: Clips.
        statuses: Of each process.
        problem: Why there is no result, of the first process that has none.
        infer: Clips per second of inference.
        train: Clips per second of training.
        host_peak_mib: Highest of all processes.
        device_peak_mib: Highest of all processes.
        infer_interval: 95 % interval over processes.
        reasons: Why something is ``None``, by name.
    """

    batch: int
    statuses: tuple[str, ...]
    problem: str | None
    infer: float | None
    train: float | None
    host_peak_mib: float | None
    device_peak_mib: float | None
    infer_interval: tuple[float, float] | None
    reasons: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Knee:
    """Where larger batches stop paying.

    Attributes:
        batch: The smallest measured batch that reaches 90 % of ``best``.
        clips_per_s: Its throughput.
        best: The highest throughput of the sweep.
    """

    batch: int
    clips_per_s: float
    best: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """What a sweep gave.

    Attributes:
        rows: By rising batch.
        knees: Of ``infer`` and ``train``, or why there is none.
        records: By batch, one per process.
        planned: The cell of each batch, as it was planned first.
        reused: Records that were there before.
        largest: The largest batch whose training step fits the device, or why it is not known.
    """

    rows: tuple[SweepRow, ...]
    knees: Mapping[str, Knee | str]
    records: Mapping[int, tuple[Record, ...]]
    planned: Mapping[int, PlannedCell]
    reused: int
    largest: int | str

    @property
    def failed(self) -> bool:
        """Whether a cell has no result; running out of memory is a result of a sweep."""
        return any(status not in ("ok", "oom") for row in self.rows for status in row.statuses)

    def to_json(self) -> dict[str, Any]:
        """JSON values, each batch's latency, stages, FLOPs, guards and energy under ``details``."""
        details = {
            str(batch): {
                "cell": records[0].cell.id,
                **{key: records[0].timing.get(key) for key in ("latency", "stages", "flops", "guards", "energy")},
                "reasons": records[0].timing.get("reasons", {}),
            }
            for batch, records in self.records.items()
            if records[0].status == "ok"
        }
        first = next(iter(self.planned.values())).cell
        reasons = {f"knee.{name}": knee for name, knee in self.knees.items() if isinstance(knee, str)}
        if isinstance(self.largest, str):
            reasons["largest_batch"] = self.largest
        shown = ("dataset", "model", "frontend", "feeding", "device", "precision", "clip_samples")
        return {
            "what": {name: getattr(first, name) for name in shown},
            "rows": [asdict(row) for row in self.rows],
            "knee": {name: None if isinstance(knee, str) else asdict(knee) for name, knee in self.knees.items()},
            "largest_batch": None if isinstance(self.largest, str) else self.largest,
            "details": details,
            "environment": next((r[0].environment for r in self.records.values() if r), {}),
            "reasons": reasons,
        }


def run_sweep(
    selection: Selection, batches: Sequence[int], settings: Settings, progress: Progress, *, processes: int = 1
) -> Sweep:
    """Profile one model at each batch size, every cell in a process of its own, nothing beside it.

    Rounds over the batches alternate in direction, so that a drift of the machine meets all batches alike. The rounds
    differ in their seed, which names the process.

    Args:
        selection: Exactly one model and one data set; recipe overrides are kept and the batch is added.
        batches: Sizes in clips, each 1 or more.
        settings: How to run.
        progress: Told what happens.
        processes: Processes per batch, 1 or more; 8 give an interval.

    Raises:
        SelectionError: No or several models, no batch or one below 1.
        BenchError: As :meth:`bench.running.runner.Runner.run`.
    """
    sizes = sorted(set(batches))
    if not sizes or sizes[0] < 1 or processes < 1:
        raise SelectionError(f"batches are {list(batches)}, processes {processes}; give sizes of 1 or more clips")
    records: dict[int, list[Record]] = {size: [] for size in sizes}
    planned: dict[int, PlannedCell] = {}
    reused = 0
    for turn in range(processes):
        for size in sizes if turn % 2 == 0 else reversed(sizes):
            runner = Runner(at_batch(selection, size, turn), settings, progress)
            only_model(selection.models, runner.host.registry)
            result = run_cells(runner)
            records[size] += result.records
            planned.setdefault(size, result.plan.cells[0])
            reused += len(result.reused)
    rows = tuple(_row(size, records[size]) for size in sizes)
    return Sweep(
        rows=rows,
        knees={name: find_knee({row.batch: getattr(row, name) for row in rows}) for name in ("infer", "train")},
        records={size: tuple(found) for size, found in records.items()},
        planned=planned,
        reused=reused,
        largest=ON_CPU if selection.device == "cpu" else NOT_ASKED,
    )


def only_model(names: Sequence[str], registry: Registry) -> str:
    """The one model that ``names`` means.

    Raises:
        SelectionError: It means several.
        UnknownNameError: It means none.
    """
    found = [entry.spec.name for entry in select_models(names, registry)]
    if len(found) > 1:
        shown = ", ".join(found[:8]) + (", ..." if len(found) > 8 else "")
        raise SelectionError(f"{','.join(names)!r} names {len(found)} models; choose one of {shown}")
    return found[0]


def run_cells(runner: Runner) -> Result:
    """Run a selection of profile cells; where nothing fits together, say what does not.

    Raises:
        NoCellError: The model cannot be measured on these data, with the reason.
    """
    try:
        return runner.run()
    except NoCellError as error:
        registry, selection = runner.host.registry, runner.selection
        loaded = {}
        for name in selection.datasets:
            entry = registry.datasets[name]
            loaded[name] = Loaded(entry=entry, clips=open_clips(entry.spec, selection.data, load=entry.factory))
        # A profile cell that does not fit is not planned at all; only evaluate cells carry their reason.
        asked = replace(selection, evaluate=True, profile=False)
        reasons = {f"{p.cell.model} {p.reason}" for p in expand(asked, registry, loaded).cells if p.reason}
        raise NoCellError("; ".join(sorted(reasons)) or str(error)) from error


def find_knee(rates: Mapping[int, float | None]) -> Knee | str:
    """The smallest batch with at least 90 % of the highest rate, or why there is none.

    Args:
        rates: Clips per second by batch; ``None`` where there is no result.

    >>> find_knee({1: 10.0, 2: 19.0, 4: 20.0}).batch
    2
    """
    known = {batch: rate for batch, rate in sorted(rates.items()) if rate is not None}
    if len(known) < 2:
        return f"a knee takes two batch sizes with a result, there are {len(known)}"
    best = max(known.values())
    batch = next(batch for batch, rate in known.items() if rate >= KNEE_SHARE * best)
    return Knee(batch=batch, clips_per_s=known[batch], best=best)


def at_batch(selection: Selection, batch: int, turn: int) -> Selection:
    """The selection at one batch size; a budget that a recipe sets for many models does not hold for one."""
    overrides = ("recipe.budget_seconds=none", *selection.overrides, f"recipe.batch={batch}")
    seeds = (selection.seeds[0] + turn,)
    return replace(selection, evaluate=False, profile=True, overrides=overrides, seeds=seeds)


def _row(batch: int, records: Sequence[Record]) -> SweepRow:
    good = [record for record in records if record.status == "ok"]
    bad = next((record for record in records if record.status != "ok"), None)
    reasons: dict[str, str] = {}
    rates = {name: _rates(name, good, reasons) for name in ("infer", "train")}
    peaks = {name: _peak(name, good, reasons) for name in ("host_peak_mib", "device_peak_mib")}
    interval = process_interval(rates["infer"]) if rates["infer"] else None
    ends = None
    if isinstance(interval, Refusal):
        reasons["infer_interval"] = interval.reason
    elif interval is not None:
        ends = (interval.low, interval.high)
    problem = None if bad is None else f"{bad.status}: {bad.error.message if bad.error else 'no reason given'}"
    return SweepRow(
        batch=batch,
        statuses=tuple(record.status for record in records),
        problem=problem,
        infer=float(np.median(rates["infer"])) if rates["infer"] else None,
        train=float(np.median(rates["train"])) if rates["train"] else None,
        **peaks,
        infer_interval=ends,
        reasons=reasons if good else {"infer": problem or "no result"},
    )


def _rates(name: str, good: Sequence[Record], reasons: dict[str, str]) -> list[float]:
    found = [record.timing[name]["clips_per_s"] for record in good if record.timing.get(name)]
    if good and not found:
        reasons[name] = good[0].timing.get("reasons", {}).get(name, "not measured")
    return found


def _peak(name: str, good: Sequence[Record], reasons: dict[str, str]) -> float | None:
    found = [value for record in good if (value := record.memory.get(name)) is not None]
    if good and not found:
        reasons[name] = good[0].memory.get("reasons", {}).get(name, "not measured")
    return max(found, default=None)
