"""Traces of one planned cell, taken in a worker process of their own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from bench.config.selection import Selection
from bench.config.settings import Settings
from bench.errors import BenchError
from bench.job import Job
from bench.planning.plan import PlannedCell
from bench.running.local import LocalLauncher
from bench.running.preparation import DEFAULT_TIMEOUT_S


def take_traces(planned: PlannedCell, selection: Selection, settings: Settings, folder: Path) -> dict[str, Any]:
    """Trace a few steps of the cell's model; the times in a trace are inflated and enter no record.

    Args:
        planned: A profile cell.
        selection: Where it comes from.
        settings: How to run.
        folder: Where the traces go; it is made.

    Returns:
        As :func:`bench.execution.tracing.run_trace`.

    Raises:
        BenchError: The model or its process failed; the message says where.
    """
    folder.mkdir(parents=True, exist_ok=True)
    threads = len(os.sched_getaffinity(0))
    job = Job(
        cell=planned.cell, recipe=planned.recipe, fingerprint=planned.fingerprint, out=folder,
        data=selection.data.resolve() if selection.data else None,
        plugins=tuple(path.resolve() for path in settings.plugins), without=settings.without, limit=selection.limit,
        threads=threads, timeout_s=settings.timeout_s or DEFAULT_TIMEOUT_S, action="trace",
        extra={"folder": str(folder.resolve())},
    )  # fmt: skip
    answers: list[tuple[str, dict[str, Any]]] = []

    def observe(kind: str, _: Job, values: dict[str, Any]) -> None:
        if kind in ("done", "lost"):
            answers.append((kind, values))

    LocalLauncher(slots=1, threads=threads, logs=folder / "logs").run([job], observe)
    kind, values = answers[-1]
    if kind == "lost" or "problem" in values:
        why = values["problem"] if "problem" in values else f"{values['status']}: {values['failure'].message}"
        raise BenchError(f"no trace of {planned.cell.model}: {why}; the worker's log is under {folder / 'logs'}")
    traces: dict[str, Any] = values["trace"]
    return traces
