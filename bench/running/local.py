"""Run jobs in worker processes of this machine: evaluate cells side by side, profile cells alone and afresh."""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.errors import StoreError
from bench.job import Job
from bench.results.records import Failure, Status
from bench.results.store import Store
from bench.running.supervise import Worker

Observe = Callable[[str, Job, dict[str, Any]], None]
"""Told ``(event, job, values)``: ``start``, ``epoch``, ``done``, ``cost``, and ``lost`` for a cell whose worker
ended or was killed, with ``status`` and ``failure``."""

_POLL_S = 0.25


class LocalLauncher:
    """Worker processes of this machine.

    Args:
        slots: Evaluate cells at the same time.
        threads: Compute threads of each; a profile cell, alone on the machine, has as many.
        logs: Folder for what workers print before their first job.
    """

    def __init__(self, *, slots: int, threads: int, logs: Path) -> None:
        self.slots = slots
        self.threads = threads
        self._logs = logs
        self._workers: dict[int, Worker] = {}
        self._selector = selectors.DefaultSelector()
        self._count = 0

    def run(self, jobs: Sequence[Job], observe: Observe, *, slots: int | None = None) -> None:
        """Run all jobs; returns when each has been reported.

        Args:
            jobs: In the order they should start. Jobs of one key may share a worker, profile cells never do.
            observe: Told what happens.
            slots: Instead of the launcher's own number.

        Raises:
            StoreError: Records can no longer be written; everything has been stopped.
            KeyboardInterrupt: Passed on, after every worker was ended.
        """
        waiting = list(jobs)
        width = slots or self.slots
        try:
            while waiting or any(worker.job for worker in self._workers.values()):
                self._fill(waiting, width)
                for key, _ in self._selector.select(timeout=_POLL_S):
                    self._serve(key.data, observe)
                self._end_overdue(observe)
        finally:
            self.stop()

    def stop(self) -> None:
        """End every worker at once."""
        for worker in list(self._workers.values()):
            self._forget(worker)
            if worker.job is None:
                worker.close()
            else:
                worker.kill()

    def _fill(self, waiting: list[Job], width: int) -> None:
        idle = [worker for worker in self._workers.values() if worker.job is None]
        for worker in idle:
            job = _next(waiting, worker.key)
            if job is None:
                self._forget(worker)
                worker.close()
            else:
                waiting.remove(job)
                worker.send(job)
        while waiting and len(self._workers) < width:
            job = waiting.pop(0)
            self._count += 1
            worker = Worker(self.threads, self._logs / f"worker-{self._count}.log")
            worker.key = job.key
            self._workers[worker.pid] = worker
            self._selector.register(worker.output, selectors.EVENT_READ, worker)
            worker.send(job)

    def _serve(self, worker: Worker, observe: Observe) -> None:
        events, closed = worker.read()
        for event in events:
            job = worker.job
            if job is None:
                continue
            kind = event.pop("event")
            if kind == "fatal":
                raise StoreError(event["message"])
            if kind in ("done", "cost"):
                event["seconds"] = time.monotonic() - worker.started_at
                worker.job = None
            observe(kind, job, event)
        if closed:
            self._lost(worker, observe, None)

    def _end_overdue(self, observe: Observe) -> None:
        for worker in [worker for worker in self._workers.values() if worker.overdue()]:
            job = worker.job
            limit = job.timeout_s if job else None
            message = f"no result after {limit:.0f} s; allow more with --timeout"
            self._lost(worker, observe, Failure(reason="timeout", stage="worker", message=message))

    def _lost(self, worker: Worker, observe: Observe, failure: Failure | None) -> None:
        """Take leave of a worker that ended (``failure`` is ``None``) or must be ended."""
        self._forget(worker)
        job = worker.job
        worker.job = None
        status: Status = "timeout"
        if failure is not None:
            worker.kill()
        elif job is not None:
            status, failure = worker.autopsy(Store(job.out).log_path(job.cell))
        else:
            worker.kill()
        if job is not None and failure is not None:
            seconds = time.monotonic() - worker.started_at
            observe("lost", job, {"status": status, "failure": failure, "seconds": seconds})

    def _forget(self, worker: Worker) -> None:
        if self._workers.pop(worker.pid, None) is not None:
            self._selector.unregister(worker.output)


def _next(waiting: Sequence[Job], key: tuple[str, str, str] | None) -> Job | None:
    return next((job for job in waiting if job.key == key), None)
