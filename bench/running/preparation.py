"""From a selection to a priced plan (data sets opened, earlier decisions kept, costs found), from a cell to a job."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from bench.cell import Cell
from bench.clips import Clips
from bench.config.selection import Selection, check_names
from bench.data.contents import identified
from bench.data.copies import know_copies
from bench.data.decoders import decoder
from bench.data.locate import open_clips
from bench.data.waveforms import Fill, open_waveforms
from bench.job import Job
from bench.planning.costs import with_costs
from bench.planning.fingerprints import Loaded, metric_sources
from bench.planning.plan import Plan, PlannedCell
from bench.planning.shards import ELSEWHERE, divide
from bench.plugins.interfaces import Resources
from bench.plugins.registry import Registry
from bench.running.prices import Prices
from bench.textfiles import at_home

if TYPE_CHECKING:
    from bench.running.runner import Runner

DEFAULT_TIMEOUT_S = 1800.0
RECORD_BYTES = 12_000


class Preparation:
    """What comes before the first cell of a run.

    Once there is a plan, ``loaded`` holds its data sets by name, and ``elsewhere`` what its other shards run.
    """

    def __init__(self, runner: Runner) -> None:
        self.selection, self.settings, self.store = runner.selection, runner.settings, runner.store
        self.planner = runner.planner
        self.registry, self.launching, self.progress = runner.host.registry, runner.launching, runner.progress
        self.loaded: dict[str, Loaded] = {}
        self.elsewhere: tuple[PlannedCell, ...] = ()
        self.prices = Prices(self)

    def plan(self, *, measure: bool = False, decode: bool = False) -> Plan:
        """The priced plan.

        Args:
            measure: Time a few steps of models whose cost was never measured here; otherwise estimate it, and no
                model runs.
            decode: Decode every data set now; otherwise copies are told by files alone.

        Raises:
            BenchError: The selection names what does not exist, data is missing, a split leaks.
        """
        check_names(self.selection, self.registry)
        plan = self._shard(self.planner(self.registry, self._open(decode=decode)))
        plan = replace(plan, cells=tuple(self._kept(planned) for planned in plan.cells))
        views = self._views(plan)
        if decode:  # every data set is decoded once, here and with a count, before workers ask for it
            for name, clips, trim_db, fill in views:
                open_waveforms(clips, trim_db=trim_db, fill=fill, progress=self._counter(f"decoding {name}"))
        plan = with_costs(plan, self.prices.costs(plan, measure=measure))
        decided = self.store.read_plan().decisions
        previous = {entry["id"]: entry for entry in decided if entry.get("cost_source") != ELSEWHERE}
        plan = replace(plan, cells=tuple(_decided(planned, previous.get(planned.cell.id)) for planned in plan.cells))
        return replace(plan, disk_bytes=self._disk_bytes(plan))

    def job(self, planned: PlannedCell, resources: Resources) -> Job:
        """What a worker is told of one cell."""
        settings, weights, limit = self.settings, self.selection.weights, self.settings.timeout_s
        if limit is None:
            limit = max(DEFAULT_TIMEOUT_S, 5 * (planned.cost_s or 0.0))
        if weights is not None:
            random = planned.cell.weights in ("random", "masked")
            weights = None if random else at_home(weights).resolve()
        return Job(
            cell=planned.cell, recipe=planned.recipe, fingerprint=planned.fingerprint, weights=weights,
            weights_prefix=self.selection.weights_prefix if weights else "",
            data=self.selection.data.resolve() if self.selection.data else None, without=settings.without,
            plugins=tuple(path.resolve() for path in settings.plugins), limit=self.selection.limit,
            reference=self.registry.models[planned.cell.model].reference, threads=resources.threads,
            keep_checkpoint=settings.keep_checkpoints, timeout_s=limit, counters=self.selection.counters or "",
        )  # fmt: skip

    def _open(self, *, decode: bool) -> dict[str, Loaded]:
        rehash = self.settings.rehash
        self.loaded = load_all(self.selection, self.registry, rehash=rehash, counter=self._counter, decode=decode)
        return self.loaded

    def _shard(self, plan: Plan) -> Plan:
        if self.settings.shard is None:
            return plan
        index, count = self.settings.shard
        shards = divide(plan, self.registry, count)
        mine = shards.pop(index - 1)
        self.elsewhere = tuple(replace(p, cost_source=ELSEWHERE) for shard in shards for p in shard.cells)
        return mine

    def described(self, cell: Cell) -> dict[str, str]:
        """Name, title and identity of a cell's data set."""
        clips = self.loaded[cell.data_name].clips
        return {"name": cell.data_name, "title": clips.title, "contents_sha256": clips.contents_sha256}

    def _counter(self, what: str) -> Callable[[int, int], None]:
        return lambda done, total: self.progress.count(what, done, total)

    def _kept(self, planned: PlannedCell) -> PlannedCell:
        record = self.store.read(planned.cell)
        if record is None or record.status != "ok" or planned.decision != "run":
            return planned
        if record.fingerprint != planned.fingerprint:
            return replace(planned, reused=False)
        sources, scored = metric_sources(self.registry), record.provenance.get("metrics") or {}
        same = all(sources.get(name, code) == code for name, code in scored.items())
        return replace(planned, reused=same and self.store.intact(record))

    def _views(self, plan: Plan) -> list[tuple[str, Clips, float | None, Fill]]:
        """Name, clips, trimming and filling of every waveform cache that the plan needs."""
        rates = {p.cell.model: self.registry.models[p.cell.model].spec.sample_rate for p in plan.runnable}
        views = {(p.cell.data_name, rates[p.cell.model], p.recipe.trim_db, p.recipe.fill) for p in plan.runnable}
        ordered = sorted(views, key=str)
        every = ((name, self.loaded[name].clips.at(rate), trim_db, fill) for name, rate, trim_db, fill in ordered)
        return [view for view in every if view[1].audio is not None]

    def _disk_bytes(self, plan: Plan) -> int:
        """Caches of waveforms (decoded once, and once more per view), records with logits, and checkpoints."""
        views = [(name, 2 * clips.clip_samples * len(clips)) for name, clips, *_ in self._views(plan)]
        total = sum(size for _, size in [*views, *set(views)])
        for planned in plan.runnable:
            classes = len(self.loaded[planned.cell.data_name].clips.label_names)
            cell, spec = planned.cell, self.registry.models[planned.cell.model].spec
            kept = self.settings.keep_checkpoints and cell.kind == "evaluate"
            small = not kept or spec.brings_all(cell.mode, cell.weights)
            weights = 0 if small else 4 * (spec.parameters or 0)
            total += RECORD_BYTES + 4 * classes * planned.test_clips + weights
        return total


def load_all(
    selection: Selection,
    registry: Registry,
    *,
    rehash: bool = False,
    counter: Callable[[str], Callable[[int, int], None] | None] = lambda _: None,
    decode: bool = True,
) -> dict[str, Loaded]:
    """The data sets of a selection, opened, told by what their files hold, copies known.

    ``counter("downloading esc50")`` gives the function that counts what is done. Without ``decode`` no recording in a
    file is decoded, and copies are files of the same bytes.
    """
    found = {}
    for name in selection.datasets:
        entry = registry.datasets[name]
        fetching = counter(f"downloading {name}")
        clips = open_clips(entry.spec, selection.data, load=entry.factory, progress=fetching)
        clips = know_copies(identified(clips, rehash=rehash), progress=counter(f"decoding {name}"), decode=decode)
        reads = "" if clips.audio is None or callable(clips.audio) else decoder()
        found[name] = Loaded(entry=entry, clips=clips, decoder=reads)
    return found


def _decided(planned: PlannedCell, previous: Mapping[str, str] | None) -> PlannedCell:
    """What this run folder once began to run stays in the run; what was over budget is decided again."""
    if previous is None or previous["fingerprint"] != planned.fingerprint:
        return planned
    if previous["decision"] == "run" and planned.decision == "over_budget":
        return replace(planned, decision="run", reason="")
    return planned
