"""From a selection to finished records: load, plan, price, launch, take note; what the verbs and the API share."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from bench.cell import Cell
from bench.costs import Crew, find_costs
from bench.data.locate import open_clips
from bench.data.waveforms import open_waveforms
from bench.discovery import Host, load
from bench.errors import NoCellError, StoreError
from bench.execution.job import Job
from bench.launchers.local import LocalLauncher
from bench.measurement.machine import describe_light, hardware_fingerprint
from bench.plan import Loaded, Plan, PlannedCell, expand
from bench.pricing import with_costs
from bench.provenance import git_state
from bench.records import SCHEMA_VERSION, Failure, Record, Status
from bench.selection import Selection, check_names
from bench.store import Store
from bench.watch import Silence, Watch

DEFAULT_OUT = Path("results") / "runs"
DEFAULT_TIMEOUT_S = 1800.0
RECORD_BYTES = 12_000
WORKER_MIB = 2500
"""Host memory to count on for one worker when choosing how many run side by side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to run, as opposed to what.

    Attributes:
        out: Run folder.
        timeout_s: Limit of one cell; ``None`` = half an hour, or five times its expected time if that is more.
        jobs: Evaluate cells at the same time; ``None`` = as many as cores and memory allow (1 on a GPU).
        plugins: ``--plugin`` files.
        without: Plugins not to load.
        keep_checkpoints: Store weights and test embeddings beside the records.
    """

    out: Path = DEFAULT_OUT
    timeout_s: float | None = None
    jobs: int | None = None
    plugins: tuple[Path, ...] = ()
    without: tuple[str, ...] = ()
    keep_checkpoints: bool = True


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
        self.cores = len(os.sched_getaffinity(0))
        self.slots = settings.jobs or _default_slots(self.cores, selection.device)
        self.threads = max(1, self.cores // self.slots)

    def plan(self, *, measure: bool) -> Plan:
        """The priced plan.

        Args:
            measure: Time a few steps of models whose cost is not known; otherwise count FLOPs and run nothing.

        Raises:
            BenchError: The selection names what does not exist, data is missing, a split leaks.
        """
        check_names(self.selection, self.host.registry)
        plan = expand(self.selection, self.host.registry, self._load())
        plan = replace(plan, cells=tuple(self._kept(planned) for planned in plan.cells))
        if measure:
            self._decode(plan)
        crew = Crew(slots=self.slots, threads=self.threads, job=self._job, limit_s=self.settings.timeout_s)
        plan = with_costs(plan, find_costs(plan, self.host.registry, crew, self.watch, measure=measure))
        plan = replace(plan, cells=tuple(self._decided(planned) for planned in plan.cells))
        return replace(plan, disk_bytes=self._disk_bytes(plan))

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

    def _load(self) -> dict[str, Loaded]:
        loaded = {}
        for name in self.selection.datasets:
            entry = self.host.registry.datasets[name]
            fetching = self._counter(f"downloading {name}")
            clips = open_clips(entry.spec, self.selection.data, load=entry.factory, progress=fetching)
            loaded[name] = Loaded.of(entry, clips)
        self._loaded = loaded
        return loaded

    def _counter(self, what: str) -> Callable[[int, int], None]:
        return lambda done, total: self.watch.count(what, done, total)

    def _kept(self, planned: PlannedCell) -> PlannedCell:
        record = self.store.read(planned.cell)
        valid = record is not None and record.status == "ok" and record.fingerprint == planned.fingerprint
        return replace(planned, reused=valid and planned.decision == "run")

    def _decode(self, plan: Plan) -> None:
        """Decode every data set once, here and with a count, before workers ask for it."""
        views = {(p.cell.dataset, p.recipe.trim_db, p.recipe.fill) for p in plan.runnable}
        for name, trim_db, fill in sorted(views, key=str):
            clips = self._loaded[name].clips
            if clips.audio is None:
                continue
            open_waveforms(clips, trim_db=trim_db, fill=fill, progress=self._counter(f"decoding {name}"))

    def _decided(self, planned: PlannedCell) -> PlannedCell:
        """A budget decision that this run folder took before is kept, so that a resumed run is the same run."""
        previous = self._previous().get(planned.cell.id)
        if previous is None or previous["fingerprint"] != planned.fingerprint or planned.decision == "incompatible":
            return planned
        if previous["decision"] == "over_budget" and planned.decision == "run" and not planned.reused:
            return replace(planned, decision="over_budget", reason=previous["reason"])
        if previous["decision"] == "run" and planned.decision == "over_budget":
            return replace(planned, decision="run", reason="")
        return planned

    def _disk_bytes(self, plan: Plan) -> int:
        """Caches of waveforms (decoded once, and once more per view), records with logits, and checkpoints."""
        views = {(p.cell.dataset, p.recipe.trim_db, p.recipe.fill) for p in plan.runnable}
        total = 0
        for name in {view[0] for view in views}:
            clips = self._loaded[name].clips
            if clips.audio is None:
                continue
            copies = 1 + sum(view[0] == name for view in views)
            total += copies * 2 * clips.clip_samples * len(clips)
        for planned in plan.runnable:
            classes = len(self._loaded[planned.cell.dataset].clips.label_names)
            parameters = self.host.registry.models[planned.cell.model].spec.parameters or 0
            weights = 4 * parameters if self.settings.keep_checkpoints and planned.cell.kind == "evaluate" else 0
            total += RECORD_BYTES + 4 * classes * planned.test_clips + weights
        return total

    def _previous(self) -> dict[str, dict[str, Any]]:
        plan = self.store.read_plan() or {}
        return {entry["id"]: entry for entry in plan.get("decisions", ())}

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
            side_by_side = LocalLauncher(slots=self.slots, threads=self.threads, logs=logs)
            side_by_side.run([self._job(p, self.threads) for p in _longest_first(evaluate)], observe)
            alone = LocalLauncher(slots=1, threads=self.cores, logs=logs)
            alone.run([self._job(p, self.cores) for p in profile], observe)
        except KeyboardInterrupt:
            for planned in plan.cells:
                if planned.cell in running:
                    failure = Failure(reason="cancelled", stage="worker", message="stopped by the user")
                    self.store.write(self._lost(self._job(planned, self.threads), "cancelled", failure))
            raise

    def _job(self, planned: PlannedCell, threads: int) -> Job:
        settings, limit = self.settings, self.settings.timeout_s
        if limit is None:
            limit = max(DEFAULT_TIMEOUT_S, 5 * (planned.cost_s or 0.0))
        return Job(
            cell=planned.cell, recipe=planned.recipe, fingerprint=planned.fingerprint, out=settings.out.resolve(),
            data=self.selection.data.resolve() if self.selection.data else None,
            plugins=tuple(path.resolve() for path in settings.plugins), without=settings.without,
            limit=self.selection.limit, threads=threads, timeout_s=limit, keep_checkpoint=settings.keep_checkpoints,
            extra=self._start(planned.cell),
        )  # fmt: skip

    def _start(self, cell: Cell) -> dict[str, Any]:
        """The file that a cell starts from, as workers need it."""
        weights = self.selection.weights
        if weights is None or cell.weights in ("random", "masked"):
            return {}
        return {"weights": str(Path(weights).expanduser().resolve())}

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
        data = self._loaded[cell.dataset]
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


def _default_slots(cores: int, device: str) -> int:
    if device != "cpu":
        return 1
    memory = int(psutil.virtual_memory().available / 2**20 // WORKER_MIB)
    return max(1, min(cores, memory, 8))


def _longest_first(cells: Sequence[PlannedCell]) -> list[PlannedCell]:
    """Models in the order of their total cost, so that workers end at about the same time."""
    totals: dict[tuple[str, str], float] = {}
    for planned in cells:
        key = (planned.cell.dataset, planned.cell.model)
        totals[key] = totals.get(key, 0.0) + (planned.cost_s or 0.0)
    return sorted(cells, key=lambda p: (-totals[p.cell.dataset, p.cell.model], p.cell))
