"""From a selection to finished records: load, plan, price, launch, take note; what the verbs and the API share."""

from __future__ import annotations

import contextlib
import functools
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from bench.cell import Cell
from bench.config.selection import Selection, publishes, spelled
from bench.config.settings import Settings, typed
from bench.data.contents import file_digests
from bench.errors import NoCellError, PluginError
from bench.job import Job
from bench.measurement.machine import describe_light, hardware_fingerprint
from bench.metrics.scoring import catalog
from bench.planning.fingerprints import Loaded
from bench.planning.order import in_turns, longest_first
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
from bench.running.prices import kept, pace_name
from bench.running.progress import Observers, Progress
from bench.running.result import Result
from bench.running.scoring import completed
from bench.running.stacks import in_stacks

if TYPE_CHECKING:
    from bench.running.preparation import Preparation


Planner = Callable[[Registry, Mapping[str, Loaded]], Plan]


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
            if not (measure or kept(pace_name(self.selection.device, self.launching))):
                self.launching.expect(self.selection.models)
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
            self.launching.prepare(self.selection.models, brief=brief, profile=self.selection.profile)
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
        evaluate = longest_first([p for p in plan.runnable if p.cell.kind == "evaluate"])
        profile = in_turns([p for p in plan.runnable if p.cell.kind == "profile"])
        alone, side_by_side = self.launching.alone, self.launching.side_by_side
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
                    self.preparation.prices.learn(record)
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
