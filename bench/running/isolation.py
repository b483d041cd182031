"""How cells are kept apart, and how nothing of them stays behind.

A worker is four processes. The first two run no code of a plugin: each ends the others and whatever they have started,
in sessions of their own too, once one of them has ended, its supervisor is gone, or it is told to (SIGTERM). They are
two for when one of them is killed: the first adopts what the second leaves, the second hears that the first has gone.
The third has only imported; the fourth is a fork of it for each cell.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import mmap
import os
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Set
from json import dumps, loads  # as they are before a plugin replaces them
from pathlib import Path
from typing import NamedTuple, NoReturn

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
_GRACE_S, _PATIENCE_S = 0.2, 5.0
_POLL_MS = 100
_NAMES_BYTES, _LINE_BYTES = 2**20, 2**24
_POPULATE_READ = 22


def _prctl(option: int, value: int) -> None:
    with contextlib.suppress(OSError, AttributeError):  # not on Linux: the closed pipe ends us instead
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def die_with(parent: int, how: signal.Signals = signal.SIGKILL) -> None:
    """Have the kernel end this process with its ``parent``; ctrl-C is for the parent alone."""
    _prctl(PR_SET_PDEATHSIG, how)
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


def map_files() -> None:
    """Map the pages of files that the parent has mapped, which a fork leaves out: a peak counts them as one process's.

    Nothing on a kernel that knows no such advice (before 5.14).
    """
    import numpy as np

    advise, page = ctypes.CDLL(None).madvise, mmap.PAGESIZE
    folder = Path(f"/proc/{os.getppid()}")
    with (folder / "maps").open() as maps, (folder / "pagemap").open("rb", buffering=0) as pagemap:
        for span, _, _, _, inode, *_ in map(str.split, maps):
            start, end = (int(place, 16) for place in span.split("-"))
            if inode != "0":
                pagemap.seek(start // page * 8)
                there = np.frombuffer(pagemap.read((end - start) // page * 8), "<u8") >> np.uint64(63)
                edges = np.flatnonzero(np.diff(there.astype(np.int8), prepend=0, append=0)) * page + start
                for first, last in edges.reshape(-1, 2).tolist():
                    advise(ctypes.c_void_p(first), ctypes.c_size_t(last - first), _POPULATE_READ)


def guarded(serve: Callable[[Callable[[bytes], NoReturn], bytes], None], ready: Callable[[], None]) -> NoReturn:
    """Run ``serve`` in a child, end what it leaves, and end as it did.

    ``serve`` is given a function that ends its process, so that it is called again in a fresh one: with what was handed
    to that function or, where that is nothing, once there is something on standard input. All these processes start
    from what ``ready`` has imported.
    """
    _guard(os.getppid())
    first = os.getpid()
    if second := os.fork():
        code = _outcome(second)
        end_children()
        _end_as(code)
    _guard(first)
    if sys.platform == "linux":
        os.setsid()  # what ends the group of the first leaves this one to end what stands outside of it
    ready()
    again, ask = os.pipe()
    os.set_blocking(again, False)
    handed, line = mmap.mmap(-1, _LINE_BYTES), b""

    def afresh(line: bytes = b"") -> NoReturn:
        handed.seek(0)
        handed.write(line + b"\0")
        os.write(ask, b".")
        os._exit(0)

    parent = os.getpid()
    while True:
        child = os.fork()
        if not child:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            die_with(parent)
            _leaving(functools.partial(serve, afresh, line))
        code = _outcome(child)
        end_children()
        try:
            os.read(again, 1)
        except BlockingIOError:
            _end_as(code)
        if not (line := handed[: handed.find(b"\0")]):
            select.select([0], [], [])


def _guard(parent: int) -> None:
    """Have this process adopt what those below it leave, and end all of it with ``parent``."""
    signal.signal(signal.SIGTERM, _stop)
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    die_with(parent, signal.SIGTERM)


def _stop(*_: object) -> NoReturn:
    """End all; who asked for it waits for no reason."""
    end_children(grace_s=0)
    _end_as(-signal.SIGTERM)


def _outcome(child: int) -> int:
    """How ``child`` ended; once the supervisor is gone, nobody waits for it."""
    poll = select.poll()
    poll.register(0, getattr(select, "POLLRDHUP", 0))  # a closed pipe is told in any case
    with contextlib.ExitStack() as stack:
        wait_ms: int | None = _POLL_MS
        with contextlib.suppress(OSError, AttributeError):  # an old kernel
            watched = os.pidfd_open(child)
            stack.callback(os.close, watched)
            poll.register(watched, select.POLLIN)
            wait_ms = None
        while not (ended := os.waitpid(child, os.WNOHANG))[0]:
            if any(descriptor == 0 for descriptor, _ in poll.poll(wait_ms)):
                _stop()
    return os.waitstatus_to_exitcode(ended[1])


def _leaving(work: Callable[[], None]) -> NoReturn:
    """Leave with the end of ``work``, without teardown: no handler or thread of a plugin delays it."""
    code = 0
    try:
        work()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:  # noqa: BLE001  whatever a plugin has raised
        code = 1
        with contextlib.suppress(Exception):
            traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):  # whatever a plugin has put there
                stream.flush()
        os._exit(code)


def in_child(work: Callable[[], None]) -> list[str]:
    """Run ``work`` in a child and name the modules that it imported; where it does not end well, end as it did."""
    parent, known = os.getpid(), set(sys.modules)
    spare = _children()  # what an import has started
    gc.freeze()  # collections in the child leave the pages of what was imported alone
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    told = mmap.mmap(-1, _NAMES_BYTES)  # no file: the cell may have come to its limit of those

    def run() -> None:
        die_with(parent)
        work()
        told.write(dumps([name for name in _imported() if name not in known]).encode())

    child = os.fork()
    if not child:
        _leaving(run)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    end_children(spare=spare)
    names = told.read().rstrip(b"\0")
    told.close()
    if code or not names:
        _end_as(code)
    found: list[str] = loads(names)
    return found


class Member(NamedTuple):
    """One of the processes that run a cell together; ``store`` is a file that all have, ``turn`` a pipe with one byte.

    Who reads the byte speaks for all; the others wait for one, and so for their end.
    """

    rank: int
    store: int
    turn: int


def together(work: Callable[[Member], None], count: int) -> None:
    """Run ``work`` in ``count`` children until one has said all; one that ends otherwise ends all, and this alike."""
    parent, store, (turn, give), ranks = os.getpid(), os.memfd_create("bench-ranks"), os.pipe(), set[int]()
    os.write(give, b".")
    _prctl(PR_SET_CHILD_SUBREAPER, 1)

    def run(rank: int) -> None:
        die_with(parent)
        work(Member(rank, store, turn))

    for rank in range(count):
        if not (child := os.fork()):
            _leaving(functools.partial(run, rank))
        ranks.add(child)
    ended, status = os.wait()
    while ended not in ranks:  # what a cell had started and left
        ended, status = os.wait()
    for other in ranks - {ended}:
        os.kill(other, signal.SIGKILL)
        os.waitpid(other, 0)
    end_children()
    if status or select.select([turn], [], [], 0)[0]:  # nobody has spoken
        _end_as(os.waitstatus_to_exitcode(status))


def _imported() -> Iterator[str]:
    for name, module in list(sys.modules.items()):
        if getattr(getattr(module, "__spec__", None), "name", None) == name:
            yield name


def _end_as(code: int) -> NoReturn:
    """End this process as one that gave ``code`` has ended."""
    if code < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # whoever ended so has left one
        with contextlib.suppress(OSError):  # SIGKILL has no handler
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def end_children(*, grace_s: float = _GRACE_S, spare: Set[int] = frozenset()) -> None:
    """End all that this process has started or adopted but ``spare``; what did not end by itself is named."""
    start, named = time.monotonic(), dict[int, str]()
    while left := _children() - spare:
        waited = time.monotonic() - start
        if waited > _PATIENCE_S:
            break
        for pid in left if waited >= grace_s else ():
            if pid not in named:
                named[pid] = _named(pid)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.002)
    if named and grace_s:
        with contextlib.suppress(Exception):
            os.write(2, f"[bench] ended what the cell had left running: {'; '.join(named.values())}\n".encode())
    if left and grace_s:
        with contextlib.suppress(Exception):
            os.write(2, f"[bench] could not end: {'; '.join(map(_named, left))}\n".encode())


def _children() -> set[int]:
    """Processes that this one has started or adopted, those that have ended buried."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return set()
    import psutil

    return {process.pid for process in psutil.Process().children()}


def _named(pid: int) -> str:
    """Its command line; one that is starting another program just now has none for a moment, one that ends has none."""
    with contextlib.suppress(OSError):
        for _ in range(25):
            if line := Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip():
                return f"{pid} ({line[:100]})"
            time.sleep(0.002)
        return f"{pid} [{Path(f'/proc/{pid}/comm').read_text(errors='replace').strip()}]"
    return str(pid)
