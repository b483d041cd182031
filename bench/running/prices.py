"""What cells cost: remembered of cells that ran, timed where that is asked for, else operators at this machine's pace.

Operators come with the plugin (``operators.json`` in its package), else they are counted in a worker and remembered.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from bench.cell import FROZEN, Cell
from bench.data.cache import cache_root
from bench.measurement.machine import foreign_cpu, watch_foreign_cpu
from bench.measurement.pace import Pace, Work, estimate
from bench.planning.costs import Cost, cost_key, cost_of, count_key, pace_key
from bench.planning.plan import Plan, PlannedCell
from bench.plugins.interfaces import Answered, Event, Lost, Resources
from bench.results.folder import write_atomic
from bench.results.reading import parse_as, parse_json, read_bytes, reason, set_aside
from bench.results.records import Record

if TYPE_CHECKING:
    from bench.running.launching import Launching
    from bench.running.preparation import Preparation

PRICING_TIMEOUT_S = 120.0
COUNTS = 30
"""So many counts take as long as the start of a worker."""
BUSY_CORES = 0.2
"""Cores' worth of foreign work above which a measured cost says more about the neighbours than about the model."""
SHIPPED = "operators.json"
T = TypeVar("T")


class Prices:
    """Costs of the cells of a plan."""

    def __init__(self, preparation: Preparation) -> None:
        self.preparation, self.registry = preparation, preparation.registry
        self.launching, self.progress = preparation.launching, preparation.progress
        self.keys: dict[Cell, str] = {}

    def costs(self, plan: Plan, *, measure: bool) -> dict[Cell, Cost | str]:
        """What every runnable cell costs here; a string says why it is unknown.

        With ``measure`` a few steps of models are timed whose cost was never measured here.
        """
        threads = self.launching.side_by_side.threads
        self.keys = keys = {p.cell: cost_key(p, self.registry, threads) for p in plan.runnable}
        known: dict[str, Cost | str] = {
            key: cost
            for key in set(keys.values())
            if (cost := self._read(key, Cost)) and not (measure and cost.source != "measured")
        }
        asked: dict[str, PlannedCell] = {}
        for planned in plan.runnable:
            if keys[planned.cell] not in known:
                asked.setdefault(keys[planned.cell], planned)
        if asked:
            known |= self._measured(asked) if measure else self._estimated(asked)
        return {cell: known[key] for cell, key in keys.items()}

    def learn(self, record: Record) -> None:
        """Remember what a cell that ran undisturbed says its model costs, unless that was measured before."""
        key = self.keys.get(record.cell)
        if key is None or record.cell.kind != "evaluate" or record.environment.get("contended") is not False:
            return
        known = self._read(key, Cost)
        cost = None if known is not None and known.source == "measured" else cost_of(record)
        if cost is not None:
            with contextlib.suppress(OSError):
                _keep(key, cost)

    def _measured(self, asked: Mapping[str, PlannedCell]) -> dict[str, Cost | str]:
        """Costs timed in a worker; those found undisturbed are remembered."""
        watched = foreign_cpu().value or 0.0
        what = f"timing {_several(len(asked))}"
        found = self._ask(what, asked, "price", Cost, self.launching.side_by_side)
        others = max(watched, foreign_cpu().value or 0.0)
        if others > BUSY_CORES:
            said = f"others use {others:.1f} cores: the costs measured now are not kept for later plans"
            self.progress.note(f"{said}, and decide only about cells far over their budget")
            return {k: replace(c, contended=True) if isinstance(c, Cost) else c for k, c in found.items()}
        for key, cost in found.items():
            _keep(key, cost)
        return found

    def _estimated(self, asked: Mapping[str, PlannedCell]) -> dict[str, Cost | str]:
        """Costs of operators at the pace of this machine; no model runs."""
        works = self._works(asked)
        counted = [asked[key] for key, work in works.items() if isinstance(work, Work) and not work.fitted]
        pace, contended = self._pace(counted[0]) if counted else (None, False)
        found: dict[str, Cost | str] = {}
        for key, work in works.items():
            cell, recipe = asked[key].cell, asked[key].recipe
            if isinstance(work, str):
                found[key] = work
            elif isinstance(pace, str) and not work.fitted:
                found[key] = pace
            else:
                masked = recipe.pretrain_batch if cell.weights == "masked" else 0
                at, frozen = pace if isinstance(pace, Pace) else None, cell.mode in FROZEN
                seconds = estimate(
                    work, at, batch=cell.batch, frozen=frozen, pretrain_batch=masked, clip_samples=cell.clip_samples
                )
                found[key] = Cost(**seconds, contended=contended and not work.fitted)
        return found

    def _works(self, asked: Mapping[str, PlannedCell]) -> dict[str, Work | str]:
        """Operators of each model: known, or counted in a worker and remembered, whoever else uses the machine."""
        found, names = dict[str, Work | str](), dict[str, str]()
        shipped = functools.cache(functools.partial(shipped_with, note=self.progress.note))
        for key, planned in asked.items():
            entry, data = self.registry.models[planned.cell.model], self.preparation.loaded[planned.cell.data_name]
            name, package = count_key(planned, self.registry, data.clips), re.split("[.:]", entry.factory)[0]
            known = Work(fitted=True) if entry.spec.estimator else shipped(package).get(name)
            if known := known or self._read(f"work-{name}", Work):
                found[key] = known
            else:
                names[key] = f"work-{name}"
        if not names:
            return found
        resources = self.launching.side_by_side
        slots = max(1, min(resources.slots, len(names) // COUNTS))  # a further worker takes longer to start
        resources = replace(resources, slots=slots, after=self._following())
        jobs = {key: asked[key] for key in names}
        counted = self._ask(f"estimating {_several(len(jobs))}", jobs, "estimate", Work, resources)
        for key, work in counted.items():
            _keep(names[key], work)
        return found | counted

    def _pace(self, planned: PlannedCell) -> tuple[Pace | str, bool]:
        """Of this machine, remembered or timed in a worker, and whether others used the machine meanwhile."""
        name = pace_name(planned.cell.device, self.launching)
        if known := self._read(name, Pace):
            return known, False
        since = watch_foreign_cpu()
        resources = replace(self.launching.side_by_side, slots=1, after=self._following())
        (pace,) = self._ask("timing this machine", {"": planned}, "pace", Pace, resources).values()
        contended = (since().value or 0.0) > BUSY_CORES
        if not contended:
            _keep(name, pace)
        return pace, contended

    def _ask(
        self, what: str, asked: Mapping[str, PlannedCell], action: Any, kind: type[T], resources: Resources
    ) -> dict[str, T | str]:
        """What workers answer, by key; a string says why there is none."""
        answers: dict[str, T | str] = {}
        keys = {planned.cell: key for key, planned in asked.items()}

        def on_event(event: Event) -> None:
            if isinstance(event, Answered):
                answers[keys[event.job.cell]] = answered(kind, event.values)
            elif isinstance(event, Lost):
                answers[keys[event.job.cell]] = event.failure.message
            self.progress.count(what, len(answers), len(asked))

        limit = min(PRICING_TIMEOUT_S, self.preparation.settings.timeout_s or PRICING_TIMEOUT_S)
        made = (self.preparation.job(planned, resources) for planned in asked.values())
        self.launching.run([replace(job, timeout_s=limit, action=action) for job in made], on_event, resources)
        return answers

    def _following(self) -> Resources | None:
        """What a further worker for the cells to come may be given; ``None`` where it would not save its start."""
        evaluate = sum(cell.kind == "evaluate" for cell in self.keys)
        found = self.launching.side_by_side if evaluate else self.launching.alone
        return found if found.imports and (found.slots > 1 < evaluate or not evaluate) else None

    def _read(self, name: str, kind: type[T]) -> T | None:
        """What was kept under a name; what is damaged is set aside."""
        path = _path(name)
        try:
            return parse_as(kind, parse_json(read_bytes(path)))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            with contextlib.suppress(OSError):
                aside = f"set aside as {set_aside(path).name}; it is made again"
                self.progress.note(f"{path} holds no {kind.__name__.lower()} ({reason(error)}): {aside}")
            return None


def pace_name(device: str, launching: Launching) -> str:
    """What the pace of this machine is kept under."""
    return f"pace-{pace_key(device, launching.side_by_side.threads)}"


def kept(name: str) -> bool:
    """Whether something is remembered under a name."""
    return _path(name).exists()


def shipped_with(package: str, note: Callable[[str], None]) -> dict[str, Work]:
    """The operators that come with a package, by their ``count_key``; a file that is damaged is told to ``note``."""
    try:
        found = importlib.util.find_spec(package)
    except (ImportError, ValueError):  # the name of a file that was loaded by itself
        found = None
    path = next((Path(one) / SHIPPED for one in (found and found.submodule_search_locations) or ()), None)
    if path is None or not path.is_file():
        return {}
    try:
        return {key: parse_as(Work, one["work"]) for key, one in parse_json(read_bytes(path))["work"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        note(f"{path} holds no operators ({reason(error)}): they are counted here")
        return {}


def _path(name: str) -> Path:
    return cache_root() / "costs" / f"{name}.json"


def _keep(name: str, value: Any) -> None:
    """Remember what is no reason why there is none."""
    if not isinstance(value, str):
        write_atomic(_path(name), json.dumps(asdict(value)).encode())


def _several(count: int) -> str:
    return f"{count} model{'s' if count > 1 else ''}"


def answered(kind: type[T], values: Mapping[str, Any]) -> T | str:
    """What was answered, or why it is none; what a worker says beside it is left out."""
    if "problem" in values:
        return str(values["problem"])
    fields: Mapping[str, Any] = kind.__dataclass_fields__  # type: ignore[attr-defined]
    try:
        return parse_as(kind, {name: values[name] for name in fields if name in values})
    except ValueError as error:
        return f"the answer is no {kind.__name__.lower()}: {' '.join(str(error).split())[:200]}"
