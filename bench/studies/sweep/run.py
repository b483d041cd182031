"""How much a training setting matters: the same cells at several values of it, in one run folder."""

from __future__ import annotations

import itertools
import math
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench.cell import FROZEN, Cell
from bench.config.recipes import parse_lists, parse_overrides, split_values
from bench.config.selection import Selection, check_names
from bench.config.settings import Settings
from bench.errors import SelectionError
from bench.metrics.scoring import catalog
from bench.planning.fingerprints import Loaded
from bench.planning.plan import Plan, PlannedCell, expand
from bench.plugins.registry import Registry
from bench.recipe import ESTIMATOR_SETTINGS, FROZEN_SETTINGS, HEAD_SETTINGS, Recipe
from bench.results.records import PLANNED, Record
from bench.results.store import Store
from bench.running.progress import Progress
from bench.running.runner import Runner
from bench.studies.sweep.read import GridPoint, is_diverged, read_curve

Points = dict[tuple[str, ...], tuple[PlannedCell, ...]]
"""Cells by the texts of their swept values."""
ASKED = ("models", "datasets", "recipe", "seeds", "device", "precision", "limit")
LABEL = "sensitivity, not selection"
"""What a table is called whose values could only be picked on the clips that it is scored on."""

MOST_POINTS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Every combination of the swept values."""

    fixed: tuple[str, ...]
    keys: tuple[str, ...]
    points: tuple[tuple[str, ...], ...]

    def overrides(self, point: tuple[str, ...]) -> tuple[str, ...]:
        """What ``--set`` would say for one run at this point."""
        return (*self.fixed, *(f"recipe.{key}={text}" for key, text in zip(self.keys, point, strict=True)))


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepStudy:
    """What the study found."""

    what: dict[str, Any]
    keys: tuple[str, ...]
    curves: tuple[dict[str, Any], ...]
    records: tuple[Record, ...]
    reused: int
    nested: tuple[dict[str, Any], ...] = ()

    @property
    def failed(self) -> list[Record]:
        """Cells that ended for another reason than the value that was tried: a diverging rate is a finding."""
        return [r for r in self.records if r.status not in ("ok", *PLANNED) and not is_diverged(r)]

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "what": self.what, "keys": list(self.keys), "curves": list(self.curves), "cells": len(self.records),
            "reused": self.reused, "nested": list(self.nested),
            "statuses": {record.cell.id: record.status for record in self.records},
        }  # fmt: skip


def make_grid(overrides: Sequence[str]) -> Grid:
    """The grid that ``--set`` items span, the first key varying slowest.

    >>> make_grid(["recipe.lr=1e-4,1e-3", "recipe.epochs=5"]).points
    (('1e-4',), ('1e-3',))
    """
    fixed, swept = parse_lists(overrides)
    if not swept:
        raise SelectionError("nothing to sweep: give a setting several values, e.g. --set recipe.lr=1e-4,3e-4,1e-3")
    if (count := math.prod(map(len, swept.values()))) > MOST_POINTS:
        raise SelectionError(f"--set asks for {count} combinations of values; allowed are {MOST_POINTS} in one sweep")
    return Grid(fixed=fixed, keys=tuple(swept), points=tuple(itertools.product(*swept.values())))


def sweep_runner(selection: Selection, settings: Settings, progress: Progress) -> tuple[Grid, Points, Runner]:
    """The grid, its cells (known when the runner has planned them), and what runs them."""
    grid, fixed = asked(selection)
    planned: Points = {}

    def every_point(registry: Registry, loaded: Mapping[str, Loaded]) -> Plan:
        planned.update(plan_points(grid, fixed, registry, loaded))
        return together(planned.values())

    runner = Runner(fixed, replace(settings, keep_checkpoints=False), progress, every_point)
    check_points(grid, fixed, runner.host.registry)
    return grid, planned, runner


def run_sweep(selection: Selection, settings: Settings, progress: Progress) -> SweepStudy:
    """Train every model at every point of the grid and read what comes out."""
    grid, planned, runner = sweep_runner(selection, settings, progress)
    result = runner.run()
    records = {record.cell: record for record in result.records}
    return read_sweep(selection, grid, planned, records, runner, reused=len(result.reused))


def asked(selection: Selection) -> tuple[Grid, Selection]:
    """The grid of a selection, and the selection without what it sweeps."""
    if not selection.evaluate:
        raise SelectionError("--no-evaluate leaves nothing to sweep: the study trains and scores")
    for model in selection.models:
        name, _, text = model.partition("?")
        options = [(key, split_values(values)) for key, _, values in (one.partition("=") for one in text.split("&"))]
        if several := [f"{key}={','.join(values)}" for key, values in options if len(values) > 1]:
            named = ([f"{key}={value}" for value in values] for key, values in options)
            each = shlex.quote(",".join(f"{name}?{'&'.join(one)}" for one in itertools.product(*named)))
            raise SelectionError(
                f"--set model.{several[0]}: a sweep varies settings of training, and networks that differ are models "
                f"of their own; say --models {each} instead, here or to `bench run`"
            )
    grid = make_grid(selection.overrides)
    return grid, replace(selection, profile=False, overrides=grid.fixed)


def check_points(grid: Grid, fixed: Selection, registry: Registry) -> None:
    """Refuse unknown names and values out of range before anything runs."""
    for point in grid.points:
        check_names(replace(fixed, overrides=grid.overrides(point)), registry)


def plan_points(grid: Grid, fixed: Selection, registry: Registry, loaded: Mapping[str, Loaded]) -> Points:
    """The cells of each point; those that differ in nothing that their model reads stand under the first one only."""
    planned: Points = {}
    known: set[tuple[Cell, str]] = set()
    for point in grid.points:
        cells = expand(replace(fixed, overrides=grid.overrides(point)), registry, loaded).cells
        marks = {trained(one, registry): one for one in cells}
        planned[point] = tuple(one for mark, one in marks.items() if mark not in known)
        known |= marks.keys()
    return planned


def trained(planned: PlannedCell, registry: Registry) -> tuple[Cell, str]:
    """Equal for two cells that train the same: the cell without its recipe, and what its model reads of that."""
    cell, read = planned.cell, set(Recipe.model_fields)
    if registry.models[cell.model].spec.estimator:
        read = {*ESTIMATOR_SETTINGS}
    elif cell.mode in FROZEN and cell.weights != "masked":
        read = {*FROZEN_SETTINGS, *HEAD_SETTINGS.get(cell.mode, ())}
    return replace(cell, recipe="", batch=1), planned.recipe.digest(read)


def together(groups: Iterable[Iterable[PlannedCell]]) -> Plan:
    """One plan, so that no core waits for the end of a point."""
    unique = {one.cell: one for group in groups for one in group}
    return Plan(cells=tuple(unique[cell] for cell in sorted(unique)))


def read_sweep(
    selection: Selection, grid: Grid, planned: Points, records: Mapping[Cell, Record], runner: Runner, *, reused: int
) -> SweepStudy:
    """What the cells of a grid say."""
    return SweepStudy(
        what={
            **{name: getattr(selection, name) for name in ASKED},
            "fixed": list(grid.fixed),
            "swept": {key: list(dict.fromkeys(p[i] for p in grid.points)) for i, key in enumerate(grid.keys)},
            "points": len(grid.points),
        },
        keys=grid.keys,
        curves=tuple(_curves(_subjects(grid, planned, records), grid, runner.host.registry, runner.store)),
        records=tuple(records.values()),
        reused=reused,
    )


def _subjects(grid: Grid, planned: Points, records: Mapping[Cell, Record]) -> dict[Cell, list[GridPoint]]:
    """By what is the same at every point, the points in the order of the grid."""
    found: dict[Cell, list[GridPoint]] = {}
    for point, group in planned.items():
        texts = dict(zip(grid.keys, point, strict=True))
        parsed = parse_overrides([f"recipe.{key}={text}" for key, text in texts.items()])
        here: dict[Cell, list[PlannedCell]] = {}
        for one in group:
            here.setdefault(subject_of(one.cell), []).append(one)
        for subject, cells in here.items():
            known = tuple(records[one.cell] for one in cells if one.cell in records)
            tried = GridPoint(texts=texts, values=parsed, planned=tuple(cells), records=known)
            found.setdefault(subject, []).append(tried)
    return found


def subject_of(cell: Cell) -> Cell:
    """What a curve is about: the cell without fold, seed and whatever a recipe decides."""
    return replace(cell, fold=0, seed=0, recipe="", batch=1)


def _curves(
    subjects: Mapping[Cell, list[GridPoint]], grid: Grid, registry: Registry, store: Store
) -> Iterator[dict[str, Any]]:
    for subject, tried in subjects.items():
        dataset = registry.datasets[subject.data_name].spec
        validates = registry.protocols[subject.protocol.partition("@")[0]].spec.select_on == "validation"
        known = [registry.protocols[name].spec for name in dataset.protocols]
        rivals = [other for other in subjects if (other.model, other.dataset) == (subject.model, subject.dataset)]
        yield {
            "model": subject.model,
            "label": _label(subject, rivals),
            "dataset": subject.dataset,
            "protocol": subject.protocol,
            "axes": {name: value for name, value in subject.to_json().items() if name not in _NO_AXES},
            "selection": {
                "validates": validates,
                "label": None if validates else LABEL,
                "protocols": [spec.name for spec in known if spec.select_on == "validation"],
            },
            **read_curve(tried, grid.keys, store.predictions, catalog(registry)),
        }


_NO_AXES = ("kind", "fold", "seed", "recipe", "batch", "model", "dataset", "protocol")


def _label(subject: Cell, rivals: Sequence[Cell]) -> str:
    """The model and how it was trained, with the axes that tell it from the sweep's other rows of the same model."""
    values = [other.to_json() for other in rivals]
    mine = subject.to_json()
    untold = (*_NO_AXES, *(["mode"] if subject.mode != "scratch" else []))
    differing = [name for name in mine if name not in untold and any(v[name] != mine[name] for v in values)]
    how = [subject.mode] if subject.mode != "scratch" else []
    return ", ".join([subject.model, *how, *(f"{name} {mine[name]}" for name in differing)])
