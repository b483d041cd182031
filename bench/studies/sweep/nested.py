"""Nested search: each test fold gets the setting that did best inside its own training folds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from bench.cell import Cell
from bench.clips import Clips
from bench.config.selection import Selection
from bench.config.settings import Settings
from bench.errors import SelectionError
from bench.planning.axes import read_weights
from bench.planning.fingerprints import Loaded, fingerprint
from bench.planning.plan import Plan, PlannedCell, expand
from bench.plugins.registry import Registry
from bench.protocols.split import HOME
from bench.recipe import TunedOn
from bench.results.provenance import digest
from bench.results.records import Record
from bench.results.store import Store
from bench.running.progress import Progress
from bench.running.result import Result
from bench.running.runner import Runner
from bench.statistics.results import mean_of_all
from bench.studies.sweep.nested_read import Source, read_choice
from bench.studies.sweep.run import (
    Grid,
    Points,
    SweepStudy,
    asked,
    check_points,
    plan_points,
    read_sweep,
    subject_of,
    together,
    trained,
)

Point = tuple[str, ...]
Scores = dict[tuple[Cell, int], dict[Point, float]]
"""By subject and test fold, the points that finished inside the training folds with their scores, best first."""
FOLDER = "search"
"""Where, inside the run folder, the cells of the search are: the board is made of the chosen ones alone."""
LEAST_FOLDS = 3
"""One to test on, one to choose on, one to train on."""


@dataclass(slots=True, kw_only=True)
class NestedSearch:
    """Cells of the search: each point inside the training folds and on the test folds, and the recipe as it is.

    Attributes:
        grid: The settings to choose from.
        fixed: The selection without them.
        outer: Cells by point, under the data set's own protocol.
        inner: The same inside the training folds; of models for which the points differ.
        plain: Cells of the recipe as it is, which is no choice unless the grid holds it.
    """

    grid: Grid
    fixed: Selection
    outer: Points = field(default_factory=dict)
    inner: Points = field(default_factory=dict)
    plain: tuple[PlannedCell, ...] = ()

    def plan(self, registry: Registry, loaded: Mapping[str, Loaded]) -> Plan:
        """All of them as one plan."""
        for name in self.fixed.datasets:
            _check_folds(self.fixed, registry, loaded[name])
        inside = next(spec.name for spec in registry.protocols.specs() if spec.divide == f"{HOME}inner")
        self.outer = plan_points(self.grid, self.fixed, registry, loaded)
        points: dict[Cell, set[Point]] = {}
        for point, cells in self.outer.items():
            for one in cells:
                points.setdefault(about(one.cell), set()).add(point)
        inner = plan_points(self.grid, replace(self.fixed, protocol=inside), registry, loaded)
        self.inner = {
            point: tuple(one for one in cells if len(points[about(one.cell)]) > 1) for point, cells in inner.items()
        }
        same = {trained(one, registry): one for cells in self.outer.values() for one in cells}
        plain = expand(self.fixed, registry, loaded).cells
        self.plain = tuple(same.get(trained(one, registry), one) for one in plain)
        return together([*self.outer.values(), *self.inner.values(), self.plain])

    def choose(self, records: Mapping[Cell, Record]) -> Scores:
        """By subject and test fold, the mean score over seeds of each point that finished, the best one first."""
        scores: dict[tuple[Cell, int], dict[Point, list[float | None]]] = {}
        sign = 1
        for point, cells in self.inner.items():
            for one in cells:
                record = records.get(one.cell)
                score = record.primary if record is not None and record.status == "ok" else None
                sign = score.sign if score is not None else sign
                here = scores.setdefault((about(one.cell), one.cell.fold), {})
                here.setdefault(point, []).append(None if score is None else score.value)
        found = {}
        for key, tried in scores.items():
            means = {point: mean for point, values in tried.items() if (mean := mean_of_all(values)) is not None}
            found[key] = dict(sorted(means.items(), key=lambda pair: -sign * round(pair[1], 12)))
        return found


def search_runner(selection: Selection, settings: Settings, progress: Progress) -> tuple[NestedSearch, Runner]:
    """The search and what runs it, in a folder of its own."""
    grid, fixed = asked(selection)
    search = NestedSearch(grid=grid, fixed=fixed)
    aside = replace(settings, out=settings.out / FOLDER, keep_checkpoints=False)
    runner = Runner(fixed, aside, progress, search.plan)
    check_points(grid, fixed, runner.host.registry)
    return search, runner


def run_nested(selection: Selection, settings: Settings, progress: Progress) -> tuple[SweepStudy, Result]:
    """Choose each test fold's setting inside its training folds, and read what the choice costs."""
    search, runner = search_runner(selection, settings, progress)
    target = Store(settings.out)
    for note in target.prepare(adopt=settings.adopt):
        progress.note(note)
    grid, fixed, tried = search.grid, search.fixed, runner.run()
    records = {record.cell: record for record in tried.records}
    chosen = _Chosen(search=search, records=records, store=runner.store, target=target, scores=search.choose(records))
    result = Runner(fixed, settings, progress, chosen.plan).run()
    study = read_sweep(selection, grid, search.outer, records, runner, reused=len(tried.reused))
    source = Source(keys=grid.keys, stores=(result.store, runner.store), metrics=tried.metrics)
    costs = []
    for subject in sorted({about(record.cell) for record in result.records if record.status == "ok"}):
        final = {record.cell: record for record in result.records if about(record.cell) == subject}
        outer = {point: of(subject, cells) for point, cells in search.outer.items()}
        scores = {cell.fold: chosen.scores.get((subject, cell.fold)) for cell in final}
        costs.append(read_choice(final, outer, of(subject, search.plain), scores, source))
    return replace(study, nested=tuple(costs)), result


@dataclass(slots=True, kw_only=True)
class _Chosen:
    """The cells of the board: for each test fold those of the setting chosen for it, under one recipe name."""

    search: NestedSearch
    records: Mapping[Cell, Record]
    store: Store
    target: Store
    scores: Scores

    def plan(self, registry: Registry, loaded: Mapping[str, Loaded]) -> Plan:
        """The cells; what the search has trained already is taken over, not trained again."""
        planned = []
        for point, cells in self.search.outer.items():
            for one in cells:
                tried = self.scores.get((about(one.cell), one.cell.fold))
                if tried is None or next(iter(tried or self.search.outer)) == point:
                    planned.append(self._final(one, tried, registry, loaded[one.cell.data_name]))
        return together([planned])

    def _final(
        self, one: PlannedCell, tried: Mapping[Point, float] | None, registry: Registry, data: Loaded
    ) -> PlannedCell:
        fixed, grid = self.search.fixed, self.search.grid
        name = f"{one.recipe.name.partition('~')[0]}~inner{digest([grid.fixed, grid.keys, grid.points])[:6]}"
        seen = one.recipe.tuned_on if tried is None else (*one.recipe.tuned_on, self._inner(one.cell, data.clips))
        recipe = one.recipe.model_copy(update={"name": name, "tuned_on": seen})
        cell = replace(one.cell, recipe=name if fixed.limit is None else f"{name}@limit{fixed.limit}")
        weights = read_weights(fixed.weights)[1]
        mark = fingerprint(cell, recipe, registry, data, limit=fixed.limit, weights_sha256=weights)
        final = replace(one, cell=cell, recipe=recipe, fingerprint=mark)
        if one.decision == "run" and tried == {}:
            return replace(final, decision="incompatible", reason="no setting finished inside the training folds")
        self._take_over(final, one.cell)
        return final

    def _inner(self, cell: Cell, clips: Clips) -> TunedOn:
        """What was looked at to choose the swept settings of one test fold: every other fold."""
        folds = [fold for fold in np.unique(np.asarray(clips.folds)).tolist() if fold != cell.fold]
        day = max(record.started_at[:10] for record in self.records.values())
        return TunedOn(dataset=cell.dataset, folds=tuple(folds), date=day, settings=self.search.grid.keys)

    def _take_over(self, final: PlannedCell, source: Cell) -> None:
        record, there = self.records.get(source), self.target.read(final.cell)
        done = there is not None and there.status == "ok" and there.fingerprint == final.fingerprint
        if done or record is None or record.status != "ok":
            return
        arrays = self.store.predictions(record)
        taken = record.model_copy(
            update={
                "cell": final.cell,
                "recipe": final.recipe.model_dump(mode="json"),
                "provenance": {**record.provenance, "fingerprint": final.fingerprint},
                "artifacts": {},
            }
        )
        self.target.write(taken, arrays={name: arrays[name] for name in arrays})


def about(cell: Cell) -> Cell:
    """What a choice is about: the cell without fold, seed, protocol and whatever a recipe decides."""
    return replace(subject_of(cell), protocol="")


def of(subject: Cell, cells: Iterable[PlannedCell]) -> tuple[PlannedCell, ...]:
    """The cells of one subject."""
    return tuple(one for one in cells if about(one.cell) == subject)


def _check_folds(fixed: Selection, registry: Registry, data: Loaded) -> None:
    """Refuse data and protocols without folds to choose on."""
    spec, folds = (
        data.entry.spec,
        np.unique(np.asarray(data.clips.folds)).tolist() if data.clips.folds is not None else [],
    )
    protocol = registry.protocols[fixed.protocol or spec.protocols[0]].spec
    plain = (protocol.divide, protocol.validation, protocol.select_on) == (f"{HOME}folds", "none", "none")
    if plain and len(folds) >= LEAST_FOLDS:
        return
    has = f"folds {', '.join(map(str, folds))}" if folds else "no folds"
    raise SelectionError(
        f"--select inner tests on one of the authors' folds, chooses on the next and trains on the others, at least "
        f"{LEAST_FOLDS}, without validation clips; {data.clips.title} has {has} and the protocol is {protocol.name!r}. "
        "`bench list datasets` shows what has folds; without --select the sweep shows how much a setting matters"
    )
