"""How much a training setting matters: the same cells at several values of it, in one run folder."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench.cell import Cell
from bench.config.recipes import parse_lists, parse_overrides
from bench.config.selection import Selection
from bench.config.settings import Settings
from bench.errors import NoCellError, SelectionError
from bench.metrics.scoring import catalog
from bench.planning.plan import PlannedCell, expand
from bench.plugins.discovery import load
from bench.plugins.registry import Registry
from bench.results.records import PLANNED, Record
from bench.results.store import Store
from bench.running.progress import Progress
from bench.running.runner import Runner
from bench.studies.common import load_all
from bench.studies.sweep.read import GridPoint, is_diverged, read_curve

ASKED = ("models", "datasets", "recipe", "seeds", "device", "precision", "limit")
LABEL = "sensitivity, not selection"
"""What a table is called whose values could only be picked on the clips that it is scored on."""


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

    @property
    def failed(self) -> list[Record]:
        """Cells that ended for another reason than the value that was tried: a diverging rate is a finding."""
        return [r for r in self.records if r.status not in ("ok", *PLANNED) and not is_diverged(r)]

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "what": self.what, "keys": list(self.keys), "curves": list(self.curves), "cells": len(self.records),
            "reused": self.reused, "statuses": {record.cell.id: record.status for record in self.records},
        }  # fmt: skip


def make_grid(overrides: Sequence[str]) -> Grid:
    """The grid that ``--set`` items span, the first key varying slowest.

    >>> make_grid(["recipe.lr=1e-4,1e-3", "recipe.epochs=5"]).points
    (('1e-4',), ('1e-3',))
    """
    fixed, swept = parse_lists(overrides)
    if not swept:
        raise SelectionError("nothing to sweep: give a setting several values, e.g. --set recipe.lr=1e-4,3e-4,1e-3")
    return Grid(fixed=fixed, keys=tuple(swept), points=tuple(itertools.product(*swept.values())))


def run_sweep(selection: Selection, settings: Settings, progress: Progress) -> SweepStudy:
    """Train every model at every point of the grid and read what comes out."""
    if not selection.evaluate:
        raise SelectionError("--no-evaluate leaves nothing to sweep: the study trains and scores")
    grid = make_grid(selection.overrides)
    chosen = {point: replace(selection, profile=False, overrides=grid.overrides(point)) for point in grid.points}
    registry = load(settings.plugins, without=settings.without).registry
    loaded = load_all(selection, registry)
    planned = {point: expand(one, registry, loaded).cells for point, one in chosen.items()}
    reused, problem = 0, None
    for number, (point, one) in enumerate(chosen.items(), 1):
        progress.note(f"point {number} of {len(chosen)}: {' '.join(grid.overrides(point)[len(grid.fixed) :])}")
        try:
            reused += len(Runner(one, settings, progress).run().reused)
        except NoCellError as error:  # the records of this point say why; the others may still run
            problem = error
    store = Store(settings.out)
    cells = [one for group in planned.values() for one in group]
    records = {one.cell: record for one in cells if (record := store.read(one.cell)) is not None}
    barred = {cell for cell, record in records.items() if record.status in PLANNED}
    if problem is not None and all(one.decision != "run" or one.cell in barred for one in cells):
        raise problem
    return SweepStudy(
        what={
            **{name: getattr(selection, name) for name in ASKED},
            "fixed": list(grid.fixed),
            "swept": {key: list(dict.fromkeys(p[i] for p in grid.points)) for i, key in enumerate(grid.keys)},
            "points": len(grid.points),
        },
        keys=grid.keys,
        curves=tuple(_curves(_subjects(grid, planned, records), grid, registry, store)),
        records=tuple(records.values()),
        reused=reused,
    )


def _subjects(
    grid: Grid, planned: Mapping[tuple[str, ...], Sequence[PlannedCell]], records: Mapping[Cell, Record]
) -> dict[Cell, list[GridPoint]]:
    """By what is the same at every point, the points in the order of the grid."""
    found: dict[Cell, list[GridPoint]] = {}
    for point, group in planned.items():
        texts = dict(zip(grid.keys, point, strict=True))
        parsed = parse_overrides([f"recipe.{key}={text}" for key, text in texts.items()])
        here: dict[Cell, list[PlannedCell]] = {}
        for one in group:
            here.setdefault(_subject(one.cell), []).append(one)
        for subject, cells in here.items():
            known = tuple(records[one.cell] for one in cells if one.cell in records)
            tried = GridPoint(texts=texts, values=parsed, planned=tuple(cells), records=known)
            found.setdefault(subject, []).append(tried)
    return found


def _subject(cell: Cell) -> Cell:
    """What a curve is about: the cell without fold, seed and whatever a recipe decides."""
    return replace(cell, fold=0, seed=0, recipe="", batch=1)


def _curves(
    subjects: Mapping[Cell, list[GridPoint]], grid: Grid, registry: Registry, store: Store
) -> Iterator[dict[str, Any]]:
    for subject, tried in subjects.items():
        dataset = registry.datasets[subject.dataset].spec
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
    """The model, with the axes that tell it from the sweep's other rows of the same model."""
    values = [other.to_json() for other in rivals]
    mine = subject.to_json()
    differing = [name for name in mine if name not in _NO_AXES and any(v[name] != mine[name] for v in values)]
    return ", ".join([subject.model, *(f"{name} {mine[name]}" for name in differing)])
