"""What the verbs share: exit statuses, errors, tables and JSON. Without Typer, which a plain listing does not need."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.escaping import line
from bench.plugins.discovery import Host, load
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
    print(f"error: {message}", file=sys.stderr)


def print_note(message: str) -> None:
    """``note: ...`` on standard error, so that standard output stays machine-readable."""
    print(f"note: {message}", file=sys.stderr)


def print_json(value: Any) -> None:
    """Any plain value, spec or path as indented JSON."""
    import json

    print(json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False))


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]], *, numeric: Iterable[str] = ()) -> None:
    """A table: drawn by rich on a terminal, aligned plain text (never cut) elsewhere."""
    table, right = [[*map(line, row)] for row in rows], set(numeric)
    if sys.stdout.isatty():
        _print_rich(header, table, right)
        return
    widths = [max(len(row[i]) for row in [list(header), *table]) for i in range(len(header))]
    for row in [list(header), *table]:
        cells = [
            cell.rjust(width) if title in right else cell.ljust(width)
            for cell, width, title in zip(row, widths, header, strict=True)
        ]
        print("  ".join(cells).rstrip())


def _print_rich(header: Sequence[str], rows: list[list[str]], right: set[str]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in header:
        table.add_column(title, justify="right" if title in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    Console(file=getattr(sys.stdout, "drawn", sys.stdout)).print(table)
