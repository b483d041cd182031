"""Standard streams whose other end may be closed, full or gone: what is printed is lost then, and nothing else."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO, cast

from bench.escaping import terminal

BROKEN_PIPE = 128 + signal.SIGPIPE
"""As shells show a program that wrote to a reader that had gone."""
NOT_WRITTEN = 74
"""Standard output could not be written (``EX_IOERR``)."""


class Tolerant:
    """A stream that goes on as if nothing had happened once it cannot be written; ``problem`` says why it could not.

    Control characters of what is written are shown, not obeyed; what draws writes to the stream ``drawn``.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.problem: OSError | None = None

    def write(self, text: str) -> int:
        """Write, or lose the text."""
        with self._caught():
            self._stream.write(terminal(text, keep="\n\t"))
        return len(text)

    @property
    def drawn(self) -> TextIO:
        """The stream for what is made of control characters, of texts without any."""
        return self._stream

    def flush(self) -> None:
        """Flush, or lose what was waiting."""
        with self._caught():
            self._stream.flush()

    @contextlib.contextmanager
    def _caught(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.problem = self.problem or error
            nowhere = os.open(os.devnull, os.O_WRONLY)  # for what is waiting in buffers, and for C code
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def status(self, status: int) -> int:
        """The exit status of a command that gave ``status``: good only if all could be written."""
        self.flush()
        if self.problem is None or status:
            return status
        if self.problem.errno == errno.EPIPE:
            return BROKEN_PIPE
        print(f"error: standard output cannot be written: {self.problem.strerror}", file=sys.stderr)
        return NOT_WRITTEN


@contextlib.contextmanager
def tolerant() -> Iterator[Tolerant]:
    """Standard output, which like standard error may fail at any time; closed ones lead nowhere."""
    for descriptor in range(3):  # or the next file that is opened would take its place
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    with contextlib.ExitStack() as stack:
        nowhere = stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
        out, err = (Tolerant(stream or nowhere) for stream in (sys.stdout, sys.stderr))
        stack.enter_context(contextlib.redirect_stdout(cast("TextIO", out)))
        stack.enter_context(contextlib.redirect_stderr(cast("TextIO", err)))
        yield out
