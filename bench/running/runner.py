"""From a selection to finished records: load, plan, price, launch, take note; what the verbs and the API share."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from bench.cell import Cell
from bench.config.selection import Selection
from bench.config.settings import Settings
from bench.errors import NoCellError, StoreError
from bench.job import Job
from bench.measurement.machine import describe_light, hardware_fingerprint
from bench.planning.plan import Plan, PlannedCell
from bench.plugins.discovery import Host, load
from bench.results.provenance import git_state
from bench.results.records import SCHEMA_VERSION, Failure, Record, Status
from bench.results.store import Store
from bench.running.local import LocalLauncher
from bench.running.preparation import Preparation
from bench.running.progress import Silence, Watch


@dataclass(slots=True)
class Result:
    """What a run gave.

    Attributes:
        plan: All cells of the selection with their decisions.
        records: One per cell, in the order of the plan; reused ones included.
        reused: Cells whose stored record was taken.
        seconds: Wall time.
    """

    plan: Plan
    records: list[Record] = field(default_factory=list)
    reused: frozenset[Cell] = frozenset()
    seconds: float = 0.0

    @property
    def failed(self) -> list[Record]:
        """Records of cells that were run and have no result."""
        return [r for r in self.records if r.status not in ("ok", "incompatible", "over_budget")]


class Runner:
    """One selection on this machine.

    Args:
        selection: What to measure.
        settings: How.
        watch: Told what happens.

    Raises:
        PluginError: A plugin is broken.
    """

    def __init__(self, selection: Selection, settings: Settings, watch: Watch | None = None) -> None:
        self.selection = selection
        self.settings = settings
        self.watch: Watch = watch or Silence()
        self.host: Host = load(settings.plugins, without=settings.without)
        self.store = Store(settings.out)
        self.preparation = Preparation(selection, settings, self.host, self.store, self.watch)

    @property
    def slots(self) -> int:
        """Workers side by side."""
        return self.preparation.slots

    def plan(self, *, measure: bool) -> Plan:
        """The priced plan; see :meth:`bench.running.preparation.Preparation.plan`."""
        return self.preparation.plan(measure=measure)

    def run(self) -> Result:
        """Run every cell that has no valid record yet.

        Raises:
            BenchError: As :meth:`plan`; also a full disk.
            NoCellError: Nothing could be run and nothing was there.
            KeyboardInterrupt: After the state was left resumable.
        """
        start = time.monotonic()
        with self.store.exclusive():
            plan = self.plan(measure=True)
            self._write_plan(plan)
            self.host.hook.bench_run_start(plan=plan)
            self.watch.planned(plan, self.slots)
            for planned in plan.cells:
                if planned.decision != "run":
                    self._finish(self._outcome(planned))
            self._launch(plan)
        records = [record for planned in plan.cells if (record := self.store.read(planned.cell)) is not None]
        reused = frozenset(planned.cell for planned in plan.cells if planned.reused)
        if not any(planned.decision == "run" for planned in plan.cells):
            raise NoCellError(
                "no cell was run: " + "; ".join(sorted({f"{p.cell.model}: {p.reason}" for p in plan.cells})[:5])
            )
        return Result(plan=plan, records=records, reused=reused, seconds=time.monotonic() - start)

    def _write_plan(self, plan: Plan) -> None:
        """Keep this plan, and what earlier plans of the folder hold beyond it."""
        new = plan.to_json(self.slots)
        ids = {entry["id"] for entry in new["decisions"]}
        old = self.store.read_plan() or {}
        for cell, decision in zip(old.get("cells", ()), old.get("decisions", ()), strict=True):
            if decision["id"] not in ids:
                new["cells"].append(cell)
                new["decisions"].append(decision)
        self.store.write_plan(new)

    def _launch(self, plan: Plan) -> None:
        ready = self.preparation
        running: dict[Cell, float] = {}

        def observe(kind: str, job: Job, values: dict[str, Any]) -> None:
            if kind == "start":
                running[job.cell] = time.time()
            if kind in ("start", "epoch"):
                self.watch.event(kind, job.cell, values)
                return
            began = running.pop(job.cell, 0.0)
            record = self.store.read(job.cell)
            if kind == "lost" and not (record and self.store.path(job.cell).stat().st_mtime >= began):
                record = self.store.write(self._lost(job, values["status"], values["failure"]))
            if record is None:
                raise StoreError(f"the record of {job.cell.id} vanished from {self.store.root}")
            self._finish(record)

        evaluate = [p for p in plan.runnable if p.cell.kind == "evaluate"]
        profile = [p for p in plan.runnable if p.cell.kind == "profile"]
        logs = self.store.root / "logs"
        try:
            side_by_side = LocalLauncher(slots=ready.slots, threads=ready.threads, logs=logs)
            side_by_side.run([ready.job(p, ready.threads) for p in _longest_first(evaluate)], observe)
            alone = LocalLauncher(slots=1, threads=ready.cores, logs=logs)
            alone.run([ready.job(p, ready.cores) for p in in_turns(profile)], observe)
        except KeyboardInterrupt:
            for planned in plan.cells:
                if planned.cell in running:
                    failure = Failure(reason="cancelled", stage="worker", message="stopped by the user")
                    self.store.write(self._lost(ready.job(planned, ready.threads), "cancelled", failure))
            raise

    def _finish(self, record: Record) -> None:
        self.host.hook.bench_cell_finish(record=record)
        self.watch.event("done", record.cell, {"record": record})

    def _outcome(self, planned: PlannedCell) -> Record:
        reason = "needs" if planned.decision == "incompatible" else "budget"
        failure = Failure(reason=reason, stage="plan", message=planned.reason)
        stored = self.store.read(planned.cell)
        if stored is not None and stored.status == "ok":
            return stored  # what was measured is never replaced by the news that it was not
        record = self._blank(planned.cell, planned.decision, failure, planned.fingerprint, planned.recipe)
        extra = {"cost_s": planned.cost_s, "cost_source": planned.cost_source}
        return self.store.write(record.model_copy(update={"provenance": {**record.provenance, **extra}}))

    def _lost(self, job: Job, status: Status, failure: Failure) -> Record:
        return self._blank(job.cell, status, failure, job.fingerprint, job.recipe)

    def _blank(self, cell: Cell, status: Any, failure: Failure, fingerprint: str, recipe: Any) -> Record:
        """A record of a cell without a result, made by the host."""
        entry = self.host.registry.models[cell.model]
        data = self.preparation.loaded[cell.dataset]
        return Record(
            cell=cell,
            status=status,
            recipe=recipe.model_dump(mode="json"),
            environment=_environment(),
            provenance={
                "schema_version": SCHEMA_VERSION,
                "fingerprint": fingerprint,
                "git": git_state(),
                "limit": self.selection.limit,
                "dataset": {"name": cell.dataset, "title": data.clips.title},
                "model": {
                    "name": entry.spec.name,
                    "family": entry.spec.family,
                    "parameters": entry.spec.parameters,
                    "plugin": entry.provenance.plugin,
                    "distribution": entry.provenance.distribution,
                    "version": entry.provenance.version,
                },
            },
            started_at=datetime.now(UTC).isoformat(timespec="seconds"),
            error=failure,
        )


def _environment() -> dict[str, Any]:
    description = describe_light()
    return {**description, "hardware_fingerprint": hardware_fingerprint(description)}


def in_turns(profile: Sequence[PlannedCell]) -> list[PlannedCell]:
    """Every model's first process, then every model's second one the other way round, and so on.

    A drift of the machine meets all models alike, and no model is measured in one stretch.
    """
    rounds: list[list[PlannedCell]] = []
    done: Counter[Cell] = Counter()
    for planned in profile:
        same = replace(planned.cell, seed=0)
        if done[same] == len(rounds):
            rounds.append([])
        rounds[done[same]].append(planned)
        done[same] += 1
    return [planned for i, turn in enumerate(rounds) for planned in (turn if i % 2 == 0 else reversed(turn))]


def _longest_first(cells: Sequence[PlannedCell]) -> list[PlannedCell]:
    """Models in the order of their total cost, so that workers end at about the same time."""
    totals: dict[tuple[str, str], float] = {}
    for planned in cells:
        key = (planned.cell.dataset, planned.cell.model)
        totals[key] = totals.get(key, 0.0) + (planned.cost_s or 0.0)
    return sorted(cells, key=lambda p: (-totals[p.cell.dataset, p.cell.model], p.cell))
