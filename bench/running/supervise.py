"""Worker processes under supervision: their jobs, their events, their end."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import IO, Any, cast

from bench.job import Job
from bench.measurement.memory import oom_kills
from bench.plugins import interfaces
from bench.plugins.interfaces import OnEvent, Resources
from bench.results.records import Failure, Status, parse_record

COMMAND = (sys.executable, "-P", "-m", "bench.running.worker")
LOG_BYTES = 2**20
"""Of what a cell prints, the last mebibyte is kept."""

_PASSING: Mapping[str, Callable[..., interfaces.Event]] = {
    "started": interfaces.Started, "epoch": interfaces.EpochEnded, "observer": interfaces.ObserverFailed,
}  # fmt: skip
_POLL_S = 0.25
_TAIL = 2000
_PIPE_BYTES = 2**20


class Worker:
    """A worker process in a process group of its own.

    Args:
        threads: Compute threads it may use.
        command: What starts it.
        imports: Modules that it imports before its first job.
    """

    def __init__(self, threads: int, command: Sequence[str] = COMMAND, imports: Sequence[str] = ()) -> None:
        self.threads = threads
        self.job: Job | None = None
        self.key: tuple[str, str, str] | None = None
        self._started_at = 0.0
        self._buffer = bytearray()
        self._header: dict[str, Any] | None = None
        self._oom_before = oom_kills()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  closed with the worker
        self._log_start = 0
        self._last_words = b""
        self._process = subprocess.Popen(
            [*command, *imports], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log,
            env=_environment(threads), start_new_session=True,
        )  # fmt: skip
        self.pid = self._process.pid
        self.output = cast("IO[bytes]", self._process.stdout)
        self._input = cast("IO[bytes]", self._process.stdin)
        os.set_blocking(self.output.fileno(), False)

    def send(self, job: Job) -> None:
        """Give the idle worker its next job; a worker that died meanwhile shows at the next :meth:`read`."""
        if self.key is not None:  # what it printed before its first job belongs to that job
            self._log_start = os.fstat(self._log.fileno()).st_size
        self.job, self.key = job, job.key
        self._started_at = time.monotonic()
        with contextlib.suppress(BrokenPipeError):
            self._input.write(job.to_json().encode() + b"\n")
            self._input.flush()

    def read(self) -> tuple[list[tuple[dict[str, Any], dict[str, bytes]]], bool]:
        """The events that have arrived, each with its files, and whether the worker has closed its side."""
        closed = False
        while not closed and (chunk := self.output.read(_PIPE_BYTES)) is not None:
            self._buffer += chunk
            closed = not chunk
        return list(iter(self._take, None)), closed

    def _take(self) -> tuple[dict[str, Any], dict[str, bytes]] | None:
        """The next event if it is whole: a line of JSON, then the bytes of the files that it announces."""
        if self._header is None:
            end = self._buffer.find(b"\n")
            if end < 0:
                return None
            self._header = json.loads(self._buffer[:end])
            del self._buffer[: end + 1]
        sizes: dict[str, int] = self._header["files"]
        if len(self._buffer) < sum(sizes.values()):
            return None
        files = {}
        for name, size in sizes.items():
            files[name] = bytes(self._buffer[:size])
            del self._buffer[:size]
        header, self._header = self._header, None
        return header, files

    def log(self) -> str:
        """What was printed since the current job was sent (since the start for the first)."""
        if not self._log.closed:
            end = os.fstat(self._log.fileno()).st_size
            start = max(self._log_start, end - LOG_BYTES)
            self._last_words = os.pread(self._log.fileno(), end - start, start)
        return self._last_words.decode("utf-8", errors="replace")

    def overdue(self) -> bool:
        """Whether the current job has run past its limit."""
        job = self.job
        return bool(job and job.timeout_s is not None and time.monotonic() - self._started_at > job.timeout_s)

    def kill(self) -> None:
        """End the worker and everything it started, at once."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._reap()

    def close(self) -> None:
        """Let an idle worker end by itself."""
        with contextlib.suppress(BrokenPipeError):
            self._input.close()
        self._reap(patience_s=10)

    def autopsy(self) -> tuple[Status, Failure]:
        """What became of a worker that ended in the middle of a job."""
        code, after = self._reap(), oom_kills()
        status: Status = "crashed"
        if code == -signal.SIGKILL and None not in (self._oom_before, after) and after != self._oom_before:
            status, reason, message = "oom", "memory", "killed by the kernel: out of memory"
        elif code < 0:
            reason, message = "signal", f"killed by signal {-code} ({signal.Signals(-code).name})"
        else:
            reason, message = "exit", f"the process ended with status {code}"
        return status, Failure(reason=reason, stage="worker", message=message, detail=self.log()[-_TAIL:])

    def _reap(self, patience_s: float = 5) -> int:
        try:
            code = self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)  # children that a plugin started
        self.log()
        for stream in (self._input, self.output, self._log):
            with contextlib.suppress(OSError):
                stream.close()
        return code


def supervise(
    jobs: Sequence[Job],
    on_event: OnEvent,
    resources: Resources,
    *,
    early: Iterable[Worker] = (),
    command: Sequence[str] = COMMAND,
) -> None:
    """Run jobs in worker processes, evaluate cells side by side; returns when each has ended.

    A worker that raises, hangs, dies or is killed costs its own job and no other.

    Args:
        jobs: In the order in which they should start.
        on_event: Called with what happens; what it raises stops every worker and comes through.
        resources: Workers side by side, and the threads of each.
        early: Idle workers that were started before, for jobs that need not be alone.
        command: What starts a worker. It reads jobs on standard input, writes events on standard output and prints to
            standard error, so ``("ssh", host, "python", "-P", "-m", "bench.running.worker")`` runs it elsewhere.

    Raises:
        KeyboardInterrupt: Passed on, after every worker was stopped and its job reported as lost.
    """
    _Supervision(jobs, on_event, resources, command).run(early)


class _Supervision:
    def __init__(self, jobs: Sequence[Job], on_event: OnEvent, resources: Resources, command: Sequence[str]) -> None:
        self._waiting, self._on_event = list(jobs), on_event
        self._resources, self._command = resources, command
        self._workers: dict[int, Worker] = {}
        self._selector = selectors.DefaultSelector()

    def run(self, early: Iterable[Worker]) -> None:
        for worker in early:
            self._add(worker)
        try:
            while self._waiting or any(worker.job for worker in self._workers.values()):
                self._fill()
                for key, _ in self._selector.select(timeout=_POLL_S):
                    self._serve(key.data)
                for worker in [worker for worker in self._workers.values() if worker.overdue()]:
                    limit = worker.job.timeout_s if worker.job else None
                    self._end(worker, "timeout", f"no result after {limit:.0f} s; allow more with --timeout")
        except KeyboardInterrupt:
            for worker in list(self._workers.values()):
                self._end(worker, "cancelled", "stopped by the user")
            raise
        finally:
            for worker in list(self._workers.values()):
                self._forget(worker)
                if worker.job is None:
                    worker.close()
                else:
                    worker.kill()
            self._selector.close()

    def _add(self, worker: Worker) -> None:
        self._workers[worker.pid] = worker
        self._selector.register(worker.output, selectors.EVENT_READ, worker)

    def _fill(self) -> None:
        """Give idle workers what they may take, end the others, start new ones."""
        for worker in [worker for worker in self._workers.values() if worker.job is None]:
            job = next((job for job in self._waiting if self._suits(worker, job)), None)
            if job is None:
                self._forget(worker)
                worker.close()
            else:
                self._waiting.remove(job)
                worker.send(job)
        while self._waiting and len(self._workers) < self._resources.slots:
            worker = Worker(self._resources.threads, self._command)
            self._add(worker)
            worker.send(self._waiting.pop(0))

    def _suits(self, worker: Worker, job: Job) -> bool:
        unused = worker.key is None and worker.threads == self._resources.threads
        return not job.alone and (unused or job.key == worker.key)

    def _serve(self, worker: Worker) -> None:
        events, closed = worker.read()
        for header, files in events:
            if worker.job is None:
                continue
            ends = header["event"] in ("record", "answer")
            event = _event(worker.job, header, files, worker.log() if ends else "")
            if ends:
                worker.job = None
            self._on_event(event)
        if closed:
            self._forget(worker)
            if worker.job is None:
                worker.kill()
            else:
                self._lose(worker, *worker.autopsy())

    def _end(self, worker: Worker, status: Status, why: str) -> None:
        """Stop a worker in the middle of its job."""
        self._forget(worker)
        worker.kill()
        self._lose(worker, status, Failure(reason=status, stage="worker", message=why))

    def _lose(self, worker: Worker, status: Status, failure: Failure) -> None:
        job, worker.job = worker.job, None
        if job is not None:
            self._on_event(interfaces.Lost(job=job, status=status, failure=failure, log=worker.log()))

    def _forget(self, worker: Worker) -> None:
        if self._workers.pop(worker.pid, None) is not None:
            self._selector.unregister(worker.output)


def _event(job: Job, header: Mapping[str, Any], files: Mapping[str, bytes], log: str) -> interfaces.Event:
    """What a worker says of its job, typed."""
    kind, values = header["event"], header["values"]
    if kind in _PASSING:
        return _PASSING[kind](job=job, **values)
    if kind == "record":
        return interfaces.Finished(job=job, record=parse_record(values["text"], job.cell.id), files=files, log=log)
    return interfaces.Answered(job=job, values=values, files=files, log=log)


def _environment(threads: int) -> dict[str, str]:
    return os.environ | {
        "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8", "PYTHONHASHSEED": "0", "PYTHONFAULTHANDLER": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }  # fmt: skip
