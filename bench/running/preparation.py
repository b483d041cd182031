"""From a selection to a priced plan (data sets opened, earlier decisions kept, costs found), from a cell to a job."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.cell import Cell
from bench.config.selection import Selection, check_names
from bench.config.settings import Settings
from bench.data.contents import content_digest
from bench.data.locate import open_clips
from bench.data.waveforms import open_waveforms
from bench.job import Job
from bench.planning.costs import with_costs
from bench.planning.plan import Loaded, Plan, PlannedCell, expand
from bench.plugins.discovery import Host
from bench.plugins.interfaces import OnEvent, Resources
from bench.results.store import Store
from bench.running.launching import Launching
from bench.running.pricing import find_costs
from bench.running.progress import Progress

DEFAULT_TIMEOUT_S = 1800.0
RECORD_BYTES = 12_000


class Preparation:
    """What comes before the first cell of one selection in one run folder.

    Args:
        selection: What to measure.
        settings: How.
        host: The plugins.
        store: Of the run folder.
        launching: Who runs what costs are found with.
        progress: Told how far it is.

    Attributes:
        loaded: The data sets of the selection by name, once there is a plan.
    """

    def __init__(
        self,
        selection: Selection,
        settings: Settings,
        host: Host,
        store: Store,
        launching: Launching,
        progress: Progress,
    ) -> None:
        self.selection = selection
        self.settings = settings
        self.host = host
        self.store = store
        self.launching = launching
        self.progress = progress
        self.loaded: dict[str, Loaded] = {}

    def plan(self, *, measure: bool) -> Plan:
        """The priced plan.

        Args:
            measure: Time a few steps of models whose cost is not known; otherwise count FLOPs and run nothing.

        Raises:
            BenchError: The selection names what does not exist, data is missing, a split leaks.
        """
        check_names(self.selection, self.host.registry)
        plan = expand(self.selection, self.host.registry, self._open())
        plan = replace(plan, cells=tuple(self._kept(planned) for planned in plan.cells))
        if measure:
            self._decode(plan)
        costs = find_costs(plan, self.host.registry, self._pricing_job, self._launch, self.progress, measure=measure)
        plan = with_costs(plan, costs)
        plan = replace(plan, cells=tuple(self._decided(planned) for planned in plan.cells))
        return replace(plan, disk_bytes=self._disk_bytes(plan))

    def _pricing_job(self, planned: PlannedCell) -> Job:
        return replace(self.job(planned, self.launching.side_by_side), timeout_s=self.settings.timeout_s)

    def _launch(self, jobs: Sequence[Job], on_event: OnEvent) -> None:
        self.launching.run(jobs, on_event, self.launching.side_by_side)

    def job(self, planned: PlannedCell, resources: Resources) -> Job:
        """What a worker is told of one cell."""
        settings, limit = self.settings, self.settings.timeout_s
        if limit is None:
            limit = max(DEFAULT_TIMEOUT_S, 5 * (planned.cost_s or 0.0))
        return Job(
            cell=planned.cell, recipe=planned.recipe, fingerprint=planned.fingerprint,
            data=self.selection.data.resolve() if self.selection.data else None, weights=self._weights(planned.cell),
            plugins=tuple(path.resolve() for path in settings.plugins), without=settings.without,
            limit=self.selection.limit, threads=resources.threads, timeout_s=limit,
            keep_checkpoint=settings.keep_checkpoints,
        )  # fmt: skip

    def _weights(self, cell: Cell) -> Path | None:
        """The file that a cell starts from, as workers need it."""
        weights = self.selection.weights
        if weights is None or cell.weights in ("random", "masked"):
            return None
        return Path(weights).expanduser().resolve()

    def _open(self) -> dict[str, Loaded]:
        for name in self.selection.datasets:
            entry = self.host.registry.datasets[name]
            fetching = self._counter(f"downloading {name}")
            clips = open_clips(entry.spec, self.selection.data, load=entry.factory, progress=fetching)
            self.loaded[name] = Loaded(entry=entry, clips=replace(clips, contents_sha256=content_digest(clips)))
        return self.loaded

    def _counter(self, what: str) -> Callable[[int, int], None]:
        return lambda done, total: self.progress.count(what, done, total)

    def _kept(self, planned: PlannedCell) -> PlannedCell:
        record = self.store.read(planned.cell)
        valid = record is not None and record.status == "ok" and record.fingerprint == planned.fingerprint
        return replace(planned, reused=valid and planned.decision == "run")

    def _decode(self, plan: Plan) -> None:
        """Decode every data set once, here and with a count, before workers ask for it."""
        views = {(p.cell.dataset, p.recipe.trim_db, p.recipe.fill) for p in plan.runnable}
        for name, trim_db, fill in sorted(views, key=str):
            clips = self.loaded[name].clips
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
            clips = self.loaded[name].clips
            if clips.audio is None:
                continue
            copies = 1 + sum(view[0] == name for view in views)
            total += copies * 2 * clips.clip_samples * len(clips)
        for planned in plan.runnable:
            classes = len(self.loaded[planned.cell.dataset].clips.label_names)
            parameters = self.host.registry.models[planned.cell.model].spec.parameters or 0
            weights = 4 * parameters if self.settings.keep_checkpoints and planned.cell.kind == "evaluate" else 0
            total += RECORD_BYTES + 4 * classes * planned.test_clips + weights
        return total

    def _previous(self) -> dict[str, dict[str, Any]]:
        plan = self.store.read_plan() or {}
        return {entry["id"]: entry for entry in plan.get("decisions", ())}
