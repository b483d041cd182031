"""How cells are kept apart: each runs in a child of a process that has only imported; all die with their parents."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import json
import os
import select
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """Have the kernel end this process with its ``parent``; ctrl-C is for the parent alone."""
    with contextlib.suppress(OSError, AttributeError):  # not on Linux: the closed pipe ends us instead
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if os.getppid() != parent:
        os._exit(1)


def forks() -> bool:
    """Whether a child of this process finds all it needs: Linux, and nothing has started a thread or CUDA here."""
    if sys.platform != "linux":
        return False
    if _threads() > 1:  # those that end themselves before a fork, as OpenBLAS's do, may go
        child = os.fork()
        if not child:
            os._exit(0)
        os.waitpid(child, 0)
    files = [link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return _threads() == 1 and not any(file.name.startswith("nvidia-uvm") for file in files)


def _threads() -> int:
    return sum(1 for _ in Path("/proc/self/task").iterdir())


def in_child(work: Callable[[], None]) -> list[str]:
    """Run ``work`` in a child and name the modules that it imported; where it does not end well, end as it did."""
    parent, known = os.getpid(), set(sys.modules)
    gc.freeze()  # collections in the child leave the pages of what was imported alone
    with tempfile.TemporaryFile() as told:
        child = os.fork()
        if not child:
            die_with(parent)
            end_when_hung_up()
            work()
            told.write(json.dumps([name for name in _imported() if name not in known]).encode())
            told.flush()
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        told.seek(0)
        if names := told.read():
            found: list[str] = json.loads(names)
            return found
    if code < 0:
        with contextlib.suppress(OSError):  # SIGKILL has no handler
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def _imported() -> Iterator[str]:
    for name, module in list(sys.modules.items()):
        if getattr(getattr(module, "__spec__", None), "name", None) == name:
            yield name


@functools.cache
def end_when_hung_up() -> None:
    """End this process, in the middle of a cell too, once the supervisor is gone."""

    def wait() -> None:
        poll = select.poll()
        poll.register(0, getattr(select, "POLLRDHUP", 0))  # a closed pipe is told in any case
        poll.poll()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def start_over(output: int) -> None:
    """Become a fresh process with the same pipes once there is another job; ``output`` is its standard output."""
    select.select([0], [], [])
    os.dup2(output, 1)
    os.execv(sys.executable, sys.orig_argv)
