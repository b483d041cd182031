"""Selection x registry -> cells, with every mismatch named, a fingerprint each, costs and budget decisions.

Pure: no torch, no data is read and nothing runs here. What loaded data sets look like comes in as an argument.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from bench.cell import Cell, CellKind
from bench.clips import Clips
from bench.config.recipes import parse_overrides, resolve
from bench.config.selection import DEFAULT_RECIPE, Selection, check_names, select_models
from bench.errors import DataError, NoCellError
from bench.planning.axes import Axes, Offer, Start, Wishes, choose_axes
from bench.planning.fingerprints import Basis, fingerprint
from bench.plugins.registry import Entry, Registry
from bench.plugins.specs import DatasetSpec, ModelSpec, ProtocolSpec
from bench.protocols.split import available_folds, make_split, protocol_label
from bench.recipe import Recipe

Decision = Literal["run", "incompatible", "over_budget"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedCell:
    """A cell, how it would be run, and the decision about it.

    Attributes:
        cell: What to measure.
        recipe: Resolved training settings.
        fingerprint: Decides whether a stored record may be reused.
        train_clips: Clips of the training split, after ``--limit``.
        test_clips: Clips of the validation and test split, after ``--limit``.
        decision: ``run``, or why not.
        reason: For the two other decisions.
        cost_s: Expected seconds; ``None`` where nothing is known.
        cost_source: ``measured``, ``estimated`` or why it is unknown.
        reused: Whether a stored record makes running unnecessary.
    """

    cell: Cell
    recipe: Recipe
    fingerprint: str
    train_clips: int
    test_clips: int
    decision: Decision = "run"
    reason: str = ""
    cost_s: float | None = None
    cost_source: str = "unknown"
    reused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All cells of a selection in the order they should run.

    Attributes:
        cells: Runnable or not.
        disk_bytes: What caches and records will take at most.
    """

    cells: tuple[PlannedCell, ...]
    disk_bytes: int = 0

    @property
    def runnable(self) -> tuple[PlannedCell, ...]:
        """Cells that still have to run."""
        return tuple(c for c in self.cells if c.decision == "run" and not c.reused)

    def eta_s(self, slots: int) -> float | None:
        """Expected seconds for the runnable cells with ``slots`` workers; ``None`` where a cost is unknown.

        Profile cells run one after another, a new worker costs ``START_S``.
        """
        costs: dict[CellKind, list[float]] = {"evaluate": [], "profile": []}
        models = set()
        for planned in self.runnable:
            if planned.cost_s is None:
                return None
            models.add((planned.cell.model, planned.cell.dataset))
            costs[planned.cell.kind].append(planned.cost_s)
        evaluate = costs["evaluate"]
        starts = START_S * len(models) if evaluate else 0.0
        side_by_side = max((sum(evaluate) + starts) / slots, max(evaluate, default=0.0))
        return side_by_side + sum(costs["profile"]) + START_S * len(costs["profile"])

    def to_json(self, slots: int = 1) -> dict[str, Any]:
        """The plan as it is stored and as ``bench plan --json`` prints it."""
        return {
            "cells": [planned.cell.to_json() for planned in self.cells],
            "decisions": [
                {
                    "id": p.cell.id,
                    "decision": p.decision,
                    "reason": p.reason,
                    "cost_s": p.cost_s,
                    "cost_source": p.cost_source,
                    "reused": p.reused,
                    "fingerprint": p.fingerprint,
                }
                for p in self.cells
            ],
            "eta_s": self.eta_s(slots),
            "slots": slots,
            "disk_bytes": self.disk_bytes,
        }


START_S = 4.0
"""Seconds until a fresh worker has imported what it needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A located and indexed data set."""

    entry: Entry[DatasetSpec]
    clips: Clips
    modalities: tuple[str, ...] = field(default=("audio",))

    @classmethod
    def of(cls, entry: Entry[DatasetSpec], clips: Clips) -> Loaded:
        """With the modalities that the clips give."""
        has = {
            "audio": clips.audio is not None or clips.features is not None,
            "image": clips.images is not None,
            "text": bool(clips.texts),
        }
        given = tuple(name for name, there in has.items() if there)
        return cls(entry=entry, clips=clips, modalities=given)


def expand(selection: Selection, registry: Registry, loaded: Mapping[str, Loaded]) -> Plan:
    """All cells of a selection, the incompatible ones with their reasons; costs come later (:func:`with_costs`).

    Raises:
        LeakError: A split shares groups that are not documented.
        BenchError: Names, folds or settings that do not exist.
    """
    check_names(selection, registry)
    start = None if selection.weights is None else Start.read(str(selection.weights))
    cells: list[PlannedCell] = []
    for name in selection.datasets:
        for entry in select_models(selection.models, registry):
            cells += _cells_of(_Asked(selection, registry, entry, loaded[name], start))
    if not cells:
        raise NoCellError("the selection names no cell; `bench plan` with the same options shows what it names")
    unique = {planned.cell: planned for planned in cells}
    return Plan(cells=tuple(unique[cell] for cell in sorted(unique)))


@dataclass(frozen=True, slots=True)
class _Asked:
    """One model on one data set, as selected."""

    selection: Selection
    registry: Registry
    entry: Entry[ModelSpec]
    data: Loaded
    start: Start | None

    @property
    def target(self) -> ModelSpec:
        """The model itself, aliases expanded."""
        spec = self.entry.spec
        return self.registry.models[spec.alias_of].spec if spec.alias_of else spec

    @property
    def protocol(self) -> ProtocolSpec:
        """The one that was selected, else the data set's default."""
        return self.registry.protocols[self.selection.protocol or self.data.entry.spec.protocols[0]].spec

    def axes(self) -> Axes:
        """Chosen, or why there are none."""
        asked, clips = self.selection, self.data.clips
        wishes = Wishes(
            mode=asked.mode, start=self.start, inputs=asked.inputs, frontend=asked.frontend, feeding=asked.feeding
        )
        offer = Offer(
            name=self.data.entry.spec.name, modalities=self.data.modalities, features=clips.features is not None
        )
        return choose_axes(wishes, self.registry, self.entry.spec, self.target, offer)

    def mark(self, cell: Cell, recipe: Recipe, protocol: ProtocolSpec | None) -> str:
        """The fingerprint of one of its cells."""
        basis = Basis(
            registry=self.registry, clips=self.data.clips, dataset=self.data.entry.spec, limit=self.selection.limit,
            weights_sha256=self.start.sha256 if self.start else "",
        )  # fmt: skip
        return fingerprint(cell, recipe, basis, protocol)


def _cells_of(asked: _Asked) -> Iterator[PlannedCell]:
    selection, data, protocol = asked.selection, asked.data, asked.protocol
    axes = asked.axes()
    recipe = resolve(
        selection.recipe or data.entry.spec.recipe or DEFAULT_RECIPE,
        asked.target.recipes,
        parse_overrides(selection.overrides),
        mode=axes.mode,
        clips=data.entry.spec.settings,
    )
    base = Cell(
        kind="evaluate", dataset=data.entry.spec.name, protocol=protocol_label(protocol), fold=0,
        model=asked.target.name, mode=axes.mode, weights=axes.weights, inputs=axes.inputs, frontend=axes.frontend,
        feeding=axes.feeding, device=selection.device, precision=selection.precision, batch=recipe.batch,
        recipe=recipe.name if selection.limit is None else f"{recipe.name}@limit{selection.limit}",
        clip_samples=data.clips.clip_samples,
    )  # fmt: skip
    if selection.evaluate:
        yield from _evaluate_cells(asked, base, recipe, axes.problem)
    if selection.profile and not axes.problem:
        for process in range(selection.processes):
            cell = replace(base, kind="profile", protocol="profile@1", seed=selection.seeds[0] + process)
            mark = asked.mark(cell, recipe, None)
            yield PlannedCell(cell=cell, recipe=recipe, train_clips=0, test_clips=0, fingerprint=mark)


def _evaluate_cells(asked: _Asked, base: Cell, recipe: Recipe, problem: str) -> Iterator[PlannedCell]:
    selection, clips, protocol = asked.selection, asked.data.clips, asked.protocol
    decision: Decision = "incompatible" if problem else "run"
    for fold in _folds(selection, protocol, clips):
        split = make_split(protocol, clips, fold, known_leaks=asked.data.entry.spec.known_leaks)
        sizes = [_limited(len(part), selection.limit) for part in (split.train, split.validation, split.test)]
        for seed in selection.seeds:
            cell = replace(base, fold=fold, seed=seed)
            yield PlannedCell(
                cell=cell, recipe=recipe, train_clips=sizes[0], test_clips=sizes[1] + sizes[2],
                fingerprint=asked.mark(cell, recipe, protocol), decision=decision, reason=problem,
            )  # fmt: skip


def _folds(selection: Selection, protocol: ProtocolSpec, clips: Clips) -> tuple[int, ...]:
    available = available_folds(protocol, clips)
    if selection.folds is None:
        return available
    if missing := sorted(set(selection.folds) - set(available)):
        raise DataError(f"{clips.title} has no fold {missing[0]}; it has {', '.join(map(str, available))}")
    return tuple(sorted(set(selection.folds)))


def _limited(count: int, limit: int | None) -> int:
    return count if limit is None else min(count, limit)
