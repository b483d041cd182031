"""Finding out what models cost here: remembered, timed in a worker, or estimated where nothing may run."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bench.cell import Cell
from bench.data.cache import cache_root
from bench.job import Job
from bench.measurement.machine import foreign_cpu
from bench.planning.costs import Cost, cost_key
from bench.planning.plan import Plan, PlannedCell
from bench.plugins.registry import Registry
from bench.results.store import write_atomic
from bench.running.local import LocalLauncher
from bench.running.progress import Watch

BUSY_CORES = 0.2
"""Cores' worth of foreign work above which a measured cost says more about the neighbours than about the model."""

PROBE_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """How many workers, with how many threads, and how a planned cell becomes a job.

    Attributes:
        slots: Workers side by side.
        threads: Threads of each.
        job: ``job(planned, threads)``.
        limit_s: ``--timeout``.
    """

    slots: int
    threads: int
    job: Callable[[PlannedCell, int], Job]
    limit_s: float | None


def find_costs(plan: Plan, registry: Registry, crew: Crew, watch: Watch, *, measure: bool) -> dict[Cell, Cost | str]:
    """The cost of every runnable cell; a string says why it is unknown.

    Args:
        plan: Which cells.
        registry: For what the key of a cost depends on.
        crew: Who asks.
        watch: Told how far it is.
        measure: Time a few steps where nothing is remembered; otherwise count FLOPs and run nothing.
    """
    keys = {p.cell: cost_key(p, registry, crew.threads) for p in plan.runnable}
    known: dict[str, Cost | str] = {key: cost for key in set(keys.values()) if (cost := _read(key))}
    asked: dict[str, PlannedCell] = {}
    for planned in plan.runnable:
        if keys[planned.cell] not in known:
            asked.setdefault(keys[planned.cell], planned)
    if asked:
        known |= _measure(asked, crew, watch) if measure else _ask(asked, crew, watch, "estimate")
    return {cell: known[key] for cell, key in keys.items()}


def _measure(asked: Mapping[str, PlannedCell], crew: Crew, watch: Watch) -> dict[str, Cost | str]:
    others = foreign_cpu().value or 0.0
    answers = _ask(asked, crew, watch, "probe")
    if others > BUSY_CORES:
        watch.note(f"others use {others:.1f} cores: the costs measured now are not kept for later plans")
        return answers
    for key, cost in answers.items():
        if isinstance(cost, Cost):
            write_atomic(_path(key), json.dumps(asdict(cost)).encode())
    return answers


def _ask(asked: Mapping[str, PlannedCell], crew: Crew, watch: Watch, action: str) -> dict[str, Cost | str]:
    answers: dict[str, Cost | str] = {}
    by_cell = {planned.cell: key for key, planned in asked.items()}
    what = f"{'timing' if action == 'probe' else 'estimating'} {len(asked)} model{'s' if len(asked) > 1 else ''}"

    def observe(kind: str, job: Job, values: dict[str, Any]) -> None:
        if kind == "cost":
            answers[by_cell[job.cell]] = _cost_of(values["costs"])
        elif kind == "lost":
            answers[by_cell[job.cell]] = values["failure"].message
        watch.count(what, len(answers), len(asked))

    limit = min(PROBE_TIMEOUT_S, crew.limit_s or PROBE_TIMEOUT_S)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        logs = Path(folder)
        jobs = [
            replace(crew.job(planned, crew.threads), action=action, out=logs, timeout_s=limit)
            for planned in asked.values()
        ]
        LocalLauncher(slots=crew.slots, threads=crew.threads, logs=logs).run(jobs, observe)
    return answers


def _path(key: str) -> Path:
    return cache_root() / "costs" / f"{key}.json"


def _read(key: str) -> Cost | None:
    try:
        return Cost(**json.loads(_path(key).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None  # nothing remembered, or nothing that this version understands: it is asked again


def _cost_of(values: Mapping[str, Any]) -> Cost | str:
    if "unknown" in values:
        return str(values["unknown"])
    names = ("step_s", "infer_clip_s", "fit_clip_s", "pretrain_step_s", "source")
    return Cost(**{name: values[name] for name in names if name in values})
