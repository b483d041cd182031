"""Selection x registry -> cells, with every mismatch named, a fingerprint each, costs and budget decisions.

Pure: no torch, no data is read and nothing runs here. What loaded data sets look like comes in as an argument.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from bench.cell import Cell, CellKind
from bench.config.recipes import parse_overrides, resolve
from bench.config.selection import DEFAULT_RECIPE, Selection, check_names, select_models
from bench.errors import DataError, LeakError, NoCellError
from bench.planning.axes import choose_axes, division_problem, prompt_problem, read_weights, target_of
from bench.planning.fingerprints import Loaded, fingerprint
from bench.plugins.registry import Entry, Registry
from bench.plugins.specs import DatasetSpec, ModelSpec, ProtocolSpec
from bench.protocols.split import available_folds, make_split, offered, protocol_label, takes_seed
from bench.recipe import ESTIMATOR_SETTINGS, Recipe, TunedOn
from bench.results.provenance import source_hash

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
        validation_clips: Those of them that are scored after every epoch.
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
    validation_clips: int = 0
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

        Profile cells run one after another. A new worker costs ``START_S``; where nothing is published, cells are
        forked from one that is started once, but for further processes of a model (:attr:`bench.job.Job.forks`).
        """
        costs: dict[CellKind, list[float]] = {"evaluate": [], "profile": []}
        starts: dict[CellKind, set[Hashable]] = {"evaluate": set(), "profile": set()}
        brief, image = not any(planned.recipe.publishable for planned in self.cells), False
        for planned in self.runnable:
            cell = planned.cell
            if planned.cost_s is None:
                return None
            costs[cell.kind].append(planned.cost_s)
            if brief and not (cell.kind == "profile" and cell.seed):
                image = True
            else:
                starts[cell.kind].add(cell if cell.kind == "profile" else (cell.model, cell.dataset))
        evaluate = costs["evaluate"]
        side_by_side = max((sum(evaluate) + START_S * len(starts["evaluate"])) / slots, max(evaluate, default=0.0))
        return side_by_side + sum(costs["profile"]) + START_S * (image + len(starts["profile"]))

    def to_json(self, slots: int = 1) -> dict[str, Any]:
        """The plan as it is stored and as ``bench plan --json`` prints it."""
        return {
            "cells": [planned.cell.to_json() for planned in self.cells],
            "decisions": [{"id": p.cell.id} | {key: getattr(p, key) for key in _SAID} for p in self.cells],
            "eta_s": self.eta_s(slots),
            "slots": slots,
            "disk_bytes": self.disk_bytes,
        }


_SAID = ("decision", "reason", "cost_s", "cost_source", "reused", "fingerprint")
DRAWN_FOLDS = 5
"""Folds to draw of clips of known groups that nobody has divided."""
START_S = 4.0
"""Seconds until a fresh worker has imported what it needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Division:
    """A data set as the selected protocol divides it: clips of each part, by fold and seed, or why there is no fold.

    Where all seeds are alike, sizes stand under the first one.
    """

    protocol: str
    sizes: Mapping[tuple[int, int], tuple[int, ...]]
    problems: Mapping[int, str]


def expand(selection: Selection, registry: Registry, loaded: Mapping[str, Loaded]) -> Plan:
    """All cells of a selection, the incompatible ones with their reasons; costs come later (:func:`with_costs`).

    Raises:
        LeakError: A split shares groups that are not documented.
        BenchError: Names or settings that do not exist; a protocol or a fold that no selected data set has.
    """
    source_hash.cache_clear()  # files may have changed since the last plan of this process
    check_names(selection, registry)
    weights = read_weights(selection.weights, selection.weights_prefix)
    divisions = _divide_all(selection, registry, loaded)
    unique: dict[Cell, PlannedCell] = {}
    for name, division in divisions.items():
        for entry in select_models(selection.models, registry):
            for asked in selection.by_mode:
                cells = _cells_of(entry.spec, asked, registry, loaded[name], division, weights)
                unique |= {planned.cell: planned for planned in cells}
    if not unique:
        raise NoCellError("the selection names no cell; `bench plan` with the same options shows what it names")
    return Plan(cells=tuple(unique[cell] for cell in sorted(unique)))


def _divide_all(selection: Selection, registry: Registry, loaded: Mapping[str, Loaded]) -> dict[str, Division]:
    """Every data set divided; a protocol or fold that all of them lack is an error, one that some lack is no such."""
    found: dict[str, Division] = {}
    errors: list[DataError] = []
    for name in selection.datasets:
        protocol = registry.protocols[selection.protocol_of(name) or default_protocol(loaded[name], registry)]
        sizes: dict[tuple[int, int], tuple[int, ...]] = {}
        problems: dict[int, str] = {}
        try:
            if selection.evaluate:
                sizes, problems = _divide(selection, protocol, loaded[name])
        except LeakError:
            raise
        except DataError as error:
            has = offered(loaded[name].clips)
            fitting = [spec.name for spec in registry.protocols.specs() if has >= set(spec.needs)]
            advice = "" if has >= set(protocol.spec.needs) else f"; --protocol may be {', '.join(fitting) or 'none'}"
            errors.append(DataError(f"{error}{advice}"))
            problems = dict.fromkeys(selection.folds or (0,), str(errors[-1]))
        found[name] = Division(protocol=protocol_label(protocol.spec), sizes=sizes, problems=problems)
    if errors and len(errors) == len(found):
        raise errors[0]
    for fold in selection.folds or ():
        reasons = [division.problems.get(fold, "") for division in found.values()]
        if all(reasons):
            raise DataError("; ".join(dict.fromkeys(reasons)))
    return found


def default_protocol(data: Loaded, registry: Registry) -> str:
    """The first recommended protocol that suits the clips; where they have groups and nobody's folds, one that draws.

    It needs nothing but groups, may be ranked, and its count of folds is nearest to :data:`DRAWN_FOLDS`.
    """
    wanted, has, clips = data.entry.spec.protocols, offered(data.clips), data.clips
    fitting = [name for name in wanted if has >= set(registry.protocols[name].spec.needs)]
    if clips.groups is not None and (clips.folds_to_draw or not fitting):
        counts = {
            spec.name: int(spec.options["count"])
            for spec in registry.protocols.specs()
            if spec.needs == ("groups",) and spec.folds and spec.ranked and "count" in spec.options
        }
        if counts:
            return min(counts, key=lambda name: (abs(counts[name] - DRAWN_FOLDS), name))
    return (fitting or wanted)[0]


def _divide(
    selection: Selection, protocol: Entry[ProtocolSpec], data: Loaded
) -> tuple[dict[tuple[int, int], tuple[int, ...]], dict[int, str]]:
    """Sizes and problems of a :class:`Division`."""
    clips, limit = data.clips, selection.limit
    available = available_folds(protocol, clips)
    folds = sorted(set(available if selection.folds is None else selection.folds))
    sizes = {}
    for fold in set(folds) & set(available):
        for seed in selection.seeds if takes_seed(protocol) else selection.seeds[:1]:
            split = make_split(protocol, clips, fold, seed=seed, known_leaks=data.entry.spec.known_leaks)
            counts = (len(split.train), len(split.validation), len(split.test))
            sizes[fold, seed] = tuple(count if limit is None else min(count, limit) for count in counts)
    has = ", ".join(map(str, available))
    return sizes, {f: f"{clips.title} has no fold {f}; it has {has}" for f in folds if f not in available}


def _cells_of(
    named: ModelSpec,
    selection: Selection,
    registry: Registry,
    data: Loaded,
    division: Division,
    weights: tuple[str | None, str],
) -> Iterator[PlannedCell]:
    """One model on one data set."""
    spec, target = data.entry.spec, target_of(named, registry)
    clips = data.clips.at(target.sample_rate)
    label, sha256 = weights
    axes = choose_axes(selection, registry, named, clips, label)
    recipe = _recipe_of(selection, target, spec, registry, axes.mode)
    base = Cell(
        kind="evaluate", dataset=data.label, protocol=division.protocol, fold=0, model=target.name, mode=axes.mode,
        weights=axes.weights, inputs=axes.inputs, frontend=axes.frontend, feeding=axes.feeding,
        device=selection.device, precision=selection.precision, batch=recipe.batch,
        recipe=recipe.name if selection.limit is None else f"{recipe.name}@limit{selection.limit}",
        clip_samples=clips.clip_samples,
    )  # fmt: skip

    def planned(cell: Cell, sizes: tuple[int, ...] = (0, 0, 0), problem: str = "") -> PlannedCell:
        mark = fingerprint(
            cell, recipe, registry, data, limit=selection.limit, weights_sha256=sha256, counters=selection.counters
        )
        return PlannedCell(
            cell=cell, recipe=recipe, fingerprint=mark, train_clips=sizes[0], test_clips=sizes[1] + sizes[2],
            validation_clips=sizes[1],
            decision="incompatible" if problem else "run", reason=problem,
        )  # fmt: skip

    first = selection.seeds[0]
    own = axes.problem or division_problem(selection.nproc, axes, target, recipe)
    divided = replace(base, nproc=selection.nproc)
    for seed in selection.seeds if selection.evaluate else ():
        for fold in sorted({fold for fold, _ in division.sizes}):
            sizes = division.sizes.get((fold, seed), division.sizes[fold, first])
            yield planned(replace(divided, fold=fold, seed=seed), sizes, own or prompt_problem(axes.mode, seed, recipe))
        for fold, problem in division.problems.items():
            yield planned(replace(divided, fold=fold, seed=seed), problem=own or problem)
    if selection.profile and not axes.problem and (division.sizes or not division.problems):
        for process in range(selection.processes):
            yield planned(replace(base, kind="profile", protocol="profile@1", seed=first + process))


def _recipe_of(selection: Selection, model: ModelSpec, dataset: DatasetSpec, registry: Registry, mode: str) -> Recipe:
    """What a model is trained with on a data set, with what that was chosen by."""
    asked, overrides = selection.recipe or dataset.recipe or DEFAULT_RECIPE, parse_overrides(selection.overrides)
    recipe = resolve(asked, model.recipes, overrides, mode=mode, clips=dataset.settings)
    return recipe.model_copy(update={"tuned_on": chosen_by(recipe, model, dataset, registry)})


def chosen_by(recipe: Recipe, model: ModelSpec, dataset: DatasetSpec, registry: Registry) -> tuple[TunedOn, ...]:
    """What the settings that the model reads were chosen by, said of this data set too where it shares clips."""
    known = registry.datasets.entries
    read = [e for e in recipe.tuned_on if not (model.estimator and e.settings) or {*e.settings} & {*ESTIMATOR_SETTINGS}]
    whole = {name: entry.spec.part_of or name for name, entry in known.items()}
    here = [e for e in read if e.dataset in known and whole[e.dataset] == whole[dataset.name]]
    return tuple(dict.fromkeys((*read, *(e.model_copy(update={"dataset": dataset.name}) for e in here))))
