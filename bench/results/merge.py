"""Run folders made one: records of the same plan from several machines, each with its files, the record last."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.cell import Cell
from bench.errors import SelectionError, StoreError, some
from bench.results.folder import write_atomic
from bench.results.plans import StoredPlan, parse_plan
from bench.results.reading import read_bytes
from bench.results.records import Record, parse_record
from bench.results.store import Store

Decided = Mapping[Cell, tuple[dict[str, Any], dict[str, Any]]]
"""Cells that a folder planned, each as its plan has it, with the decision."""
SHOWN = 5
"""Conflicts that a message names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A readable record of a run folder, with the checksum of its file."""

    store: Store
    record: Record
    sha256: str


@dataclass(slots=True, kw_only=True)
class Merged:
    """What a merge did.

    Attributes:
        planned: Cells that any of the folders planned.
        copied: Records that were copied, with their files.
        present: Records that were there already.
        twice: One sentence per cell that more than one folder measured.
        damaged: What was left where it is, one sentence each.
    """

    planned: int = 0
    copied: int = 0
    present: int = 0
    twice: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)


def merge(sources: Sequence[Path], to: Path) -> Merged:
    """Bring the records of ``sources`` into the run folder ``to``, which may hold some already.

    A merge that was stopped goes on where it was; one that is repeated changes nothing. Of a cell with several records
    an ``ok`` one is taken, else that of the folder named first, ``to`` before all.

    Raises:
        SelectionError: A folder is no run folder, or is ``to``.
        StoreError: The folders planned or measured the same cell under different fingerprints; nothing was copied.
    """
    for source in sources:
        if source.resolve() == to.resolve():
            raise SelectionError(f"{source} is the folder of --to itself; name the others only")
        if not (source / "plan.json").is_file() and not (source / "records").is_dir():
            raise SelectionError(f"{source} is no run folder: it has neither plan.json nor records/")
    target, merged = Store(to), Merged()
    with target.exclusive() as notes:
        stores = [target, *map(Store, sources)]
        candidates: defaultdict[Cell, list[Found]] = defaultdict(list)
        damaged: list[tuple[Path, str]] = []
        for store in stores:
            for found in _records(store, damaged):
                candidates[found.record.cell].append(found)
        kept = [_plan(store, damaged) for store in stores]
        plans = [{cell: (cell.to_json(), decision) for cell, decision in plan.pairs} for plan in kept]
        _refuse_conflicts(plans, candidates)
        told = next((plan.model_extra for plan in kept if plan.cells), None) or {}
        target.write_plan({**told, **_joined(plans, candidates)})
        merged.planned = len(set().union(*plans))
        whole = {target.path(cell) for cell in sorted(candidates) if _merged(target, candidates[cell], merged, damaged)}
    merged.damaged += notes + [why for path, why in damaged if path not in whole]
    return merged


def _records(store: Store, damaged: list[tuple[Path, str]]) -> Iterator[Found]:
    for path in sorted((store.root / "records").rglob("*.json")):
        if path.name.startswith("."):
            continue
        try:
            content = read_bytes(path)
            record = parse_record(content, str(path))
            if store.path(record.cell) != path:
                raise StoreError(f"{path}: holds the record of {record.cell.id}")
        except (OSError, StoreError) as error:
            damaged.append((path, str(error) if isinstance(error, StoreError) else f"{path}: cannot be read: {error}"))
        else:
            yield Found(store=store, record=record, sha256=hashlib.sha256(content).hexdigest())


def _plan(store: Store, damaged: list[tuple[Path, str]]) -> StoredPlan:
    try:
        return parse_plan(store.plan_path)
    except StoreError as error:
        damaged.append((store.plan_path, f"{store.root}: {error}"))
        return StoredPlan(cells=[], decisions=[])


def _refuse_conflicts(plans: Sequence[Decided], candidates: Mapping[Cell, Sequence[Found]]) -> None:
    """Same cell, same fingerprint; that of a profile cell names the machine, so there only records count."""
    marks: defaultdict[Cell, set[str]] = defaultdict(set)
    for plan in plans:
        for cell, (_, decision) in plan.items():
            if cell.kind == "evaluate":
                marks[cell].add(str(decision.get("fingerprint")))
    for cell, found in candidates.items():
        marks[cell] |= {one.record.fingerprint for one in found}
    conflicts = sorted(cell.id for cell, seen in marks.items() if len(seen) > 1)
    if conflicts:
        raise StoreError(
            f"{len(conflicts)} cells differ between the folders in code, data, settings or libraries: "
            f"{some(conflicts, SHOWN)}. Nothing was copied; run them again with one version, "
            "or merge those that belong together, each into a new --to"
        )


def _joined(plans: Sequence[Decided], candidates: Mapping[Cell, Sequence[Found]]) -> dict[str, Any]:
    """What any of the folders planned; of several decisions one that a record followed, priced if there is such."""
    chosen: dict[Cell, tuple[dict[str, Any], dict[str, Any]]] = {}
    for cell in set().union(*plans):
        followed = {one.record.fingerprint for one in candidates.get(cell, ())}
        pairs = [plan[cell] for plan in plans if cell in plan]
        chosen[cell] = max(pairs, key=lambda pair: _weight(pair[1], followed))
    ordered = [chosen[cell] for cell in sorted(chosen)]
    return {"cells": [values for values, _ in ordered], "decisions": [decision for _, decision in ordered]}


def _weight(decision: Mapping[str, Any], followed: set[str]) -> tuple[bool, bool]:
    return decision.get("fingerprint") in followed, decision.get("cost_s") is not None


def _merged(target: Store, found: Sequence[Found], merged: Merged, damaged: list[tuple[Path, str]]) -> bool:
    """Copy the best record of a cell whose files are whole; ``False`` where there is none."""
    for one in sorted(found, key=lambda one: one.record.status != "ok"):
        try:
            artifacts = one.record.artifacts
            files = {entry["file"]: one.store.content(one.record, kind) for kind, entry in artifacts.items()}
        except StoreError as error:
            damaged.append((one.store.path(one.record.cell), f"{one.store.root}: {error}"))
            continue
        others = [other for other in found if other.sha256 != one.sha256 and other.record.status == "ok"]
        if others and one.record.status == "ok":
            same = all(other.record.scores == one.record.scores for other in others)
            merged.twice.append(
                f"{one.record.cell.id} was measured in {one.store.root} and {others[0].store.root}: the first is kept, "
                f"{'scores are equal' if same else 'SCORES DIFFER'}"
            )
        if one.store is target:
            merged.present += 1
            return True
        path = one.store.path(one.record.cell)
        for name, content in files.items():
            write_atomic(target.path(one.record.cell).with_name(name), content)
        log = one.store.log_path(one.record.cell)
        if log.is_file():
            write_atomic(target.log_path(one.record.cell), log.read_bytes())
        write_atomic(target.path(one.record.cell), path.read_bytes())
        merged.copied += 1
        return True
    return False
