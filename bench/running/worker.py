"""The process that runs jobs: they come in on standard input as JSON lines, events go out on standard output.

Started as ``python -P -m bench.running.worker`` so that the current folder is never on the path. An event is a line of
JSON, followed by the bytes of the files that it announces. What plugins print, whichever way, goes to standard error.
The process dies with its parent: the kernel signals it, and a closed standard input ends it.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import math
import os
import queue
import signal
import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.execution.inputs import WorkerCache
    from bench.execution.results import CellResult, Progress
    from bench.job import Job
    from bench.plugins.discovery import Host
    from bench.results.records import Record
    from bench.running.progress import Observers

PR_SET_PDEATHSIG = 1
LOG_TAIL = 4000
"""Characters of a traceback that a record keeps."""


class Channel:
    """The supervisor's end of standard output, kept apart from what plugins print."""

    def __init__(self) -> None:
        self._stream = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)  # also what C code prints belongs to the log

    def send(self, event: str, files: Mapping[str, bytes] | None = None, **values: Any) -> None:
        """Write one event; everything printed before it is in the log by then."""
        sys.stdout.flush()
        sys.stderr.flush()
        files = files or {}
        header = {"event": event, "values": values, "files": {name: len(content) for name, content in files.items()}}
        self._stream.write(json.dumps(header).encode() + b"\n")
        for content in files.values():
            self._stream.write(content)
        self._stream.flush()


def main() -> None:
    """Run jobs until standard input closes, then leave without teardown (it would add to the peak memory)."""
    _die_with_parent()
    channel = Channel()
    inbox: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    busy = threading.Event()
    threading.Thread(target=_read_jobs, args=(inbox, busy), daemon=True).start()
    for name in ("bench.execution.evaluate", *sys.argv[1:]):  # while the host still plans
        with contextlib.suppress(Exception, SystemExit):  # the job that needs it will say so
            importlib.import_module(name)
    kept: dict[Any, Any] = {}
    while (line := inbox.get()) is not None:
        busy.set()
        _run_line(line, channel, kept)
        busy.clear()
    os._exit(0)


def _die_with_parent() -> None:
    parent = os.getppid()
    with contextlib.suppress(OSError, AttributeError):  # not on Linux: the closed pipe ends us instead
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if os.getppid() != parent:
        os._exit(1)


def _read_jobs(inbox: queue.SimpleQueue[str | None], busy: threading.Event) -> None:
    for line in sys.stdin:
        inbox.put(line)
    if busy.is_set():
        os._exit(1)  # the supervisor is gone in the middle of a cell
    inbox.put(None)


def _run_line(line: str, channel: Channel, kept: dict[Any, Any]) -> None:
    """One job; ``kept`` holds what the next one can use again: plugins, observers, the indexed data."""
    from bench.execution.inputs import WorkerCache
    from bench.execution.results import Progress
    from bench.job import Job
    from bench.plugins.discovery import load
    from bench.running.progress import Observers

    job = Job.from_json(line)
    channel.send("started")

    def observer_failed(plugin: str, hook: str, error: str) -> None:
        channel.send("observer", plugin=plugin, hook=hook, error=error)

    key = (job.plugins, job.without)
    if key not in kept:
        host = load(job.plugins, without=job.without)
        kept[key] = host, Observers(host, observer_failed), WorkerCache()
    host, observers, cache = kept[key]
    if not _estimator(job, host):
        import torch

        import bench.execution.network  # noqa: F401  its import is no part of the time of a cell

        torch.set_num_threads(job.threads)
    if job.action == "cell":
        _run_cell(job, host, observers, channel, cache)
        return
    progress = Progress()
    try:
        values, files = _answer(job, host, progress, cache, kept)
    except (Exception, SystemExit) as error:  # noqa: BLE001  a plugin may raise anything; whoever asked is told
        values, files = {"problem": f"{type(error).__name__} in stage {progress.stage}: {_one_line(error)}"}, {}
    channel.send("answer", files, **values)


def _run_cell(job: Job, host: Host, observers: Observers, channel: Channel, cache: WorkerCache) -> None:
    from bench.execution.evaluate import run_evaluate
    from bench.execution.results import CellResult, Progress
    from bench.results.store import npz_bytes

    progress = Progress()
    started = datetime.now(UTC).isoformat(timespec="seconds")

    def on_epoch(epoch: int, scores: Mapping[str, float]) -> None:
        finite = {name: value for name, value in scores.items() if math.isfinite(value)}
        done, total = progress.passes + epoch, progress.total or job.recipe.epochs
        channel.send("epoch", epoch=done, epochs=total, stage=progress.stage, scores=finite)
        if progress.stage == "train":  # a pass of pre-training is no epoch of training
            observers.tell("bench_epoch_end", cell=job.cell, epoch=epoch, scores=scores)

    def work() -> CellResult:
        if job.cell.kind == "profile":
            from bench.execution.profile import run_profile

            return run_profile(host.registry, job, progress)
        return run_evaluate(host.registry, job, progress, on_epoch, cache)

    observers.tell("bench_cell_start", cell=job.cell)
    try:
        done: CellResult | Record = work()
    except (Exception, SystemExit) as error:  # noqa: BLE001  a plugin may raise anything; it becomes a record
        done = _failure(job, host, progress, error, started)
    if isinstance(done, CellResult):
        channel.send("record", {"predictions.npz": npz_bytes(done.arrays), **done.files}, text=done.record.to_json())
    else:
        channel.send("record", text=done.to_json())


def _estimator(job: Job, host: Host) -> bool:
    """Whether the job needs no torch: its cell fits what says that it is an estimator."""
    entry = host.registry.models.entries.get(job.cell.model)
    return job.action == "cell" and job.cell.kind == "evaluate" and entry is not None and entry.spec.estimator


def _answer(
    job: Job, host: Host, progress: Progress, cache: WorkerCache, kept: dict[Any, Any]
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Values and files of a job that gives no record."""
    import tempfile

    from bench.execution import pricing
    from bench.execution.profile import run_trace

    if job.action == "price":
        return pricing.run_price(host.registry, job, progress), {}
    if job.action == "estimate":
        if "speed" not in kept:
            kept["speed"] = pricing.calibrate()
        return pricing.run_estimate(host.registry, job, progress, cache, kept["speed"]), {}
    with tempfile.TemporaryDirectory(prefix="bench-trace-") as folder:
        traces = run_trace(host.registry, job, progress, Path(folder))
        return {"traces": traces}, {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def _failure(job: Job, host: Host, progress: Progress, error: BaseException, started: str) -> Record:
    import traceback

    from bench.execution import provenance
    from bench.execution.results import classify
    from bench.results.records import Failure, Record

    status, reason = classify(error)
    trace = provenance.without_paths("".join(traceback.format_exception(error)))
    message = f"{type(error).__name__}: {_one_line(error)}"
    return Record(
        cell=job.cell,
        status=status,
        recipe=job.recipe.model_dump(mode="json"),
        environment=provenance.environment(job.cell.device),
        provenance=provenance.common(host.registry, job),
        started_at=started,
        error=Failure(reason=reason, stage=progress.stage, message=message, detail=trace[-LOG_TAIL:]),
    )


def _one_line(error: BaseException) -> str:
    from bench.execution import provenance

    lines = str(error).strip().splitlines()
    return provenance.without_paths(lines[0])[:500] if lines else ""


if __name__ == "__main__":
    main()
