"""``bench`` and ``python -m bench``."""

from __future__ import annotations

import atexit
import contextlib
import errno
import functools
import os
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from bench.cli.common import BUG, INTERRUPTED, collection_paused, print_error, print_note
from bench.cli.streams import tolerant
from bench.errors import BenchError, short

_UNUSABLE = frozenset({errno.ENAMETOOLONG, errno.EACCES, errno.EPERM, errno.ELOOP, errno.EROFS})
"""Why the system may refuse a path, whoever asks: what was typed, or its folder, has to change."""


def run() -> NoReturn:
    """The program: :func:`main`, then an end without the interpreter's own, which takes 0.5 s where torch was imported.

    Threads are waited for, and what was registered for the end runs, as at the end of a child of ``multiprocessing``.
    """
    status = main()
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):  # there is none, or nobody reads it
            stream.flush()
    os._exit(status)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Words after the program's name; ``None`` = those of this process.

    Returns:
        The exit status: that of the verb, that of a :class:`bench.errors.BenchError`, 130 after Ctrl-C, 141 or 74 if
        standard output could not be written, or 70 for an exception that nobody foresaw, whose traceback is shown.
    """
    with tolerant() as output, warnings.catch_warnings():
        warnings.showwarning = functools.partial(_note, warnings.showwarning)
        return output.status(_guarded(sys.argv[1:] if argv is None else argv))


def _guarded(argv: Sequence[str]) -> int:
    try:
        return _execute(argv)
    except BenchError as error:
        print_error(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        if error.errno not in _UNUSABLE or error.filename is None:
            return _bug()
        print_error(f"cannot use {short(os.fsdecode(error.filename), 300)}: {error.strerror}")
        return BenchError.exit_code
    except Exception:  # noqa: BLE001  nothing is hidden: the traceback is printed
        return _bug()


def _note(otherwise: Callable[..., None], message: Warning | str, category: type[Warning], *more: Any) -> None:
    """A warning of ours is a note; any other is shown as it is everywhere, with its place."""
    if category.__module__.partition(".")[0] == "bench":
        print_note(str(message))
    else:
        otherwise(message, category, *more)


def _bug() -> int:
    traceback.print_exc()
    print_error("this is a bug of bench or of a plugin; the traceback above says where")
    return BUG


def _execute(argv: Sequence[str]) -> int:
    if len(argv) == 2 and argv[0] == "list" and not argv[1].startswith("-"):
        from bench.cli.listing import show  # nothing to parse: Typer would take longer than the listing

        with collection_paused():
            return show(argv[1])
    from bench.cli.app import execute

    return execute(argv)


if __name__ == "__main__":
    run()
