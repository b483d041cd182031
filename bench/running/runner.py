"""From a selection to finished records: load, plan, price, launch, take note; what the verbs and the API share."""

from __future__ import annotations

import contextlib
import functools
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from bench.cell import Cell
from bench.config.selection import Selection, publishes, spelled
from bench.config.settings import Settings, typed
from bench.config.suites import Suite, stored_suite
from bench.data.contents import file_digests
from bench.errors import NoCellError, PluginError
from bench.job import Job
from bench.measurement.machine import describe_light, hardware_fingerprint
from bench.metrics.scoring import Metric, catalog
from bench.planning.fingerprints import Loaded
from bench.planning.plan import Plan, PlannedCell, expand
from bench.plugins import interfaces
from bench.plugins.discovery import Host, load
from bench.plugins.references import portable, referring
from bench.plugins.registry import Registry
from bench.results.provenance import git_state
from bench.results.records import SCHEMA_VERSION, Failure, Record
from bench.results.sharing import plan_held, shard_held
from bench.results.store import Store
from bench.running.launching import Launching
from bench.running.observing import Observing
from bench.running.progress import Observers, Progress
from bench.running.scoring import completed
from bench.running.stacks import in_stacks

if TYPE_CHECKING:
    from bench.analysis.model import Board
    from bench.running.preparation import Preparation


Planner = Callable[[Registry, Mapping[str, Loaded]], Plan]


@dataclass(kw_only=True)
class Result:
    """What a run gave.

    Attributes:
        plan: All cells of the selection with their decisions.
        records: One per cell, in the order of the plan; reused ones included.
        reused: Cells whose stored record was taken.
        seconds: Wall time.
        store: Where the records are.
        metrics: What boards can compute, by name.
        metric: What the board sorts by, ``None`` = each data set's own.
        suite: What the data sets belong to.
    """

    plan: Plan
    records: list[Record]
    reused: frozenset[Cell]
    seconds: float
    store: Store
    metrics: Mapping[str, Metric]
    metric: str | None = None
    suite: Suite | None = None

    @property
    def failed(self) -> list[Record]:
        """Records of cells that were run and have no result."""
        return [r for r in self.records if r.status not in ("ok", "incompatible", "over_budget")]

    @cached_property
    def board(self) -> Board:
        """The leaderboard of this run: its own cells, whatever else the folder holds."""
        return self._board((), self.suite)

    @property
    def folder_board(self) -> Board:
        """The same, and the data sets of the run folder that this run did not touch: files stand for the folder."""
        mine = {planned.cell.dataset for planned in self.plan.cells}
        others = [cell for cell in self.store.planned() if cell.dataset not in mine]
        suite, _ = stored_suite(self.store.read_plan())
        return self._board(others, suite) if others or suite != self.suite else self.board

    def _board(self, others: Sequence[Cell], suite: Suite | None) -> Board:
        from bench.analysis.board import build_board

        records = [*self.records, *filter(None, map(self.store.read, others))]
        planned = [*(p.cell for p in self.plan.cells), *others]
        return build_board(
            records, metrics=self.metrics, metric=self.metric, planned=planned, predictions=self.store.predictions,
            suite=suite,
        )  # fmt: skip


class Runner:
    """One selection on this machine.

    Args:
        selection: What to measure.
        settings: How.
        progress: Told what happens.
        planner: What gives the cells, of plugins and opened data sets; ``None`` = all that the selection names.

    Raises:
        PluginError: A plugin is broken.
        SelectionError: The launcher does not take its options.
    """

    def __init__(
        self,
        selection: Selection,
        settings: Settings,
        progress: Progress | None = None,
        planner: Planner | None = None,
    ) -> None:
        self.selection = selection
        self.planner: Planner = planner or functools.partial(expand, selection)
        self.settings = settings
        self.progress = progress or Progress()
        host = load(settings.plugins, without=settings.without)
        names = spelled(selection.models, host.registry)
        self.host: Host = replace(host, registry=referring(host.registry, names, file_digests))
        self.store = Store(settings.out)
        self.launching = Launching(
            settings.launcher, self.host.registry, jobs=settings.jobs, device=selection.device, nproc=selection.nproc
        )
        self.slots = self.launching.side_by_side.slots
        self.observers = Observers(self.host, self._observer_failed)

    @cached_property
    def preparation(self) -> Preparation:
        """What comes before the first cell."""
        from bench.running.preparation import Preparation  # a worker is started before all this is imported

        return Preparation(self)

    def plan(self, *, measure: bool = False) -> Plan:
        """The priced plan; see :meth:`bench.running.preparation.Preparation.plan`."""
        try:
            return self.preparation.plan(measure=measure, decode=False)
        finally:
            self.launching.close()

    def run(self) -> Result:
        """Run every cell that has no valid record yet.

        Raises:
            BenchError: As :meth:`plan`; also a full disk.
            NoCellError: Nothing could be run and nothing was there.
            KeyboardInterrupt: After the state was left resumable.
        """
        start = time.monotonic()
        shard = self.settings.shard
        for note in self.store.prepare(adopt=self.settings.adopt):
            self.progress.note(note)
        with shard_held(self.store.root, *shard) if shard else self.store.exclusive():
            self.observing = Observing(self.settings.observers, self.host.registry, self.store.root, self.progress.note)
            brief = not publishes(self.selection, self.host.registry)
            self.launching.prepare(self.selection.models, brief=brief)
            try:
                plan = self._run()
            finally:
                self.launching.close()
                self.observing.tell("close")
        records = [record for planned in plan.cells if (record := self.store.read(planned.cell)) is not None]
        if not any(planned.decision == "run" for planned in plan.cells):
            raise NoCellError(
                "no cell was run: " + "; ".join(sorted({f"{p.cell.model}: {p.reason}" for p in plan.cells})[:5])
            )
        result = Result(
            plan=plan, records=records, reused=frozenset(planned.cell for planned in plan.cells if planned.reused),
            seconds=time.monotonic() - start, store=self.store, metrics=catalog(self.host.registry),
            metric=self.settings.metric, suite=self.selection.suite,
        )  # fmt: skip
        if self.observers.listen("bench_run_finish"):
            self.observers.tell("bench_run_finish", records=records, board=result.board)
        return result

    def _run(self) -> Plan:
        plan = self.preparation.plan(decode=True)
        self._set_aside([planned.cell for planned in plan.cells if not planned.reused])
        with plan_held(self.store.root) if self.settings.shard else contextlib.nullcontext():
            self._write_plan(plan)
        self.observers.tell("bench_run_start", plan=plan)
        self.progress.planned(plan, self.slots)
        for planned in plan.cells:
            if planned.decision != "run":
                self._finish(self._outcome(planned))
        evaluate = _longest_first([p for p in plan.runnable if p.cell.kind == "evaluate"])
        profile = in_turns([p for p in plan.runnable if p.cell.kind == "profile"])
        alone, side_by_side = self.launching.alone, self.launching.side_by_side
        if profile and alone.imports:  # it takes as long as a cell until they are imported
            side_by_side = replace(side_by_side, after=alone)
        for cells, resources in ((evaluate, side_by_side), (profile, alone)):
            if cells:
                jobs = [self.preparation.job(p, resources) for p in cells]
                if cells is evaluate:
                    pairs = list(zip(cells, jobs, strict=True))
                    jobs = in_stacks(pairs, self.settings.stack, self.host.registry, self.launching)
                self.launching.run(jobs, self._on_event, resources)
        return plan

    def _observer_failed(self, plugin: str, hook: str, error: str) -> None:
        self.progress.note(f"plugin {plugin!r}: {hook} raised {error}; it is not called again in this run")

    def _set_aside(self, cells: Sequence[Cell]) -> None:
        """Results of the same cells on other files are kept apart, and so are damaged ones; neither is replaced."""
        for note in filter(None, map(self.store.set_damaged_aside, cells)):
            self.progress.note(note)
        moved = (self.store.set_aside(cell, self.preparation.loaded[cell.data_name].clips) for cell in cells)
        for folder, count in Counter(filter(None, moved)).items():
            self.progress.note(
                f"{count} records in {self.store.root} were measured on other files than those here now; they are "
                f"kept in {folder}: `bench report {folder}` shows them"
            )

    def _write_plan(self, plan: Plan) -> None:
        """Keep this plan, and what earlier plans of the folder and its other shards hold beyond it."""
        new = plan.to_json(self.slots)
        ids = {entry["id"] for entry in new["decisions"]}
        elsewhere = self.preparation.elsewhere
        others = replace(plan, cells=elsewhere).to_json()["decisions"]
        kept = self.store.read_plan()
        if suite := self.selection.suite.model_dump() if self.selection.suite else kept.suite:
            new["suite"] = suite
        earlier = [*kept.pairs, *zip((one.cell for one in elsewhere), others, strict=True)]
        for cell, decision in earlier:
            if decision["id"] not in ids:
                ids.add(decision["id"])
                new["cells"].append(cell.to_json())
                new["decisions"].append(decision)
        self.store.write_plan(new)

    def _on_event(self, event: interfaces.Event) -> None:
        match event:
            case interfaces.Started():
                self.progress.started(event.job.cell)
                if event.job.action == "cell":
                    self.observing.tell("cell_start", event.job.cell, event.job.recipe.model_dump(mode="json"))
            case interfaces.EpochEnded():
                self.progress.epoch(event)
                self.observing.tell("epoch_end", event.job.cell, event.epoch, event.scores)
            case interfaces.ObserverFailed():
                self.observers.failed(event.plugin, event.hook, event.error)
            case interfaces.Finished() | interfaces.Lost():
                if isinstance(event, interfaces.Finished):
                    event = self._completed(event)
                self.store.write_log(event.job.cell, event.log)
                if isinstance(event, interfaces.Finished):
                    record = self._write(event.record, event.files)
                    self.preparation.learn(record)
                else:
                    record = self._write(self._blank(event.job, event.status, event.failure))
                self.observing.tell("cell_finish", record)
                if record.status != "cancelled":
                    self._finish(record)
            case interfaces.Answered():
                raise PluginError(f"launcher {self.launching.name!r} gave no record of {event.job.cell.id}")

    def _completed(self, event: interfaces.Finished) -> interfaces.Finished:
        clips = self.preparation.loaded[event.job.cell.data_name].clips
        return completed(self.host.registry, clips, event)

    def _finish(self, record: Record) -> None:
        self.observers.tell("bench_cell_finish", record=record)
        self.progress.finished(record)

    def _outcome(self, planned: PlannedCell) -> Record:
        stored = self.store.read(planned.cell)
        if stored is not None and stored.status == "ok":
            return stored  # what was measured is never replaced by the news that it was not
        reason = "needs" if planned.decision == "incompatible" else "budget"
        failure = Failure(reason=reason, stage="plan", message=planned.reason)
        costs = {"cost_s": planned.cost_s, "cost_source": planned.cost_source}
        return self._write(self._blank(planned, planned.decision, failure, **costs))

    def _write(self, record: Record, files: Mapping[str, bytes] | None = None) -> Record:
        """Store a record together with what was typed for it."""
        reference = self.host.registry.models[record.cell.model].reference
        named = [("--models", portable(reference))] if reference else []
        provenance = {**record.provenance, "typed": [*named, *typed(self.selection, self.settings)]}
        return self.store.write(record.model_copy(update={"provenance": provenance}), files=files)

    def _blank(self, of: PlannedCell | Job, status: Any, failure: Failure, **provenance: Any) -> Record:
        """A record of a cell without a result, made by the host."""
        entry, environment = self.host.registry.models[of.cell.model], describe_light()
        model = {name: getattr(entry.spec, name) for name in ("name", "family", "parameters")}
        model |= {name: getattr(entry.provenance, name) for name in ("plugin", "distribution", "version")}
        return Record(
            cell=of.cell,
            status=status,
            recipe=of.recipe.model_dump(mode="json"),
            environment={**environment, "hardware_fingerprint": hardware_fingerprint(environment)},
            provenance={
                "schema_version": SCHEMA_VERSION,
                "fingerprint": of.fingerprint,
                "git": git_state(),
                "limit": self.selection.limit,
                "dataset": self.preparation.described(of.cell),
                "model": model,
                **provenance,
            },
            started_at=datetime.now(UTC).isoformat(timespec="seconds"),
            error=failure,
        )


def in_turns(profile: Sequence[PlannedCell]) -> list[PlannedCell]:
    """Every model's first process, then every model's second one the other way round, and so on.

    A drift of the machine meets all models alike, and no model is measured in one stretch.
    """
    rounds: defaultdict[int, list[PlannedCell]] = defaultdict(list)
    done: Counter[Cell] = Counter()
    for planned in profile:
        same = replace(planned.cell, seed=0)
        rounds[done[same]].append(planned)
        done[same] += 1
    return [planned for i, turn in rounds.items() for planned in (turn if i % 2 == 0 else reversed(turn))]


def _longest_first(cells: Sequence[PlannedCell]) -> list[PlannedCell]:
    """Models in the order of their total cost, so that workers end at about the same time."""
    totals: defaultdict[tuple[str, str], float] = defaultdict(float)
    for planned in cells:
        totals[planned.cell.dataset, planned.cell.model] += planned.cost_s or 0.0
    return sorted(cells, key=lambda p: (-totals[p.cell.dataset, p.cell.model], p.cell))
