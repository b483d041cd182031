"""Traces: one or two steps for Chrome's or Perfetto's viewer, and a table of the top operators."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch.profiler import ProfilerActivity, profile, schedule, tensorboard_trace_handler

from bench.errors import BenchError
from bench.measurement.clocks import device_type

MAX_STEPS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """The Chrome trace that was written, and what it shows.

    Attributes:
        operators: Those with the most time of their own first, on the device if there is one, else on CPU:
            ``name``, ``calls``, ``self_cpu_ms``, ``cpu_ms`` and ``self_device_ms`` (``None`` on CPU). Own time leaves
            out the operators that one calls.
    """

    file: Path
    operators: tuple[dict[str, Any], ...]


def write_trace(
    step: Callable[[int], object], folder: Path, *, device: str, steps: int = 2, name: str = "trace", top: int = 20
) -> Trace:
    """Trace ``steps`` steps after one warm-up step. Profiled times are inflated: never report them as latency.

    The file ``<name>.<n>.pt.trace.json`` opens in Chrome, in Perfetto, and in TensorBoard's profiler plugin when
    TensorBoard is started on ``folder``. It holds no Python stacks, so no local paths either.

    Args:
        step: ``step(i)`` runs one step.
        folder: Where to write; it is made.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        steps: Traced steps, 1 to 5 (about 5 MB each for a large model).
        name: The run's name in TensorBoard.
        top: Rows of the operator table, at least 1.

    Raises:
        BenchError: A number of steps outside 1 to 5, or the profiler wrote nothing.
    """
    if not 1 <= steps <= MAX_STEPS:
        raise BenchError(f"steps is {steps}; a trace takes 1 to {MAX_STEPS} steps")
    cuda = device_type(device) == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    known = set(folder.glob(f"{name}.*.pt.trace.json"))
    write = tensorboard_trace_handler(str(folder), worker_name=name)
    rows: list[dict[str, Any]] = []

    def ready(profiler: Any) -> None:  # key_averages is empty once the profiler has moved on
        rows.extend(operator_rows(profiler.key_averages(), cuda=cuda))
        write(profiler)

    plan = schedule(wait=0, warmup=1, active=steps, repeat=1)
    with profile(activities=activities, schedule=plan, on_trace_ready=ready, acc_events=True) as profiler:
        for index in range(steps + 1):
            step(index)
            profiler.step()
    written = sorted(set(folder.glob(f"{name}.*.pt.trace.json")) - known)
    if not written:
        raise BenchError(f"the profiler wrote no trace into {folder.name}; check that the folder is writable")
    content = json.loads(written[-1].read_text(encoding="utf-8"))
    content["traceName"] = written[-1].name  # the name of the file, not its folder
    written[-1].write_text(json.dumps(content), encoding="utf-8")
    return Trace(file=written[-1], operators=tuple(rows[:top]))


def operator_rows(averages: Any, *, cuda: bool) -> list[dict[str, Any]]:
    """The profiler's averages as rows, most own time first; the marks of whole steps are left out."""
    rows = [
        {
            "name": event.key,
            "calls": event.count,
            "self_cpu_ms": event.self_cpu_time_total / 1e3,
            "cpu_ms": event.cpu_time_total / 1e3,
            "self_device_ms": event.self_device_time_total / 1e3 if cuda else None,
        }
        for event in averages
        if not event.key.startswith("ProfilerStep")
    ]
    return sorted(rows, key=lambda row: (row["self_device_ms"] or 0.0, row["self_cpu_ms"]), reverse=True)
