"""Traces of one planned cell, taken in a worker process of their own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.config.selection import Selection
from bench.config.settings import Settings
from bench.errors import BenchError
from bench.planning.plan import PlannedCell
from bench.plugins.interfaces import Answered, Event, Lost
from bench.results.store import write_atomic
from bench.running.runner import Runner


def take_traces(planned: PlannedCell, selection: Selection, settings: Settings, folder: Path) -> dict[str, Any]:
    """Trace a few steps of the cell's model; the times in a trace are inflated and enter no record.

    Args:
        planned: A profile cell.
        selection: Where it comes from.
        settings: How to run.
        folder: Where the traces go; it is made.

    Returns:
        As :func:`bench.execution.profile.run_trace`.

    Raises:
        BenchError: The model or its process failed; the message says where.
    """
    runner = Runner(selection, settings)
    job = replace(runner.preparation.job(planned, runner.launching.alone), action="trace")
    ends: list[Event] = []
    runner.launching.run([job], ends.append, runner.launching.alone)
    match ends[-1]:
        case Answered(values=values, files=files) if "problem" not in values:
            for name, content in files.items():
                write_atomic(folder / name, content)
            traces: dict[str, Any] = values["traces"]
            return traces
        case Answered(values=values, log=log):
            why = values["problem"]
        case Lost(status=status, failure=failure, log=log):
            why = f"{status}: {failure.message}"
    write_atomic(folder / "worker.log", log.encode())
    raise BenchError(f"no trace of {planned.cell.model}: {why}; the worker's log is {folder / 'worker.log'}")
