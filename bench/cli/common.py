"""What the verbs share: exit statuses, errors, tables and JSON. Without Typer, which a plain listing does not need."""

from __future__ import annotations

import contextlib
import gc
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from bench.escaping import line
from bench.plugins.discovery import Host, load
from bench.reports.fitting import MOST_ROWS, folded, laid_out
from bench.results.writing import plain

OK = 0
CELL_FAILED = 1
USER = 2
REGRESSION = 3
NOTHING = 4
BUG = 70
"""An exception that nobody foresaw (``EX_SOFTWARE``); 1 is taken by failed cells."""
INTERRUPTED = 130
"""Ctrl-C, SIGTERM or SIGHUP, as shells expect it; of a run the same command goes on where it stopped."""

SLOW_IMPORT_SECONDS = 1.0
"""A plugin that takes longer to import is named on standard error."""


def open_host(files: Sequence[Path] | None, without: Sequence[str] | None, *, settings: bool = True) -> Host:
    """All plugins, with a note on standard error about those that are slow to import."""
    with contextlib.redirect_stdout(sys.stderr):  # what a plugin prints must not break `--json`
        host = load(files or (), without=without or (), settings=settings)
    for name, seconds in host.import_seconds.items():
        if seconds > SLOW_IMPORT_SECONDS:
            print_note(f"plugin {name!r} took {seconds:.1f} s to import; import heavy libraries inside its functions")
    return host


@contextlib.contextmanager
def collection_paused() -> Iterator[None]:
    """No search for cyclic garbage: while many records are read, each search goes through all that came before."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()  # nor through what was read, as long as it is needed
        gc.enable()


def print_error(message: str) -> None:
    """``error: ...`` on standard error."""
    print(folded(f"error: {message}", room(sys.stderr)), file=sys.stderr)


def print_note(message: str) -> None:
    """``note: ...`` on standard error, so that standard output stays machine-readable."""
    print(folded(f"note: {message}", room(sys.stderr)), file=sys.stderr)


def print_text(text: str) -> None:
    """Sentences, on a terminal broken between words."""
    print(folded(text, room()))


def print_json(value: Any) -> None:
    """Any plain value, spec or path as indented JSON."""
    import json

    print(json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False))


def room(stream: TextIO | None = None, *, wide: bool = False) -> int | None:
    """Characters in a line of the terminal; ``None`` where nothing is cut: ``--wide``, a pipe, a file."""
    return shutil.get_terminal_size().columns if (stream or sys.stdout).isatty() and not wide else None


def print_table(
    header: Sequence[str], rows: Iterable[Sequence[str]], *, numeric: Iterable[str] = (), kept: Iterable[str] = (),
    wide: bool = False,
) -> None:  # fmt: skip
    """A table as aligned plain text; on a terminal with the columns that fit, the last folded, through a pager.

    The first and the last column and those of the titles ``kept`` stay; of the others those on the right go first.
    """
    table, width = [list(header), *([*map(line, row)] for row in rows)], room(wide=wide)
    right = {place for place, title in enumerate(header) if title in set(numeric)}
    lines, _, places = laid_out(table, right=right, room=width, kept={0, *map(header.index, kept)})
    if left := [title for place, title in enumerate(header) if place not in places]:
        lines.append(folded(f"(not shown: {', '.join(left)}; a wider window or `| cat` shows all)", width))
    text = "\n".join(lines)
    long = width is not None and text.count("\n") > max(MOST_ROWS, shutil.get_terminal_size().lines)
    if long and sys.stdin is not None and sys.stdin.isatty():
        import pydoc

        pydoc.pager(text)
    else:
        print(text)
