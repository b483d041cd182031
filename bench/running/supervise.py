"""Worker processes under supervision: their jobs, their events, their end."""

from __future__ import annotations

import selectors
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace

from bench.job import Job
from bench.plugins.interfaces import Answered, Finished, Lost, OnEvent, Resources
from bench.results.records import Failure, Status
from bench.running.messages import Message, MessageError
from bench.running.process import COMMAND, TAIL, Worker, ended

_POLL_S = 0.25
_LEAVE_S = 20.0
"""What a worker may take to end, or to clear away a cell, once its work is done."""


def supervise(
    jobs: Sequence[Job],
    on_event: OnEvent,
    resources: Resources,
    *,
    early: Iterable[Worker] = (),
    command: Sequence[str] = COMMAND,
    kept: list[Worker] | None = None,
) -> None:
    """Run jobs in worker processes, evaluate cells side by side; returns when each has ended.

    A worker that raises, hangs, dies or is killed costs its own job and no other; one that trained several cells as one
    network costs none, they are run one by one.

    Args:
        jobs: In the order in which they should start.
        on_event: Called with what happens; what it raises stops every worker and comes through.
        resources: Workers side by side, and the threads of each.
        early: Idle workers that were started before, for jobs that need not be alone.
        command: What starts a worker. It reads jobs on standard input, writes events on standard output and prints to
            standard error, so ``("ssh", host, "python", "-P", "-m", "bench.running.worker")`` runs it elsewhere.
        kept: Takes the workers that are idle in the end, instead of ending them.

    Raises:
        KeyboardInterrupt: Passed on, after every worker was stopped and its job reported as lost.
    """
    _Supervision(jobs, on_event, resources, command).run(early, kept)


class _Supervision:
    def __init__(self, jobs: Sequence[Job], on_event: OnEvent, resources: Resources, command: Sequence[str]) -> None:
        self._waiting, self._on_event = list(jobs), on_event
        self._resources, self._command = resources, command
        self._workers: dict[int, Worker] = {}
        self._selector = selectors.DefaultSelector()
        self._keeps = False

    def run(self, early: Iterable[Worker], kept: list[Worker] | None = None) -> None:
        self._keeps = kept is not None
        for worker in early:
            self._add(worker)
        try:
            while self._waiting or any(worker.job for worker in self._workers.values()):
                self._fill()
                self._selector.select(timeout=_POLL_S)
                for worker in list(self._workers.values()):
                    self._serve(worker)
        except KeyboardInterrupt:
            for worker in list(self._workers.values()):
                if worker.end is None:
                    self._stop(worker, "cancelled", "stopped by the user")
                else:
                    self._finish(worker)
            raise
        finally:
            for worker in list(self._workers.values()):
                self._forget(worker)
                if worker.job is not None:
                    worker.kill()
                elif kept is None:
                    worker.close()
                else:
                    kept.append(worker)
            self._selector.close()

    def _add(self, worker: Worker) -> None:
        self._workers[worker.pid] = worker
        for source in worker.sources():
            self._selector.register(source, selectors.EVENT_READ, worker)

    def _fill(self) -> None:
        """Give idle workers what they may take, end the others, start new ones."""
        for worker in [worker for worker in self._workers.values() if worker.job is None]:
            suited = [job for job in self._waiting if self._suits(worker, job)]
            mates = [job for job in suited if job.stack and job.key == worker.key]
            job = next(iter([*mates, *suited]), None)
            if job is None and self._keeps and not self._waiting:
                continue  # for what follows
            if job is None:
                self._forget(worker)
                worker.close()
            else:
                self._waiting.remove(job)
                worker.send(job)
        while len(self._workers) < self._resources.slots:
            job = next((job for job in self._waiting if not self._held(job)), None)
            if job is None:
                return
            self._waiting.remove(job)
            worker = Worker(self._resources.threads, self._command, self._resources.imports if job.forks else ())
            self._add(worker)
            worker.send(job)

    def _held(self, job: Job, worker: Worker | None = None) -> bool:
        """Whether another worker may have trained the job with one before it, and so knows its result."""
        return bool(job.stack) and any(other.key == job.key for other in self._workers.values() if other is not worker)

    def _suits(self, worker: Worker, job: Job) -> bool:
        if self._held(job, worker):
            return False
        if job.forks or (worker.threads == self._resources.threads and worker.key is None and not job.alone):
            return True  # a fork takes the threads of its job
        return job.key == worker.key and not job.alone

    def _serve(self, worker: Worker) -> None:
        """Hear a worker, and see whether it has ended or should have."""
        gone = worker.gone
        try:
            for message in worker.messages():
                self._hear(worker, message)
        except MessageError as error:
            self._stop(worker, "crashed", f"the worker sent {error}", reason="protocol")
            return
        worker.drain()
        for pipe in worker.spent:
            if pipe in self._selector.get_map():
                self._selector.unregister(pipe)
                if pipe is worker.output:
                    worker.due = time.monotonic() + _LEAVE_S
        if gone:
            self._forget(worker)
            code = worker.bury()
            if worker.end is None:
                self._lose(worker, *worker.autopsy(code))
            else:
                self._finish(worker, f"{ended(code)} after its work was done")
        elif worker.due is not None and time.monotonic() > worker.due:
            self._overdue(worker)

    def _hear(self, worker: Worker, message: Message) -> None:
        if worker.job is None:
            raise MessageError(f"{message.event!r} while it had no job")
        if message.event == "idle" and worker.end is not None:
            self._finish(worker)
            return
        if message.event == "idle" or worker.end is not None:
            raise MessageError(f"{message.event!r} {'after' if worker.end else 'before'} the result of its job")
        event = message.of(worker.job)
        if isinstance(event, (Finished, Answered)):
            worker.end, worker.due = event, time.monotonic() + _LEAVE_S
        else:
            self._on_event(event)

    def _overdue(self, worker: Worker) -> None:
        if worker.end is not None:
            self._forget(worker)
            worker.kill()
            self._finish(worker, f"the process had not ended {_LEAVE_S:.0f} s after its work was done and was stopped")
        elif worker.output in worker.spent:
            why = f"closed its side of the pipe, had not ended {_LEAVE_S:.0f} s later and was stopped"
            self._stop(worker, "crashed", f"the process {why}", reason="exit")
        elif worker.job is not None:
            why = f"no result after {worker.job.timeout_s:.0f} s; allow more with --timeout"
            self._stop(worker, "timeout", why)

    def _stop(self, worker: Worker, status: Status, why: str, reason: str = "") -> None:
        """Stop a worker in the middle of its job."""
        self._forget(worker)
        worker.kill()
        detail = worker.log()[-TAIL:] if reason else ""
        self._lose(worker, status, Failure(reason=reason or status, stage="worker", message=why, detail=detail))

    def _finish(self, worker: Worker, note: str = "") -> None:
        """Pass on what a job gave; ``note`` says how its process ended, where it did not end well."""
        end, log = worker.end, worker.log()
        worker.job = worker.end = worker.due = None
        if end is not None:
            if note and isinstance(end, Finished):
                provenance = {**end.record.provenance, "teardown": note}
                end = replace(end, record=end.record.model_copy(update={"provenance": provenance}))
            self._on_event(replace(end, log=f"{log}[bench] {note}\n" if note else log))

    def _lose(self, worker: Worker, status: Status, failure: Failure) -> None:
        job, worker.job, worker.end = worker.job, None, None
        if job is not None and job.mates and status != "cancelled":
            self._part(job, f"the process that trained {len(job.mates) + 1} cells was lost: {failure.message}")
        elif job is not None:
            self._on_event(Lost(job=job, status=status, failure=failure, log=worker.log()))

    def _part(self, job: Job, why: str) -> None:
        """Have the cells of a stack run one by one: which of them ended their process is not known."""
        together = sum(mate.timeout_s or 0.0 for mate in job.mates)
        own_s = None if job.timeout_s is None else job.timeout_s - together
        waiting = [replace(job, mates=(), if_faster=False, timeout_s=own_s), *self._waiting]
        self._waiting = [replace(one, stack="", apart=why) if one.stack == job.stack else one for one in waiting]

    def _forget(self, worker: Worker) -> None:
        if self._workers.pop(worker.pid, None) is not None:
            for key in [key for key in self._selector.get_map().values() if key.data is worker]:
                self._selector.unregister(key.fileobj)
