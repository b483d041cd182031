"""One worker process under supervision: its jobs, its events, its end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench.job import Job
from bench.measurement.memory import oom_kills
from bench.results.records import Failure, Status

_TAIL = 2000


class Worker:
    """A ``python -P -m bench.running.worker`` process in a process group of its own.

    Args:
        threads: Compute threads it may use.
        log: File for what it prints before its first job.
    """

    def __init__(self, threads: int, log: Path) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self.log = log
        self.job: Job | None = None
        self.key: tuple[str, str, str] | None = None
        self.started_at = 0.0
        self._buffer = b""
        self._oom_before = oom_kills()
        with log.open("wb") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "bench.running.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=_environment(threads),
                start_new_session=True,
            )
        self.pid = self._process.pid
        if self._process.stdout is None or self._process.stdin is None:  # pragma: no cover - both are pipes above
            raise RuntimeError("the worker has no pipes")
        self.output = self._process.stdout
        self._input = self._process.stdin
        os.set_blocking(self.output.fileno(), False)

    def send(self, job: Job) -> None:
        """Give the idle worker its next job; a worker that died meanwhile shows at the next :meth:`read`."""
        self.job = job
        self.started_at = time.monotonic()
        with contextlib.suppress(BrokenPipeError):
            self._input.write(job.to_json().encode() + b"\n")
            self._input.flush()

    def read(self) -> tuple[list[dict[str, Any]], bool]:
        """The events that have arrived, and whether the worker has closed its side (it is ending)."""
        closed = False
        while True:
            chunk = self.output.read(65536)
            if chunk is None:
                break
            if not chunk:
                closed = True
                break
            self._buffer += chunk
        *lines, self._buffer = self._buffer.split(b"\n")
        return [json.loads(line) for line in lines if line.strip()], closed

    def overdue(self) -> bool:
        """Whether the current job has run past its limit."""
        job = self.job
        return bool(job and job.timeout_s is not None and time.monotonic() - self.started_at > job.timeout_s)

    def kill(self) -> None:
        """End the worker and everything it started, at once."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._reap()

    def close(self) -> None:
        """Let an idle worker end by itself."""
        with contextlib.suppress(BrokenPipeError):
            self._input.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.kill()
        self._reap()

    def autopsy(self, log: Path) -> tuple[Status, Failure]:
        """What became of a worker that ended in the middle of a job.

        Args:
            log: The log of the cell it worked on.
        """
        code = self._reap()
        after = oom_kills()
        detail = _tail(log) or _tail(self.log)
        if code == -signal.SIGKILL and None not in (self._oom_before, after) and after != self._oom_before:
            return "oom", Failure(
                reason="memory", stage="worker", message="killed by the kernel: out of memory", detail=detail
            )
        if code < 0:
            name = signal.Signals(-code).name
            how = f"killed by signal {-code} ({name})"
            return "crashed", Failure(reason="signal", stage="worker", message=how, detail=detail)
        return "crashed", Failure(
            reason="exit", stage="worker", message=f"the process ended with status {code}", detail=detail
        )

    def _reap(self) -> int:
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)  # children that a plugin started
        for pipe in (self._input, self.output):
            with contextlib.suppress(OSError):
                pipe.close()
        return code


def _environment(threads: int) -> dict[str, str]:
    settings = {
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "PASSIVE",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "PYTHONHASHSEED": "0",
        "PYTHONFAULTHANDLER": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    return {**os.environ, **settings}


def _tail(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")[-_TAIL:]
    except OSError:
        return ""
