"""A few steps of one model under torch's profiler: Chrome traces, and the operators that take the time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.execution.profile import build_calls
from bench.execution.results import Progress
from bench.job import Job
from bench.measurement.trace import write_trace
from bench.plugins.registry import Registry

STEPS = 2
TOP = 20


def run_trace(registry: Registry, job: Job, progress: Progress, folder: Path) -> dict[str, Any]:
    """Trace two batches of inference, and two training steps where the model has steps.

    Args:
        registry: All plugins.
        job: Of the model.
        progress: Where this is, for whoever catches what a plugin raises.
        folder: Where the traces are written.

    Returns:
        By name (``infer``, ``train``) ``{"file": name in the folder, "steps", "batch", "operators": [row, ...]}``;
        ``train`` is ``None`` where the model has no steps.
    """
    _, calls = build_calls(registry, job, progress)
    progress.stage = "profile"
    return {
        "infer": _traced("infer", calls.infer, folder, job),
        "train": None if calls.learn is None else _traced("train", calls.learn, folder, job),
    }


def _traced(name: str, step: Callable[[int], int], folder: Path, job: Job) -> dict[str, Any]:
    clips = step(0)
    trace = write_trace(step, folder, device=job.cell.device, steps=STEPS, name=name, top=TOP)
    return {"file": trace.file.name, "steps": STEPS, "batch": clips, "operators": list(trace.operators)}
