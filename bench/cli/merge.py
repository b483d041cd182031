"""``bench merge``: run folders of shards, or of several machines, made one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.common import CELL_FAILED, OK, print_json, print_note
from bench.cli.flags import AsJson
from bench.results.merge import merge


def main(
    folders: Annotated[list[Path], typer.Argument(metavar="RESULTS...", help="Run folders (--out).")],
    *,
    to: Annotated[
        Path, typer.Option("--to", metavar="DIR", show_default=False, help="The folder of all; it may hold some.")
    ],
    as_json: AsJson = False,
) -> int:
    """Bring the records of several run folders into one."""
    merged = merge(folders, to)
    if as_json:
        print_json(merged)
    else:
        there = f", {merged.present} were there already" if merged.present else ""
        print(f"{merged.copied} records copied to {to}{there}; {merged.planned} cells are planned")
        print_note(f"`bench report {to}` makes the leaderboard")
    for sentence in (*merged.twice, *merged.damaged):
        print_note(sentence)
    if merged.damaged:
        print_note("what is damaged was left where it is; run its shard again, then merge again")
    return CELL_FAILED if merged.damaged else OK
