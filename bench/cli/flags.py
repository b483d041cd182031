"""Options that nearly every verb has."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

PluginFiles = Annotated[
    list[Path] | None,
    typer.Option("--plugin", metavar="FILE", help="Load a plugin from a Python file; may be given again."),
]
LeftOut = Annotated[
    list[str] | None,
    typer.Option("--no-plugin", metavar="NAME", help="Leave a plugin or distribution out; may be given again."),
]
Results = Annotated[Path, typer.Argument(metavar="RESULTS", show_default=False, help="Folder of a run (--out).")]
OneDataset = Annotated[str | None, typer.Option("--dataset", metavar="NAME", help="Look at this one only.")]
Wide = Annotated[bool, typer.Option("--wide", help="Every column and row, however wide the terminal is.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
