"""Selection x registry -> cells, with every mismatch named, a fingerprint each, costs and budget decisions.

Pure: no torch, no data is read and nothing runs here. What loaded data sets look like comes in as an argument.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from bench.cell import Cell, CellKind
from bench.clips import Clips
from bench.errors import DataError, NoCellError, SelectionError, UnknownNameError
from bench.protocols import available_folds, make_split, protocol_hash, protocol_label
from bench.provenance import PROFILE_CODE, RESULT_CODE, digest, engine_hash, library_versions, source_hash
from bench.recipes import Recipe, parse_overrides, resolve
from bench.registry import Entry, Registry
from bench.specs import DatasetSpec, ModelSpec, ProtocolSpec

DEFAULT_RECIPE = "quick"
Decision = Literal["run", "incompatible", "over_budget"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What the user asked for, before anything is looked up.

    Attributes:
        models: ``default``, ``all``, ``documented``, family names or model names.
        datasets: Names of data sets.
        data: ``--data``.
        protocol: ``None`` = each data set's own default.
        folds: ``None`` = all.
        seeds: Seeds of the evaluate cells.
        frontend: Front end instead of the models' own.
        feeding: ``fly`` or ``precomputed`` instead of the models' own.
        recipe: Name or file; ``None`` = the data set's own, else ``quick``.
        overrides: ``recipe.key=value`` items.
        device: ``cpu`` or ``cuda``.
        precision: ``fp32`` or ``bf16``.
        limit: Largest number of clips per split part.
        profile: Whether to plan profile cells.
        evaluate: Whether to plan evaluate cells.
    """

    models: tuple[str, ...] = ("default",)
    datasets: tuple[str, ...] = ("demo",)
    data: Path | None = None
    protocol: str | None = None
    folds: tuple[int, ...] | None = None
    seeds: tuple[int, ...] = (0,)
    frontend: str | None = None
    feeding: str | None = None
    recipe: str | None = None
    overrides: tuple[str, ...] = ()
    device: str = "cpu"
    precision: str = "fp32"
    limit: int | None = None
    profile: bool = True
    evaluate: bool = True


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
        given = ("audio", *(("image",) if clips.images is not None else ()), *(("text",) if clips.texts else ()))
        return cls(entry=entry, clips=clips, modalities=given)


def check_names(selection: Selection, registry: Registry) -> None:
    """Refuse unknown names before any data is touched.

    Raises:
        BenchError: Of the kind that fits, naming what is close.
    """
    select_models(selection.models, registry)
    for name in selection.datasets:
        spec = registry.datasets[name].spec
        protocol = registry.protocols[selection.protocol or spec.protocols[0]].spec
        if protocol.name not in spec.protocols:
            raise SelectionError(
                f"data set {name!r} does not support protocol {protocol.name!r}; it has {', '.join(spec.protocols)}"
            )
        resolve(selection.recipe or spec.recipe or DEFAULT_RECIPE, None, parse_overrides(selection.overrides))
    if selection.frontend not in (None, "waveform"):
        registry.frontends[str(selection.frontend)]
    if not selection.seeds:
        raise SelectionError("no seed given; --seeds 0 is the default")


def select_models(names: Sequence[str], registry: Registry) -> list[Entry[ModelSpec]]:
    """The models that a selection names, sorted, each once.

    Raises:
        UnknownNameError: A name is no model, family or set.
    """
    entries = registry.models.entries
    chosen: dict[str, Entry[ModelSpec]] = {}
    sets = {name for entry in entries.values() for name in entry.spec.sets}
    families = {entry.spec.family for entry in entries.values()}
    for name in names:
        if name == "all":
            found = dict(entries)
        elif name in entries:
            found = {name: entries[name]}
        elif name in sets or name in ("default", "documented"):
            found = {key: entry for key, entry in entries.items() if name in entry.spec.sets}
        elif name in families:
            found = {key: entry for key, entry in entries.items() if entry.spec.family == name}
        else:
            raise UnknownNameError("model", name, [*entries, *sets, *families, "all"])
        chosen |= found
    if not chosen:
        raise NoCellError(f"no installed model belongs to {', '.join(names)}; `bench list models` shows all")
    return [chosen[name] for name in sorted(chosen)]


def expand(selection: Selection, registry: Registry, loaded: Mapping[str, Loaded]) -> Plan:
    """All cells of a selection, the incompatible ones with their reasons; costs come later (:func:`with_costs`).

    Raises:
        LeakError: A split shares groups that are not documented.
        BenchError: Names, folds or settings that do not exist.
    """
    check_names(selection, registry)
    cells: list[PlannedCell] = []
    for name in selection.datasets:
        for entry in select_models(selection.models, registry):
            cells += _cells_of(selection, registry, entry, loaded[name])
    if not cells:
        raise NoCellError("the selection names no cell; `bench plan` with the same options shows what it names")
    unique = {planned.cell: planned for planned in cells}
    return Plan(cells=tuple(unique[cell] for cell in sorted(unique)))


@dataclass(frozen=True, slots=True)
class _Axes:
    """The axes of one model on one data set, or why there are none."""

    mode: str
    inputs: str
    frontend: str
    feeding: str
    problem: str = ""


def _cells_of(selection: Selection, registry: Registry, entry: Entry[ModelSpec], data: Loaded) -> Iterator[PlannedCell]:
    target = registry.models[entry.spec.alias_of] if entry.spec.alias_of else entry
    spec = data.entry.spec
    protocol = registry.protocols[selection.protocol or spec.protocols[0]].spec
    recipe = resolve(
        selection.recipe or spec.recipe or DEFAULT_RECIPE, target.spec.recipes, parse_overrides(selection.overrides)
    )
    axes = _axes(selection, registry, entry.spec, target.spec, data)
    base = Cell(
        kind="evaluate", dataset=spec.name, protocol=protocol_label(protocol), fold=0, model=target.spec.name,
        mode=axes.mode, inputs=axes.inputs, frontend=axes.frontend, feeding=axes.feeding,
        recipe=recipe.name if selection.limit is None else f"{recipe.name}@limit{selection.limit}",
        device=selection.device, precision=selection.precision, batch=recipe.batch,
        clip_samples=data.clips.clip_samples,
    )  # fmt: skip
    decision: Decision = "incompatible" if axes.problem else "run"
    if selection.evaluate:
        for fold in _folds(selection, protocol, data.clips):
            split = make_split(protocol, data.clips, fold, known_leaks=spec.known_leaks)
            sizes = [_limited(len(part), selection.limit) for part in (split.train, split.validation, split.test)]
            for seed in selection.seeds:
                cell = replace(base, fold=fold, seed=seed)
                yield PlannedCell(
                    cell=cell, recipe=recipe, train_clips=sizes[0], test_clips=sizes[1] + sizes[2],
                    fingerprint=fingerprint(cell, recipe, registry, data, protocol, selection.limit),
                    decision=decision, reason=axes.problem,
                )  # fmt: skip
    if selection.profile and not axes.problem:
        cell = replace(base, kind="profile", protocol="profile@1", seed=selection.seeds[0])
        yield PlannedCell(
            cell=cell, recipe=recipe, train_clips=0, test_clips=0,
            fingerprint=fingerprint(cell, recipe, registry, data, None, selection.limit),
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


def _axes(selection: Selection, registry: Registry, named: ModelSpec, target: ModelSpec, data: Loaded) -> _Axes:
    given = set(data.modalities)
    problems = []
    inputs: list[str] = []
    for modality in (*target.modalities, *target.optional_modalities):
        if modality in given:
            inputs.append(modality)
        elif modality in target.derived:
            inputs.append(f"{modality}.derived")
        elif modality in target.modalities:
            problems.append(f"needs {modality}; {data.entry.spec.name} gives {', '.join(data.modalities)}")
    frontend = selection.frontend or named.axes.get("frontend") or target.frontend or "waveform"
    allowed = {
        target.frontend or "waveform",
        *target.frontends,
        *([named.axes["frontend"]] if "frontend" in named.axes else []),
    }
    if frontend not in allowed:
        problems.append(f"does not take front end {frontend!r}; it takes {', '.join(sorted(allowed))}")
    feeding = selection.feeding or named.axes.get("feeding") or "fly"
    if feeding == "precomputed":
        if frontend == "waveform":
            problems.append("takes the waveform: there is nothing to precompute")
        elif frontend in registry.frontends and registry.frontends[frontend].spec.trainable:
            problems.append(f"front end {frontend!r} is trained: its features cannot be precomputed")
    mode = named.axes.get("mode", "scratch")
    if "inputs" in named.axes:
        inputs = named.axes["inputs"].split("+")
    return _Axes(mode, "+".join(inputs), frontend, feeding, "; ".join(problems))


def fingerprint(
    cell: Cell, recipe: Recipe, registry: Registry, data: Loaded, protocol: ProtocolSpec | None, limit: int | None
) -> str:
    """Sixteen hex digits over all that a cell's result depends on."""
    model = registry.models[cell.model]
    parts: list[Any] = [
        cell.id,
        recipe.digest(),
        source_hash(model.factory.partition(":")[0]),
        [dict(model.spec.options), dict(model.spec.frontend_options)],
        engine_hash(RESULT_CODE if cell.kind == "evaluate" else PROFILE_CODE),
        data.clips.manifest_sha256,
        library_versions(),
        limit,
    ]
    if cell.frontend != "waveform" and cell.frontend in registry.frontends:
        parts.append(source_hash(registry.frontends[cell.frontend].factory.partition(":")[0]))
    if protocol is not None:
        parts.append(protocol_hash(protocol, cell.dataset, data.clips.manifest_sha256, data.entry.spec.known_leaks))
    else:
        parts.append(machine())
    return digest(parts)


def machine() -> dict[str, Any]:
    """What makes a timing comparable, as far as it can be read without torch."""
    model = "unknown"
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    except OSError:
        model = "unknown"  # not Linux: the count of cores still separates machines
    return {"cpu": model, "cores": os.cpu_count()}
