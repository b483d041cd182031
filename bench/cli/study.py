"""What the verbs of studies share: stopping so that the run folder can be resumed, and handing over what was found."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import typer

from bench.cli.common import INTERRUPTED, print_json, print_note
from bench.cli.progress import open_progress
from bench.results.folder import write_atomic
from bench.results.writing import plain
from bench.running.progress import Progress


@contextmanager
def resumable(out: Path) -> Iterator[Progress]:
    """Show progress; Ctrl-C, SIGTERM and SIGHUP end the command with a note that the same one goes on."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, _interrupt)
    try:
        with open_progress() as progress:
            yield progress
    except KeyboardInterrupt:
        print_note(f"stopped; finished cells are in {out}, the same command runs the rest")
        raise typer.Exit(INTERRUPTED) from None


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def as_text(found: Mapping[str, Any]) -> str:
    """A study's values as its JSON file."""
    return json.dumps(plain(found), indent=1) + "\n"


def deliver(
    found: Mapping[str, Any],
    files: Mapping[str, str | bytes],
    out: Path,
    show: Callable[[], None],
    *,
    as_json: bool,
    also: Sequence[Path] = (),
) -> None:
    """Write a study's files and print what was found: as JSON, or its tables and the names of the files."""
    for name, content in files.items():
        write_atomic(out / name, content if isinstance(content, bytes) else content.encode())
    written = [*(out / name for name in files), *also]
    if as_json:
        print_json({**found, "files": written})
        return
    show()
    for path in written:
        print(f"wrote {path}")
