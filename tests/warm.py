"""``python -P -m bench ...`` and its workers as forks of one process that has imported everything.

A process that imports torch costs 2 to 4 s of processor time, a fork of one that has 0.05 s. What a test sees is the
same: a process of its own with its own descriptors, folder, environment, group and exit status. Tests of what a start
itself does (imports, isolation, deaths of parents) start real processes.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import inspect
import io
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PROGRAMS = {"bench": "bench.__main__", "bench.running.worker": "bench.running.worker", "pytest": "pytest"}
SAME = ("PYTHONPATH", "PYTHONSAFEPATH", "LD_LIBRARY_PATH")
"""Variables that an interpreter reads when it starts."""
_IMAGE = {"PYTHONHASHSEED": "0", "PYTHONFAULTHANDLER": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
_OWN = ("bench", "bench_plugins", "bench_datasets")
_COLD = ("bench.testing", "bench.__main__", "bench.running.worker")
_OTHERS = ("torch._inductor", "sklearn.linear_model", "matplotlib.backends.backend_agg", "rich.console")


class Image:
    """The client's end: starts the process that is forked from when it is first needed."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="bench-warm-")
        self.address = str(Path(self._folder.name) / "socket")
        self._server: subprocess.Popen[bytes] | None = None

    def connect(self) -> socket.socket:
        if self._server is None:
            command = [sys.executable, "-P", __file__, self.address]
            self._server = subprocess.Popen(command, stdin=-1, stdout=-1, env=os.environ | _IMAGE)
            assert self._server.stdout.readline() == b"ready\n"
        return _connect(self.address)

    def close(self) -> None:
        if self._server is not None:
            self._server.communicate(timeout=300)
        self._folder.cleanup()


def _connect(address: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(address)
    return connection


class Popen(subprocess.Popen):
    """A process of :data:`PROGRAMS` from the image, any other as ever."""

    image: Any = None
    _connection: socket.socket | None = None

    def _execute_child(self, args: Any, *rest: Any) -> None:
        given = inspect.signature(subprocess.Popen._execute_child).bind(self, args, *rest).arguments
        env = dict(os.environ if given["env"] is None else given["env"])
        if not _known(args, env, given["preexec_fn"]):
            super()._execute_child(args, *rest)
            return
        ends = [given[name] for name in ("p2cread", "c2pwrite", "errwrite")]
        asked = {
            "words": list(map(str, args)), "env": env, "cwd": os.fspath(given["cwd"] or Path.cwd()),
            "session": given["start_new_session"],
        }  # fmt: skip
        self._connection = self.image.connect()
        content = json.dumps(asked).encode()
        files = [own if end < 0 else end for own, end in enumerate(ends)]
        socket.send_fds(self._connection, [len(content).to_bytes(8, "big")], files)
        self._connection.sendall(content)
        self._answers = self._connection.makefile("rb")
        self.pid = json.loads(self._answers.readline())
        self._child_created = True
        self._close_pipe_fds(*(given[n] for n in ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")))

    def _internal_poll(self, *rest: Any, **named: Any) -> int | None:
        if self._connection is None:
            return super()._internal_poll(*rest, **named)
        return self._ended(0)

    def _wait(self, timeout: float | None) -> int:
        if self._connection is None:
            return super()._wait(timeout)
        if self._ended(timeout) is None:
            raise subprocess.TimeoutExpired(self.args, timeout)
        return self.returncode

    def _ended(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._connection], [], [], timeout)[0]:
            self.returncode = json.loads(self._answers.readline() or "-9")
            self._answers.close()
            self._connection.close()
        return self.returncode


def _known(words: Sequence[Any], env: dict[str, str], preexec: Any) -> bool:
    if isinstance(words, (str, bytes)) or preexec is not None or list(words[:3]) != [sys.executable, "-P", "-m"]:
        return False
    return words[3] in PROGRAMS and all(env.get(name) == os.environ.get(name) for name in SAME)


def popen(image: Any) -> type[Popen]:
    return type("Popen", (Popen,), {"image": image})


def module(image: Any) -> types.SimpleNamespace:
    """What stands for the module ``subprocess``."""
    kind = popen(image)

    def run(command: Any, *, capture_output: bool = False, timeout: float | None = None, check: bool = False, **more):
        if capture_output:
            more |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with kind(command, **more) as process:
            try:
                out, err = process.communicate(timeout=timeout)
            except BaseException:
                process.kill()
                raise
        done = subprocess.CompletedProcess(command, process.returncode, out, err)
        if check:
            done.check_returncode()
        return done

    return types.SimpleNamespace(**vars(subprocess) | {"Popen": kind, "run": run})


def serve(address: str) -> None:
    """Import everything, then fork for whoever asks until standard input closes."""
    for name in (*_modules(), *_OTHERS):
        with contextlib.suppress(Exception, SystemExit):
            importlib.import_module(name)
    from bench.running import process

    process.subprocess = module(types.SimpleNamespace(connect=lambda: _connect(address)))
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(address)
    listener.listen(64)
    gc.collect()
    gc.freeze()
    os.write(1, b"ready\n")
    while True:
        asked, _, _ = select.select([listener, 0], [], [], 5.0)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if 0 in asked:
            break
        if listener in asked:
            connection, _ = listener.accept()
            if not os.fork():
                listener.close()
                _parent(connection)
            connection.close()
    with contextlib.suppress(ChildProcessError):
        while os.wait():
            pass


def _modules() -> list[str]:
    found = []
    for package in map(importlib.import_module, _OWN):
        names = [one.name for one in pkgutil.walk_packages(package.__path__, package.__name__ + ".", onerror=str)]
        found += [name for name in names if not name.startswith(_COLD)]
    return found


def _parent(connection: socket.socket) -> None:
    """The parent of one program: gives it back as its own parent would, ends it when whoever asked has gone."""
    size, files, *_ = socket.recv_fds(connection, 8, 3)
    content = b""
    while len(content) < int.from_bytes(size, "big"):
        content += connection.recv(2**20)
    asked = json.loads(content)
    child = os.fork()
    if not child:
        _program(asked, files)
    for file in {*files, 0}:
        os.close(file)
    connection.sendall(f"{child}\n".encode())
    ended = os.pidfd_open(child)
    heard, _, _ = select.select([ended, connection], [], [])
    if ended not in heard:
        os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with contextlib.suppress(OSError):
        connection.sendall(f"{code}\n".encode())
    os._exit(0)


def _program(asked: dict[str, Any], files: Sequence[int]) -> None:
    words = asked["words"]
    if asked["session"]:
        os.setsid()
    os.chdir(asked["cwd"])
    kept = [os.dup(file) for file in files]
    for place, file in enumerate(kept):
        os.dup2(file, place)
    os.closerange(3, 1024)
    os.environ.clear()
    os.environ.update(asked["env"])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.stdin, sys.stdout, sys.stderr = (
        io.TextIOWrapper(io.FileIO(place, mode, closefd=False), line_buffering=place == 2)
        for place, mode in enumerate("rww")
    )
    sys.argv, sys.orig_argv = [words[3], *words[4:]], words
    code = 1
    try:
        code = importlib.import_module(PROGRAMS[words[3]]).main()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:  # noqa: BLE001  as an interpreter ends
        traceback.print_exc()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)


if __name__ == "__main__":
    serve(sys.argv[1])
