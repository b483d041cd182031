"""The process that executes cells: jobs come in on standard input, events go out on standard output, both JSON lines.

Started as ``python -P -m bench.running.worker`` so that the current folder is never on the path. What a plugin prints
goes to the cell's log. The process dies with its parent: the kernel signals it, and a closed standard input ends it.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import math
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.execution.evaluate import Progress
    from bench.execution.inputs import WorkerCache
    from bench.job import Job
    from bench.plugins.discovery import Host
    from bench.results.records import Record

PR_SET_PDEATHSIG = 1
LOG_TAIL = 4000
"""Characters of a traceback or log that a record keeps."""


class Channel:
    """The supervisor's end of standard output, kept apart from what plugins print."""

    def __init__(self) -> None:
        self._stream = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)

    def send(self, event: str, **values: Any) -> None:
        """Write one event line."""
        self._stream.write(json.dumps({"event": event, **values}) + "\n")
        self._stream.flush()


def main() -> None:
    """Run jobs until standard input closes, then leave without teardown (it would add to the peak memory)."""
    _die_with_parent()
    channel = Channel()
    inbox: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    busy = threading.Event()
    threading.Thread(target=_read_jobs, args=(inbox, busy), daemon=True).start()
    desk: dict[Any, Any] = {}
    while (line := inbox.get()) is not None:
        busy.set()
        _run_line(line, channel, desk)
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


def _run_line(line: str, channel: Channel, desk: dict[Any, Any]) -> None:
    """One job; ``desk`` keeps what the next one can use again: the loaded plugins and the indexed data."""
    from bench.job import Job
    from bench.results.store import Store

    job = Job.from_json(line)
    with _output_to(Store(job.out).log_path(job.cell)):
        channel.send("start", id=job.cell.id)
        # Imported only now, so that whatever goes wrong there is in the log of a cell.
        from bench.execution.inputs import WorkerCache
        from bench.plugins.discovery import load

        key = (job.plugins, job.without)
        if key not in desk:
            desk[key] = load(job.plugins, without=job.without), WorkerCache()
        host, cache = desk[key]
        if job.action == "cell":
            _run_cell(job, host, channel, cache)
        else:
            {"probe": _run_probe, "estimate": _run_estimate, "trace": _run_trace}[job.action](job, host, channel, desk)


def _run_cell(job: Job, host: Host, channel: Channel, cache: WorkerCache) -> None:
    from bench.errors import StoreError
    from bench.execution.evaluate import CellResult, Progress, run_evaluate
    from bench.execution.profile import run_profile
    from bench.results.store import Store

    progress = Progress()
    started = datetime.now(UTC).isoformat(timespec="seconds")

    def observe(epoch: int, scores: Mapping[str, float]) -> None:
        finite = {name: value for name, value in scores.items() if math.isfinite(value)}
        done, total = progress.passes + epoch, progress.total or job.recipe.epochs
        channel.send("epoch", id=job.cell.id, epoch=done, epochs=total, scores=finite, stage=progress.stage)
        if progress.stage == "train":  # a pass of pre-training is no epoch of training
            host.hook.bench_epoch_end(cell=job.cell, epoch=epoch, scores=scores)

    def work() -> CellResult:
        _set_threads(job.threads)
        host.hook.bench_cell_start(cell=job.cell)
        if job.cell.kind == "profile":
            return run_profile(host.registry, job, progress)
        return run_evaluate(host.registry, job, progress, observe, cache)

    try:
        done: CellResult | Record = work()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin may raise anything; it becomes a record
        done = _failure(job, host, progress, error, started)
    try:
        store = Store(job.out)
        record = (
            store.write(done.record, done.arrays, done.files) if isinstance(done, CellResult) else store.write(done)
        )
    except StoreError as error:
        channel.send("fatal", id=job.cell.id, message=str(error))
        return
    channel.send("done", id=job.cell.id, status=record.status)


def _run_probe(job: Job, host: Host, channel: Channel, _desk: dict[Any, Any]) -> None:
    from bench.execution.pricing import run_probe

    _send_costs(job, channel, lambda progress: run_probe(host.registry, job, progress))


def _run_estimate(job: Job, host: Host, channel: Channel, desk: dict[Any, Any]) -> None:
    from bench.execution.pricing import calibrate, run_estimate

    def run(progress: Progress) -> dict[str, Any]:
        if "speed" not in desk:
            desk["speed"] = calibrate()
        _, cache = desk[job.plugins, job.without]
        return run_estimate(host.registry, job, progress, cache, desk["speed"])

    _send_costs(job, channel, run)


def _send_costs(job: Job, channel: Channel, run: Callable[[Progress], dict[str, Any]]) -> None:
    from bench.execution.evaluate import Progress

    progress = Progress()
    try:
        _set_threads(job.threads)
        costs = run(progress)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the plan shows it; the cell itself will fail in its turn
        costs = {"unknown": f"{type(error).__name__} in stage {progress.stage}: {_one_line(error)}"}
    channel.send("cost", id=job.cell.id, costs=costs)


def _run_trace(job: Job, host: Host, channel: Channel, _desk: dict[Any, Any]) -> None:
    from bench.execution.evaluate import Progress
    from bench.execution.tracing import run_trace

    progress = Progress()
    try:
        _set_threads(job.threads)
        found: dict[str, Any] = {"trace": run_trace(host.registry, job, progress)}
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin may raise anything; whoever asked is told
        found = {"problem": f"{type(error).__name__} in stage {progress.stage}: {_one_line(error)}"}
    channel.send("done", id=job.cell.id, **found)


def _set_threads(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


def _failure(job: Job, host: Host, progress: Progress, error: BaseException, started: str) -> Record:
    import traceback

    from bench.execution import provenance
    from bench.execution.failures import classify
    from bench.results.records import Failure, Record

    status, reason = classify(error)
    trace = "".join(traceback.format_exception(error))
    return Record(
        cell=job.cell,
        status=status,
        recipe=job.recipe.model_dump(mode="json"),
        environment=provenance.environment(job.cell.device),
        provenance=provenance.common(host.registry, job),
        started_at=started,
        error=Failure(
            reason=reason,
            stage=progress.stage,
            message=f"{type(error).__name__}: {_one_line(error)}",
            detail=provenance.without_paths(trace)[-LOG_TAIL:],
        ),
    )


def _one_line(error: BaseException) -> str:
    from bench.execution import provenance

    lines = str(error).strip().splitlines()
    return provenance.without_paths(lines[0])[:500] if lines else ""


@contextlib.contextmanager
def _output_to(path: Path) -> Iterator[None]:
    """Send descriptors 1 and 2, which also C code writes to, to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as log:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()


if __name__ == "__main__":
    main()
