"""The jobs of a selection by row, planned by one revision's own code: also run as a program in its environment."""

from __future__ import annotations

import contextlib
import json
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from bench.config.selection import Selection, select_models
from bench.config.settings import Settings
from bench.errors import BenchError, UnknownNameError
from bench.gate.collect import row_name
from bench.job import Job
from bench.planning.plan import expand
from bench.plugins.interfaces import Resources
from bench.plugins.registry import Registry
from bench.running.preparation import load_all
from bench.running.runner import Runner


def plan_jobs(selection: Selection, settings: Settings, *, strict: bool = False) -> dict[str, Job]:
    """One job for each profile cell, of one thread, which neighbours disturb least; unknown models have none.

    Raises:
        BenchError: What planning raises; where it is ``strict`` also a model that does not exist.
    """
    runner = Runner(replace(selection, evaluate=False, profile=True, processes=1), settings)
    registry = runner.host.registry
    if not strict:
        known = tuple(name for name in selection.models if _exists(name, registry))
        runner.selection = replace(runner.selection, models=known)
        if not known:
            return {}
    cells = expand(runner.selection, registry, load_all(runner.selection, registry)).cells
    alone = Resources(slots=1, threads=1)
    return {row_name(one.cell): runner.preparation.job(one, alone) for one in cells if one.decision == "run"}


def _exists(name: str, registry: Registry) -> bool:
    try:
        return bool(select_models([name], registry))
    except UnknownNameError:
        return False


def to_json(selection: Selection, settings: Settings, *, strict: bool) -> str:
    """What differs from the defaults, so that another revision need not know the rest."""
    parts: dict[str, tuple[Any, Any]] = {"selection": (selection, Selection()), "settings": (settings, Settings())}
    told: dict[str, dict[str, Any]] = {}
    for name, (given, usual) in parts.items():
        pairs = ((field.name, getattr(given, field.name)) for field in fields(given))
        told[name] = {key: value for key, value in pairs if value != getattr(usual, key)}
    return json.dumps(told | {"strict": strict}, default=str)


def from_json(text: str) -> tuple[Selection, Settings, bool]:
    """What :func:`to_json` wrote."""
    raw = json.loads(text)
    for values in (raw["selection"], raw["settings"]):
        values |= {key: tuple(value) for key, value in values.items() if isinstance(value, list)}
    raw["selection"] |= {key: Path(raw["selection"][key]) for key in ("data",) if key in raw["selection"]}
    settings = raw["settings"] | {key: Path(raw["settings"][key]) for key in ("out",) if key in raw["settings"]}
    settings["plugins"] = tuple(map(Path, settings.get("plugins", ())))
    return Selection(**raw["selection"]), Settings(**settings), raw["strict"]


def main() -> int:
    """Jobs as JSON on standard output, of what standard input asks for."""
    selection, settings, strict = from_json(sys.stdin.read())
    try:
        with contextlib.redirect_stdout(sys.stderr):  # what a plugin prints
            jobs = {row: job.to_json() for row, job in plan_jobs(selection, settings, strict=strict).items()}
    except BenchError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stdout.write(json.dumps(jobs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
