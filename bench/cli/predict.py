"""``bench predict``: a fitted cell on files of the user."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from bench import escaping
from bench.cli.common import CELL_FAILED, OK, open_host, print_error
from bench.cli.flags import LeftOut, PluginFiles
from bench.cli.progress import open_progress
from bench.config.settings import DEFAULT_OUT
from bench.studies.common import find_cell, with_reference

if TYPE_CHECKING:
    from bench.studies.predict.run import Heard, Unread

CellName = Annotated[
    str,
    typer.Argument(
        metavar="CELL", show_default=False, help="A part of a cell's id, a record's file, or a run folder of one cell."
    ),
]
RunFolder = Annotated[Path, typer.Option("--results", metavar="DIR", help="The run folder that the cell is in.")]
StartedFrom = Annotated[
    Path | None, typer.Option("--weights", metavar="FILE", help="What the cell started from, if its network needs it.")
]
OnDevice = Annotated[Literal["cpu", "cuda"], typer.Option("--device", help="Where the network runs.")]


def main(  # noqa: PLR0913  one parameter per option
    cell: CellName,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", show_default=False, help="Audio files, folders.")],
    *,
    results: RunFolder = DEFAULT_OUT,
    top: Annotated[int, typer.Option("--top", min=1, help="Labels to show of each window.")] = 3,
    hop: Annotated[
        float | None, typer.Option("--hop", min=1e-3, metavar="SECONDS", help="Between windows; default: their length.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines instead of a table.")] = False,
    device: OnDevice = "cpu",
    weights: StartedFrom = None,
    plugin: PluginFiles = None,
    no_plugin: LeftOut = None,
) -> int:
    """Say what is in audio files, by the network of a stored cell."""
    store, record = find_cell(cell, results)
    registry = with_reference(open_host(plugin, no_plugin).registry, record)
    from bench.execution.kept import reopen
    from bench.studies.predict.run import Unread, check_inputs, files_of, listen

    chosen = files_of(files)
    kept = reopen(registry, store, record, weights)
    check_inputs(kept)
    say = (_lines if as_json else _table)(kept.task.label_names, top)
    unread = 0
    with open_progress() as progress:
        said = listen(kept, chosen, hop=hop, device=device, progress=lambda *done: progress.count("files", *done))
        for one in said:
            say(one)
            if isinstance(one, Unread):
                unread += 1
                print_error(escaping.line(one.reason))
    return CELL_FAILED if unread else OK


def _best(one: Heard, labels: tuple[str, ...], top: int) -> list[tuple[str, float]]:
    """The likeliest labels with their chances."""
    order = (-one.chances).argsort(kind="stable")[:top]
    return [(labels[i], round(float(one.chances[i]), 6)) for i in order]


def _table(labels: tuple[str, ...], top: int) -> Callable[[Heard | Unread], None]:
    """A line of CSV for each label of a window; nothing for a file that could not be read."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["file", "start", "end", "label", "probability"])

    def say(one: Any) -> None:
        for label, chance in _best(one, labels, top) if hasattr(one, "chances") else ():
            row = (str(one.file), round(one.start, 6), round(one.stop, 6), label, chance)
            writer.writerow(map(escaping.csv, row))

    return say


def _lines(labels: tuple[str, ...], top: int) -> Callable[[Heard | Unread], None]:
    """An object for each window, and one with ``error`` for each file that could not be read."""

    def say(one: Any) -> None:
        values: dict[str, Any] = {"file": str(one.file)}
        if hasattr(one, "chances"):
            best = [{"label": label, "probability": chance} for label, chance in _best(one, labels, top)]
            values |= {"start": round(one.start, 6), "end": round(one.stop, 6), "labels": best}
        else:
            values["error"] = one.reason
        print(escaping.terminal(json.dumps(values, ensure_ascii=False)))

    return say
