"""Throughput of one model over batch sizes: profile cells in fresh processes, and where larger batches stop paying."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.config.selection import Selection
from bench.config.settings import Settings
from bench.errors import BenchError, NoCellError, SelectionError
from bench.planning.plan import PlannedCell
from bench.plugins.interfaces import Answered, Event, Lost
from bench.results.folder import write_atomic
from bench.results.quantities import NAMED, measurements
from bench.results.records import Record
from bench.running.progress import Progress
from bench.running.runner import Runner
from bench.statistics.results import Refusal
from bench.statistics.timing import process_interval
from bench.studies.common import Profiled, bad_record, known, only_model, profile_in_turns, registry_of, why

SATURATION_SHARE = 0.9
"""The saturation batch size is the smallest that reaches this share of the highest throughput."""

RATES = {"infer": NAMED["infer_clips_per_s"], "train": NAMED["train_clips_per_s"]}
PEAKS = {name: NAMED[name] for name in ("host_peak_mib", "device_peak_mib")}
SHOWN = RATES | PEAKS


def batch_row(batch: int, records: Sequence[Record]) -> dict[str, Any]:
    """One batch size as JSON values, unknown is ``None``.

    Returns:
        ``batch``; ``statuses`` of each process; ``problem`` of the first that has no result; ``infer`` and ``train``
        (clips per second, medians over processes) with ``infer_interval`` (95 %); ``host_peak_mib`` and
        ``device_peak_mib`` (the highest of all processes); ``added`` (medians of what plugins measured, by title);
        ``reasons`` by name.
    """
    good, bad = [record for record in records if record.status == "ok"], bad_record(records)
    problem = None if bad is None else f"{bad.status}: {why(bad)}"
    reasons: dict[str, str] = {}
    added = {one.title: one for one in (measurements(good[0]) if good else ())}
    found = {name: known(good, one.read) for name, one in (SHOWN | added).items()}
    rates, peaks = ({name: found[name] for name in names} for names in (RATES, PEAKS))
    if good:
        empty = {name: (SHOWN | added)[name] for name, values in found.items() if not values}
        reasons = {name: one.reason(good[0]) or "not measured" for name, one in empty.items()}
    interval = process_interval(rates["infer"]) if rates["infer"] else None
    if isinstance(interval, Refusal):
        reasons["infer_interval"] = interval.reason
    return {
        "batch": batch,
        "statuses": [record.status for record in records],
        "problem": problem,
        **{name: float(np.median(values)) if values else None for name, values in rates.items()},
        **{name: max(values, default=None) for name, values in peaks.items()},
        "added": {name: float(np.median(found[name])) if found[name] else None for name in added},
        "infer_interval": None if interval is None or isinstance(interval, Refusal) else [interval.low, interval.high],
        "reasons": reasons if good else {"infer": problem or "no result"},
    }


def saturation(rates: Mapping[int, float | None]) -> dict[str, float] | str:
    """The smallest batch with at least 90 % of the highest rate, or why there is none.

    Returns:
        ``batch``, its ``clips_per_s``, and the ``best`` rate of all.

    >>> saturation({1: 10.0, 2: 19.0, 4: 20.0})["batch"]
    2
    """
    measured = {batch: rate for batch, rate in sorted(rates.items()) if rate is not None}
    if len(measured) < 2:
        return f"it takes two batch sizes with a result, there are {len(measured)}"
    best = max(measured.values())
    batch = next(batch for batch, rate in measured.items() if rate >= SATURATION_SHARE * best)
    return {"batch": batch, "clips_per_s": measured[batch], "best": best}


def cell_details(record: Record) -> dict[str, Any]:
    """Latency, stages, FLOPs, guards, energy and counters of one profile cell as it stored them."""
    names = ("latency", "stages", "flops", "guards", "energy", "counters")
    return {
        "cell": record.cell.id,
        **{name: record.timing.get(name) for name in names},
        "reasons": record.timing.get("reasons", {}),
    }


LARGEST_TRIED = 65_536
"""No larger batch is tried."""


def search_largest(selection: Selection, study: ProfileStudy, settings: Settings, progress: Progress) -> ProfileStudy:
    """The study with the largest batch that fits the device, each try in a process of its own."""
    if selection.device == "cpu":
        return replace(study, largest=ON_CPU)
    brief = replace(selection, overrides=(*selection.overrides, "recipe.publishable=false"))

    def fits(batch: int) -> bool:
        tried = profile_in_turns({batch: at_batch(brief, batch)}, settings, progress)[batch]
        if tried.refused is not None:
            raise NoCellError(tried.refused)
        (record,) = tried.records
        if record.status not in ("ok", "oom"):
            raise BenchError(f"the search for the largest batch stopped at {batch}: {record.status}: {why(record)}")
        return record.status == "ok"

    low = max((row["batch"] for row in study.rows if set(row["statuses"]) == {"ok"}), default=0)
    high = min((row["batch"] for row in study.rows if "oom" in row["statuses"]), default=None)
    return replace(study, largest=bisect_largest(fits, low=low, high=high))


def bisect_largest(fits: Callable[[int], bool], *, low: int, high: int | None) -> int | str:
    """The largest batch that fits: doubled until one does not, then bisected to the very clip.

    >>> bisect_largest(lambda batch: batch <= 1234, low=16, high=None)
    1234
    """
    while high is None:
        tried = max(1, 2 * low)
        if tried > LARGEST_TRIED:
            return f"a batch of {low} still fits; nothing larger was tried"
        low, high = (tried, None) if fits(tried) else (low, tried)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low or "not even one clip fits"


def take_traces(planned: PlannedCell, selection: Selection, settings: Settings, folder: Path) -> dict[str, Any]:
    """Trace a few steps of the cell's model; the times in a trace are inflated and enter no record.

    Returns:
        As :func:`bench.execution.profile.run_trace`.
    """
    runner = Runner(selection, settings)
    job = replace(runner.preparation.job(planned, runner.launching.alone), action="trace")
    ends: list[Event] = []
    runner.launching.run([job], ends.append, runner.launching.alone)
    match ends[-1]:
        case Answered(values=values, files=files) if "problem" not in values:
            for name, content in files.items():
                write_atomic(folder / name, content)
            traces: dict[str, Any] = values["traces"]
            return traces
        case Answered(values=values, log=log):
            why = values["problem"]
        case Lost(status=status, failure=failure, log=log):
            why = f"{status}: {failure.message}"
    write_atomic(folder / "worker.log", log.encode())
    raise BenchError(f"no trace of {planned.cell.model}: {why}; the worker's log is {folder / 'worker.log'}")


ON_CPU = "on a CPU a batch that does not fit is swapped, not refused: searched for on CUDA only"
NOT_ASKED = "not searched for; ask with --largest"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileStudy:
    """What was measured over batch sizes."""

    rows: tuple[dict[str, Any], ...]
    saturation: Mapping[str, dict[str, float] | str]
    cells: Mapping[int, Profiled]
    largest: int | str

    @property
    def failed(self) -> bool:
        """Whether a cell has no result; running out of memory is a result of this study."""
        return any(status not in ("ok", "oom") for row in self.rows for status in row["statuses"])

    @property
    def reused(self) -> int:
        """Records that were there before."""
        return sum(one.reused for one in self.cells.values())

    @property
    def chosen(self) -> PlannedCell | None:
        """The cell at the saturation batch size of inference, else at the smallest batch that was measured."""
        measured = [row["batch"] for row in self.rows if set(row["statuses"]) == {"ok"}]
        found = self.saturation["infer"]
        batch = found["batch"] if isinstance(found, dict) else next(iter(measured), None)
        return None if not measured or batch is None else self.cells[int(batch)].planned

    def to_json(self) -> dict[str, Any]:
        """JSON values, each batch's latency, stages, FLOPs, guards and energy under ``details``."""
        firsts = {batch: one.records[0] for batch, one in self.cells.items()}
        unknown = {f"saturation.{name}": found for name, found in self.saturation.items() if isinstance(found, str)}
        if isinstance(self.largest, str):
            unknown["largest_batch"] = self.largest
        first = next(iter(firsts.values()))
        shown = ("dataset", "model", "frontend", "feeding", "device", "precision", "clip_samples")
        return {
            "what": {name: getattr(first.cell, name) for name in shown},
            "rows": list(self.rows),
            "saturation": {name: found if isinstance(found, dict) else None for name, found in self.saturation.items()},
            "largest_batch": None if isinstance(self.largest, str) else self.largest,
            "details": {str(batch): cell_details(r) for batch, r in firsts.items() if r.status == "ok"},
            "environment": first.environment,
            "reasons": unknown,
        }


def run_batches(
    selection: Selection, batches: Sequence[int], settings: Settings, progress: Progress, *, processes: int = 1
) -> ProfileStudy:
    """Profile one model at each batch size, every cell in a process of its own, nothing beside it."""
    sizes = sorted(set(batches))
    if not sizes or sizes[0] < 1 or processes < 1:
        raise SelectionError(f"batches are {list(batches)}, processes {processes}; give sizes of 1 or more clips")
    only_model(selection, registry_of(selection, settings))
    variants = {size: at_batch(selection, size) for size in sizes}
    cells = profile_in_turns(variants, settings, progress, processes=processes)
    if refused := next((one.refused for one in cells.values() if one.refused), None):
        raise NoCellError(refused)
    rows = tuple(batch_row(size, one.records) for size, one in cells.items())
    return ProfileStudy(
        rows=rows,
        saturation={name: saturation({row["batch"]: row[name] for row in rows}) for name in ("infer", "train")},
        cells=cells,
        largest=ON_CPU if selection.device == "cpu" else NOT_ASKED,
    )


def at_batch(selection: Selection, batch: int) -> Selection:
    """The selection at one batch size."""
    return replace(selection, overrides=(*selection.overrides, f"recipe.batch={batch}"))
