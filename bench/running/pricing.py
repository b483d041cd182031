"""Finding out what models cost here: remembered, timed in a worker, or estimated where nothing may run."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bench.cell import Cell
from bench.data.cache import cache_root
from bench.job import Job
from bench.measurement.machine import foreign_cpu
from bench.planning.costs import Cost, cost_key
from bench.planning.plan import Plan, PlannedCell
from bench.plugins.interfaces import Answered, Event, Lost, OnEvent
from bench.plugins.registry import Registry
from bench.results.store import write_atomic
from bench.running.progress import Progress

BUSY_CORES = 0.2
"""Cores' worth of foreign work above which a measured cost says more about the neighbours than about the model."""

TIMEOUT_S = 120.0


Launch = Callable[[Sequence[Job], OnEvent], None]


def find_costs(
    plan: Plan,
    registry: Registry,
    job: Callable[[PlannedCell], Job],
    launch: Launch,
    progress: Progress,
    *,
    measure: bool,
) -> dict[Cell, Cost | str]:
    """The cost of every runnable cell; a string says why it is unknown.

    Args:
        plan: Which cells.
        registry: For what the key of a cost depends on.
        job: What a worker is told of a planned cell.
        launch: Runs jobs.
        progress: Told how far it is.
        measure: Time a few steps where nothing is remembered; otherwise count FLOPs and run nothing.
    """
    jobs = {p.cell: job(p) for p in plan.runnable}
    keys = {p.cell: cost_key(p, registry, jobs[p.cell].threads) for p in plan.runnable}
    known: dict[str, Cost | str] = {key: cost for key in set(keys.values()) if (cost := _read(key))}
    asked: dict[str, Job] = {}
    for cell, key in keys.items():
        if key not in known:
            asked.setdefault(key, jobs[cell])
    if asked:
        known |= (_measure if measure else _estimate)(asked, launch, progress)
    return {cell: known[key] for cell, key in keys.items()}


def _measure(asked: Mapping[str, Job], launch: Launch, progress: Progress) -> dict[str, Cost | str]:
    others = foreign_cpu().value or 0.0
    answers = _ask({key: replace(job, action="price") for key, job in asked.items()}, "timing", launch, progress)
    if others > BUSY_CORES:
        progress.note(f"others use {others:.1f} cores: the costs measured now are not kept for later plans")
        return answers
    for key, cost in answers.items():
        if isinstance(cost, Cost):
            write_atomic(_path(key), json.dumps(asdict(cost)).encode())
    return answers


def _estimate(asked: Mapping[str, Job], launch: Launch, progress: Progress) -> dict[str, Cost | str]:
    return _ask({key: replace(job, action="estimate") for key, job in asked.items()}, "estimating", launch, progress)


def _ask(asked: Mapping[str, Job], doing: str, launch: Launch, progress: Progress) -> dict[str, Cost | str]:
    answers: dict[str, Cost | str] = {}
    keys = {job.cell: key for key, job in asked.items()}
    what = f"{doing} {len(asked)} model{'s' if len(asked) > 1 else ''}"

    def on_event(event: Event) -> None:
        if isinstance(event, Answered):
            answers[keys[event.job.cell]] = _cost_of(event.values)
        elif isinstance(event, Lost):
            answers[keys[event.job.cell]] = event.failure.message
        progress.count(what, len(answers), len(asked))

    launch([replace(job, timeout_s=min(TIMEOUT_S, job.timeout_s or TIMEOUT_S)) for job in asked.values()], on_event)
    return answers


def _path(key: str) -> Path:
    return cache_root() / "costs" / f"{key}.json"


def _read(key: str) -> Cost | None:
    try:
        return Cost(**json.loads(_path(key).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None  # nothing remembered, or nothing that this version understands: it is asked again


def _cost_of(values: Mapping[str, Any]) -> Cost | str:
    if "problem" in values:
        return str(values["problem"])
    names = ("step_s", "infer_clip_s", "fit_clip_s", "pretrain_step_s", "source")
    return Cost(**{name: values[name] for name in names if name in values})
