"""``bench new``: a plugin to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.common import OK, open_host
from bench.testing.scaffold import RUN, scaffold


def main(
    kind: Annotated[str, typer.Argument(metavar="KIND", show_default=False, help=f"One of {', '.join(RUN)}.")],
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="Of what the plugin gives.")],
    *,
    to: Annotated[
        Path | None,
        typer.Option(
            "--to", metavar="DIR", help="Write here; default: ./bench-NAME, of one file the folder you are in."
        ),
    ] = None,
    single_file: Annotated[
        bool, typer.Option("--single-file", help="One file for --plugin instead of a distribution.")
    ] = False,
) -> int:
    """Write a plugin to begin with: a model, a data set, a metric, ..."""
    plugin, *others = scaffold(kind, name, open_host(None, None).registry, to=to, single=single_file)
    print(*(f"wrote {path}" for path in (plugin, *others)), sep="\n")
    print(
        f"next: bench check {plugin}"
        + ("" if single_file else f"; then pip install -e {plugin.parent}, and pytest there")
    )
    return OK
