"""What the studies share: one model, profile cells in turns, why a cell has no result, and words for pages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from bench import escaping
from bench.config.selection import Selection, select_models, spelled
from bench.config.settings import Settings
from bench.data.contents import file_digests
from bench.errors import NoCellError, SelectionError
from bench.planning.plan import PlannedCell, expand
from bench.plugins.discovery import load
from bench.plugins.references import referring
from bench.plugins.registry import Registry
from bench.reports.formatting import UNKNOWN
from bench.results.records import Record
from bench.results.store import Store
from bench.running.preparation import load_all
from bench.running.progress import Progress
from bench.running.result import Result
from bench.running.runner import Runner
from bench.statistics.paired import Comparison
from bench.statistics.results import Interval, Refusal

K = TypeVar("K")


@dataclass(slots=True)
class Profiled:
    """The profile cells of one variant."""

    records: list[Record] = field(default_factory=list)
    planned: PlannedCell | None = None
    reused: int = 0
    refused: str | None = None


def profile_in_turns(
    variants: Mapping[K, Selection], settings: Settings, progress: Progress, *, processes: int = 1
) -> dict[K, Profiled]:
    """Profile each variant of a selection, every cell in a process of its own, nothing beside it.

    Rounds alternate in direction, so that a drift of the machine meets all variants alike. They differ in their seed,
    which names the process. A budget that a recipe sets for many models does not hold here.
    """
    found = {key: Profiled() for key in variants}
    for turn in range(processes):
        for key in variants if turn % 2 == 0 else reversed([*variants]):
            one, asked = found[key], unlimited(variants[key])
            if one.refused is not None:
                continue
            seeds = (asked.seeds[0] + turn,)
            chosen = replace(asked, evaluate=False, profile=True, processes=1, seeds=seeds)
            try:
                result = run_cells(Runner(chosen, settings, progress))
            except NoCellError as error:
                one.refused = str(error)
                continue
            one.records += result.records
            one.planned = one.planned or result.plan.cells[0]
            one.reused += len(result.reused)
    return found


def unlimited(selection: Selection) -> Selection:
    """Without the budget that a recipe sets for many models."""
    return replace(selection, overrides=("recipe.budget_seconds=none", *selection.overrides))


def run_cells(runner: Runner) -> Result:
    """Run a selection of profile cells; where nothing fits together, say what does not."""
    try:
        return runner.run()
    except NoCellError as error:
        registry, selection = runner.host.registry, runner.selection
        # A profile cell that does not fit is not planned at all; only evaluate cells carry their reason.
        asked = replace(selection, evaluate=True, profile=False)
        cells = expand(asked, registry, load_all(selection, registry)).cells
        reasons = {f"{p.cell.model} {p.reason}" for p in cells if p.reason}
        raise NoCellError("; ".join(sorted(reasons)) or str(error)) from error


def registry_of(selection: Selection, settings: Settings) -> Registry:
    """All plugins, with the models that a selection names by reference or with options."""
    registry = load(settings.plugins, without=settings.without).registry
    return referring(registry, spelled(selection.models, registry), file_digests)


def only_model(selection: Selection, registry: Registry) -> str:
    """The one model that a selection means, on one data set."""
    found = [entry.spec.name for entry in select_models(selection.models, registry)]
    if len(found) > 1:
        shown = ", ".join(found[:8]) + (", ..." if len(found) > 8 else "")
        raise SelectionError(f"{','.join(selection.models)!r} names {len(found)} models; choose one of {shown}")
    if len(selection.datasets) > 1:
        raise SelectionError(f"--dataset {','.join(selection.datasets)} names several; this study takes one")
    return found[0]


def find_record(store: Store, name: str) -> Record:
    """The record with a score that a cell id, a part of one, or a path names."""
    records, _ = store.records()
    path = Path(name)
    if path.suffix == ".json" and path.is_file():
        found = [r for r in records if store.path(r.cell).resolve() == path.resolve()]
    else:
        found = [r for r in records if r.cell.id == name] or [r for r in records if name in r.cell.id]
    scored = [r for r in found if r.cell.kind == "evaluate" and r.status == "ok"]
    found = scored or found[:1]  # of several without a score the first is told
    if not found:
        raise SelectionError(f"no record of {store.root} matches {name!r}; its cells are listed by `bench report`")
    if len(found) > 1:
        some = ", ".join(r.cell.id for r in found[:3])
        raise SelectionError(f"{name!r} matches {len(found)} records, e.g. {some}; give more of the cell's id")
    if found[0].status != "ok" or found[0].cell.kind != "evaluate":
        raise SelectionError(
            f"{found[0].cell.id} is {found[0].cell.kind}/{found[0].status}: it has no score; give one that was scored"
        )
    return found[0]


def find_cell(name: str, results: Path) -> tuple[Store, Record]:
    """A run folder and its record, by the record's file, by the folder of a single scored cell, or by part of an id.

    ``results`` is the run folder to look in where ``name`` is no path.
    """
    path = Path(name)
    if path.is_dir():
        return Store(path), find_record(Store(path), "")
    above = next((folder.parent for folder in path.absolute().parents if folder.name == "records"), None)
    if path.suffix == ".json" and path.is_file() and above is not None:
        return Store(above), find_record(Store(above), name)
    if not results.is_dir():
        raise SelectionError(f"no run folder {results} to look for {name!r} in; give the --out of its run as --results")
    return Store(results), find_record(Store(results), name)


def with_reference(registry: Registry, record: Record) -> Registry:
    """The registry with the model of a record that was asked for by reference, under the record's name for it."""
    asked = dict(record.provenance.get("typed") or ()).get("--models", "")
    if record.cell.model in registry.models:
        return registry
    if not asked:
        told = record.provenance.get("model") or {}
        made = told.get("distribution") or told.get("plugin") or "a plugin"
        where = f"--plugin {made}" if made.endswith(".py") else "its package or --plugin FILE"
        raise SelectionError(f"{record.cell.model} came from {made}, which is not here; give {where}")
    found = referring(registry, [asked], file_digests)
    if record.cell.model not in found.models:
        raise SelectionError(f"{asked} here is not {record.cell.model}: its files or options are others")
    return found


def why(record: Record) -> str:
    """Why a cell has no result."""
    return record.error.message if record.error else "no reason given"


def bad_record(records: Iterable[Record]) -> Record | None:
    """The first that has no result."""
    return next((record for record in records if record.status != "ok"), None)


def known(records: Iterable[Record], read: Callable[[Record], float | None]) -> list[float]:
    """One number per record, where it has one."""
    return [value for record in records if (value := read(record)) is not None]


def ends(found: Interval | Comparison | Refusal) -> dict[str, Any]:
    """``interval`` as its two ends; ``None``, and the ``reason``, where there is none."""
    if isinstance(found, Refusal):
        return {"interval": None, "reason": found.reason}
    interval = found.interval if isinstance(found, Comparison) else found
    return {"interval": [interval.low, interval.high]}


def number(value: float | None, form: str = ".4g") -> str:
    """A number, or the sign for an unknown one."""
    return UNKNOWN if value is None else format(value, form)


def pipe_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    safe = [[escaping.cell(cell) for cell in row] for row in (header, *rows)]
    lines = [safe[0], ["---"] * len(header), *safe[1:]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def machine(environment: Mapping[str, Any]) -> str:
    """One or two sentences on the hardware, and on who else was busy on it."""
    cpu, gpu, torch = (environment.get(name) or {} for name in ("cpu", "gpu", "torch"))
    named = [cpu.get("model"), f"{torch.get('threads')} threads" if torch else None, gpu.get("name")]
    contended = " Others were busy on the machine." if environment.get("contended") else ""
    return f"Measured on {', '.join(part for part in named if part) or 'unknown hardware'}.{contended}"
