"""A worker process as its supervisor has it: what it is given, what it says and prints, how it ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import IO, cast

from bench.job import Job
from bench.measurement.memory import oom_kills
from bench.plugins.interfaces import Answered, Finished
from bench.results.records import Failure, Status
from bench.running.logs import CappedLog
from bench.running.messages import Inbox, Message

COMMAND = (sys.executable, "-P", "-m", "bench.running.worker")

MALLOC = "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=33554432:glibc.malloc.trim_threshold=1073741824"
"""Pages of 2 MiB where the system gives them when asked, and freed memory is used again instead of returned: each step
frees what the next one needs, and page faults are about a tenth of a step of small networks, up to a quarter
(``benchmarks/worker_memory.py``)."""
TAIL = 2000
"""Characters of a log that a record keeps."""
_PIPE_BYTES = 2**20
_DRAINED = 2**10
"""Pipefuls that are read of a process that has ended; what it started may still be writing."""


class Worker:
    """A worker process in a process group of its own.

    Args:
        threads: Compute threads it may use.
        command: What starts it.
        imports: Modules that it imports before its first job.

    Attributes:
        job: What it was given, ``None`` while it is idle.
        key: The job's, kept while it is idle.
        end: What its job gave, until it is idle again.
        due: When patience with it ends, ``None`` = never.
        spent: Its pipes that have come to their end.
    """

    def __init__(self, threads: int, command: Sequence[str] = COMMAND, imports: Sequence[str] = ()) -> None:
        self.threads = threads
        self.job: Job | None = None
        self.key: tuple[str, str, str] | None = None
        self.end: Finished | Answered | None = None
        self.due: float | None = None
        self.spent: list[IO[bytes]] = []
        self._inbox, self._log, self._oom_before = Inbox(), CappedLog(), oom_kills()
        self._process = subprocess.Popen(
            [*command, *imports], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=worker_environment(threads), start_new_session=True, bufsize=0,
        )  # fmt: skip
        self.pid = self._process.pid
        self.output, self.printed = cast("IO[bytes]", self._process.stdout), cast("IO[bytes]", self._process.stderr)
        self._input = cast("IO[bytes]", self._process.stdin)
        for pipe in (self.output, self.printed):
            os.set_blocking(pipe.fileno(), False)
            with contextlib.suppress(OSError, AttributeError):  # a small pipe does too
                fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._watched: int | None = None
        with contextlib.suppress(OSError, AttributeError):  # an old kernel: looked at now and then
            self._watched = os.pidfd_open(self.pid)

    def sources(self) -> Iterator[IO[bytes] | int]:
        """What is to be watched: its events, what it prints, its end."""
        yield from (self.output, self.printed)
        if self._watched is not None:
            yield self._watched

    def send(self, job: Job) -> None:
        """Give the idle worker its next job; a worker that died meanwhile shows at the next :meth:`messages`."""
        if self.key is not None:  # what it printed before its first job belongs to that job
            self.drain()
            self._log.clear()
        self.job, self.key, self._oom_before = job, job.key, oom_kills()
        self.due = None if job.timeout_s is None else time.monotonic() + job.timeout_s
        line = memoryview(job.to_json().encode() + b"\n")
        with contextlib.suppress(BrokenPipeError):
            while line:
                line = line[self._input.write(line) :]

    @property
    def gone(self) -> bool:
        """Whether the process has ended, whoever still holds its pipes."""
        return self._process.poll() is not None

    def messages(self) -> Iterator[Message]:
        """What has arrived; all of it once the process has ended.

        Raises:
            MessageError: It is no message.
        """
        for chunk in self._chunks(self.output, _DRAINED if self.gone else 1):
            yield from self._inbox.feed(chunk)

    def drain(self) -> None:
        """Take in what was printed, so that nobody waits who prints."""
        for chunk in self._chunks(self.printed, _DRAINED):
            self._log.feed(chunk)

    def log(self) -> str:
        """What was printed since the current job was sent (since the start for the first), without its middle."""
        self.drain()
        return self._log.text()

    def _chunks(self, pipe: IO[bytes], most: int) -> Iterator[bytes]:
        """What can be read at once."""
        for _ in range(0 if pipe.closed or pipe in self.spent else most):
            if chunk := pipe.read(_PIPE_BYTES):
                yield chunk
            else:
                if chunk is not None:
                    self.spent.append(pipe)
                return

    def kill(self) -> None:
        """End the worker and everything it started, at once."""
        self._leave()
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        self.bury()

    def close(self) -> None:
        """Let an idle worker end by itself."""
        self._leave()
        self.bury(patience_s=10)

    def _leave(self) -> None:
        with contextlib.suppress(OSError):
            self._input.close()

    def bury(self, patience_s: float = 5) -> int:
        """The exit status of a worker that ends by itself, or is ended after a while; nothing of it is left."""
        try:
            code = self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)  # what is left where the worker could not end it
        self.drain()
        for stream in (self._input, self.output, self.printed):
            with contextlib.suppress(OSError):
                stream.close()
        if self._watched is not None:
            os.close(self._watched)
            self._watched = None
        return code

    def autopsy(self, code: int) -> tuple[Status, Failure]:
        """What became of a worker that ended in the middle of a job."""
        after, detail = oom_kills(), self.log()[-TAIL:]
        if code == -signal.SIGKILL and None not in (self._oom_before, after) and after != self._oom_before:
            message = "killed by the kernel: out of memory"
            return "oom", Failure(reason="memory", stage="worker", message=message, detail=detail)
        reason = "signal" if code < 0 else "exit"
        return "crashed", Failure(reason=reason, stage="worker", message=ended(code), detail=detail)


def ended(code: int) -> str:
    """How a process ended, in words.

    >>> ended(-9), ended(3)
    ('killed by signal 9 (SIGKILL)', 'the process ended with status 3')
    """
    if code >= 0:
        return f"the process ended with status {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:  # a real-time signal
        name = f"SIGRTMIN+{-code - signal.SIGRTMIN}"
    return f"killed by signal {-code} ({name})"


def worker_environment(threads: int) -> dict[str, str]:
    """Of a process that computes with as many threads; how its memory is kept may be said by the user."""
    return {"GLIBC_TUNABLES": MALLOC} | os.environ | {
        "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8", "PYTHONHASHSEED": "0", "PYTHONFAULTHANDLER": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }  # fmt: skip
