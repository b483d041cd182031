"""The counters of a profile cell; ``python -P -m bench.execution.counters`` is the step that valgrind looks at."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from bench.execution.profile_parts import NO_NETWORK, Calls, NetworkCalls
from bench.job import Job
from bench.measurement.counters import count_instructions, count_step, marked, run_under_callgrind

COUNTS = ("operators", "kernels", "allocations", "tensor_bytes")


def counter_table(calls: Calls, job: Job) -> dict[str, Any]:
    """Counters of batch inference and of a training step, each with its reason where it is unknown.

    Returns:
        ``infer`` and ``train``, each with ``operators``, ``kernels``, ``allocations``, ``tensor_bytes`` and
        ``instructions``; ``instructions_by``: ``perf`` or ``callgrind``, ``None`` where nothing counted them.
    """
    steps = _steps(calls)
    found: dict[str, Any] = {}
    for name, step in steps.items():
        counts = count_step(step, device=job.cell.device) if isinstance(calls, NetworkCalls) else {}
        reasons = {} if counts else dict.fromkeys(COUNTS, NO_NETWORK)
        found[name] = {**dict.fromkeys(COUNTS), **counts, "reasons": reasons}
    by = "perf"
    told = {name: count_instructions(step) for name, step in steps.items()}
    if job.counters == "callgrind" and any(isinstance(value, str) for value in told.values()):
        by, told = "callgrind", _under_callgrind(job, [*steps])
    for name, value in told.items():
        found[name]["instructions"] = None if isinstance(value, str) else value
        found[name]["reasons"] |= {"instructions": value} if isinstance(value, str) else {}
    return {**found, "instructions_by": None if any(isinstance(value, str) for value in told.values()) else by}


def _steps(calls: Calls) -> dict[str, Callable[[], object]]:
    """The same batch each time, after a first call that none of the counters sees."""
    steps: dict[str, Callable[[], object]] = {"infer": partial(calls.infer, 0)}
    if calls.learn is not None:
        steps["train"] = partial(calls.learn, 0)
    for step in steps.values():
        step()
    return steps


def _under_callgrind(job: Job, names: list[str]) -> dict[str, int | str]:
    with tempfile.TemporaryDirectory() as folder:
        command = (sys.executable, "-P", "-m", "bench.execution.counters")
        found = run_under_callgrind(command, job.to_json(), Path(folder))
    if not isinstance(found, str) and len(found) != len(names):
        found = f"valgrind counted {len(found)} steps, not {len(names)}"
    return {name: found if isinstance(found, str) else found[i] for i, name in enumerate(names)}


def main() -> None:
    """Run the steps of the job on standard input, marked for callgrind."""
    from bench.data.contents import file_digests
    from bench.execution.profile import build_calls
    from bench.execution.results import Progress
    from bench.plugins.discovery import load
    from bench.plugins.references import referring

    job = Job.from_json(sys.stdin.read())
    registry = load(job.plugins, without=job.without).registry
    if job.reference:
        registry = referring(registry, [job.reference], file_digests)
    _, calls = build_calls(registry, job, Progress())
    for step in _steps(calls).values():
        marked(step)


if __name__ == "__main__":
    main()
