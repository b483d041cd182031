"""``bench export``: a fitted cell as a file that others load."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli import options as opt
from bench.cli.common import OK, open_host
from bench.cli.flags import LeftOut, PluginFiles
from bench.cli.predict import CellName, RunFolder, StartedFrom
from bench.config.settings import DEFAULT_OUT
from bench.studies.common import find_cell, with_reference


def main(  # noqa: PLR0913  one parameter per option
    cell: CellName,
    *,
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="FILE.safetensors, .pt2 or .onnx.")],
    results: RunFolder = DEFAULT_OUT,
    data: opt.Data = None,
    weights: StartedFrom = None,
    plugin: PluginFiles = None,
    no_plugin: LeftOut = None,
) -> int:
    """Write a stored cell's network with its front end: .safetensors, .pt2 or .onnx.

    The file is read back, and its logits are compared with those that the cell stored of its test clips.
    """
    store, record = find_cell(cell, results)
    registry = with_reference(open_host(plugin, no_plugin).registry, record)
    from bench.execution.kept import reopen
    from bench.studies.export.run import export

    done = export(registry, store, reopen(registry, store, record, weights), to, data)
    of = f"of {done.clips} test clips by at most {done.difference:.2g} (limit {done.limit:.2g})"
    print(f"wrote {to}: its logits differ from the stored ones {of}")
    return OK
