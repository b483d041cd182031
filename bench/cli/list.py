"""``bench list``."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.cli.flags import AsJson, LeftOut, PluginFiles, Wide
from bench.cli.listing import WHAT, show


def main(
    what: Annotated[str, typer.Argument(metavar="WHAT", show_default=False, help=f"One of {', '.join(WHAT)}.")],
    *,
    options: Annotated[
        bool, typer.Option("--options", help="Of models: what --set model.KEY=VALUE can change, with its default.")
    ] = False,
    wide: Wide = False,
    as_json: AsJson = False,
    plugin: PluginFiles = None,
    no_plugin: LeftOut = None,
) -> int:
    """Show what the plugins give: models, data sets, front ends and more."""
    return show(what, options=options, wide=wide, as_json=as_json, plugin=plugin, no_plugin=no_plugin)
