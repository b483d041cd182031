"""The profile cells of the front-end study: each feeding in fresh processes, interleaved, and one row per feeding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from bench.config.selection import Selection
from bench.config.settings import Settings
from bench.errors import NoCellError
from bench.planning.plan import PlannedCell
from bench.results.records import Record
from bench.running.progress import Progress
from bench.running.runner import Runner
from bench.statistics import Refusal, process_interval
from bench.statistics.timing import MIN_PROCESSES
from bench.studies.profile.run import run_cells

TIMES = ("infer", "train", "latency_ms", "cpu_ms")
"""Of these the machine's other work spoils a number; clips/s, clips/s, ms, ms per clip."""
MEMORY = ("host_train_mib", "host_infer_mib", "device_peak_mib", "device_infer_peak_mib")
OTHERS = ("flops", "joule")
MEASURED = (*TIMES, *MEMORY, *OTHERS)


@dataclass(slots=True)
class Profiled:
    """The profile cells of all feedings.

    Attributes:
        rows: By feeding (``"nnaudio fly"``), see :func:`feeding_row`.
        planned: The first cell.
        environment: Of the first record.
        reused: Records that were there before.
    """

    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    planned: PlannedCell | None = None
    environment: dict[str, Any] = field(default_factory=dict)
    reused: int = 0


def profile_feedings(
    selection: Selection,
    feedings: Sequence[tuple[str, str]],
    settings: Settings,
    progress: Progress,
    *,
    processes: int = 1,
) -> Profiled:
    """Profile one model under each feeding, every cell in a process of its own, nothing beside it.

    Rounds over the feedings alternate in direction, so that a drift of the machine meets all alike. The rounds differ
    in their seed, which names the process.

    Args:
        selection: One model and one data set.
        feedings: ``(front end, "fly" or "precomputed")``.
        settings: How to run.
        progress: Told what happens.
        processes: Per feeding, 1 or more.
    """
    found = Profiled()
    records: dict[tuple[str, str], list[Record]] = {feeding: [] for feeding in feedings}
    refused: dict[tuple[str, str], str] = {}
    for turn in range(processes):
        for feeding in feedings if turn % 2 == 0 else reversed(feedings):
            if feeding in refused:
                continue
            try:
                result = run_cells(Runner(_chosen(selection, feeding, turn), settings, progress))
            except NoCellError as error:
                refused[feeding] = str(error)
                continue
            records[feeding] += result.records
            found.planned = found.planned or result.plan.cells[0]
            found.environment = found.environment or result.records[0].environment
            found.reused += len(result.reused)
    for feeding in feedings:
        found.rows[" ".join(feeding)] = feeding_row(records[feeding], refused.get(feeding))
    return found


def unlimited(selection: Selection) -> Selection:
    """Without the budget that a recipe sets for many models."""
    return replace(selection, overrides=("recipe.budget_seconds=none", *selection.overrides))


def _chosen(selection: Selection, feeding: tuple[str, str], turn: int) -> Selection:
    seeds = (selection.seeds[0] + turn,)
    frontend, way = feeding
    return replace(
        unlimited(selection), frontend=frontend, feeding=way, evaluate=False, profile=True, seeds=seeds
    )  # fmt: skip


def feeding_row(records: Sequence[Record], refused: str | None = None) -> dict[str, Any]:
    """Speed and memory of one feeding as JSON values: medians over processes.

    Args:
        records: One per process.
        refused: Why the model cannot be fed so.

    Returns:
        Every name of :data:`MEASURED` (``None`` = unknown), ``infer_spread`` and ``train_spread`` (over the blocks of
        the first process), ``samples`` (``{name: one number per process}``), ``intervals`` (``{name: [low, high]}``
        where there are 8 processes), ``processes``, ``left_out`` (processes beside which others were busy, where 8
        are left without them), ``contended``, ``status``, ``problem``, ``cell``, ``augmentable``, ``reasons``.
    """
    unknown: dict[str, Any] = {
        **dict.fromkeys((*MEASURED, "infer_spread", "train_spread", "augmentable", "contended", "cell")),
        **{"samples": {}, "intervals": {}, "processes": 0, "left_out": 0, "reasons": {}},
    }
    if not records:
        return {**unknown, "status": "incompatible", "problem": refused}
    bad = next((record for record in records if record.status != "ok"), None)
    if bad is not None:
        why = bad.error.message if bad.error else "no reason given"
        return {**unknown, "status": bad.status, "problem": why, "cell": bad.cell.id}
    quiet = [record for record in records if not record.environment.get("contended")]
    used = quiet if len(quiet) >= MIN_PROCESSES else list(records)
    numbers = [_numbers(record) for record in used]
    samples: dict[str, list[float]] = {}
    for name in MEASURED:
        known = [value for one in numbers if (value := one[name]) is not None]
        if known:
            samples[name] = known
    first = used[0]
    timing, memory = first.timing, first.memory
    return {
        **unknown,
        **{name: float(np.median(values)) for name, values in samples.items()},
        "infer_spread": timing["infer"].get("spread"),
        "train_spread": (timing.get("train") or {}).get("spread"),
        "samples": samples,
        "intervals": _intervals(samples),
        "processes": len(used),
        "left_out": len(records) - len(used),
        "contended": any(record.environment.get("contended") for record in used),
        "status": "ok",
        "problem": None,
        "cell": first.cell.id,
        "augmentable": first.cell.feeding == "fly",
        "reasons": {**memory.get("reasons", {}), **timing.get("reasons", {}), **_energy(first)[1]},
    }


def _numbers(record: Record) -> dict[str, float | None]:
    timing, memory = record.timing, record.memory
    infer, train, latency = timing["infer"], timing.get("train"), timing.get("latency")
    flops = timing.get("flops")
    return {
        "infer": infer["clips_per_s"],
        "train": None if train is None else train["clips_per_s"],
        "latency_ms": None if latency is None else latency["median_ms"],
        "cpu_ms": 1e3 * infer["cpu_s"] / infer["clips"],
        "flops": None if flops is None else flops["total"] / flops["clips"],
        "joule": _energy(record)[0],
        **{name: memory.get(name) for name in MEMORY},
    }


def _energy(record: Record) -> tuple[float | None, dict[str, str]]:
    """Joule per clip of inference, or why it is not known."""
    energy: Mapping[str, Any] = record.timing.get("energy") or {}
    reasons = energy.get("reasons") or {}
    value = energy.get("joules_per_clip")
    if value is not None:
        return float(value), {}
    return None, {"joule": reasons.get("joules_per_clip") or "no energy counter was read"}


def _intervals(samples: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    found = {}
    for name in TIMES:
        interval = process_interval(samples.get(name, ()))
        if not isinstance(interval, Refusal):
            found[name] = [interval.low, interval.high]
    return found
