"""``bench reproduce``: does a stored number come out again?"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from bench.cli import options as opt
from bench.cli.common import CELL_FAILED, OK, print_json, print_text
from bench.cli.flags import AsJson, LeftOut, PluginFiles
from bench.cli.progress import open_progress
from bench.cli.report import open_store
from bench.config.settings import Settings
from bench.studies.common import find_record
from bench.studies.reproduce.run import reproduce


def main(  # noqa: PLR0913  one parameter per option
    cell: Annotated[
        str, typer.Argument(metavar="CELL", show_default=False, help="A cell's id, a part of it, or a record.")
    ],
    results: Annotated[Path, typer.Argument(metavar="RESULTS", show_default=False, help="Folder of the run it is in.")],
    *,
    data: opt.Data = None,
    weights: Annotated[
        Path | None, typer.Option("--weights", metavar="FILE", help="The file that the cell started from, if it did.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Keep the new record here.")] = None,
    adopt: opt.Adopt = False,
    as_json: AsJson = False,
    plugin: PluginFiles = None,
    no_plugin: LeftOut = None,
) -> int:
    """Run the cell of a stored record again and compare the numbers."""
    store = open_store(results)
    record = find_record(store, cell)
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch, open_progress() as progress:
        settings = Settings(
            out=out or Path(scratch),
            plugins=tuple(plugin or ()),
            without=tuple(no_plugin or ()),
            keep_checkpoints=False,
            adopt=adopt,
        )
        found = reproduce(store, record, settings, data, progress, weights)
    if as_json:
        print_json(found.to_json())
    else:
        print_text(found.sentence())
    return OK if found.within else CELL_FAILED
