"""``bench history``: keep what runs measured, commit by commit, and say where it changed."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.baseline import read_baseline
from bench.cli.common import NOTHING, OK, print_json, print_note, print_table
from bench.cli.flags import AsJson, LeftOut, PluginFiles
from bench.errors import SelectionError, did_you_mean
from bench.results.folder import write_atomic
from bench.studies.history import read, render

ACTIONS = ("add", "show")
DEFAULT = Path("results/history")

Paths = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="[PATH...]",
        show_default=False,
        help="add: folders of runs, JSON of pytest-benchmark or pinned baselines; show: the history's folder.",
    ),
]
Reference = Annotated[
    Path | None, typer.Option("--baseline", metavar="PATH", help="show: how far the last commit is from it.")
]
Page = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="show: write one page with plots.")]


def main(  # noqa: PLR0913  one parameter per option
    action: Annotated[str, typer.Argument(metavar="add|show", show_default=False, help="What to do.")],
    paths: Paths = None,
    *,
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="add: the history's folder.")] = DEFAULT,
    commit: Annotated[
        str | None, typer.Option("--commit", metavar="ID", help="add: what was measured; default: HEAD of git here.")
    ] = None,
    date: Annotated[
        str | None, typer.Option("--date", metavar="ISO", help="add: when that was made; default: as git says.")
    ] = None,
    baseline: Reference = None,
    only: Annotated[
        str | None, typer.Option("--only", metavar="TEXT", help="show: rows or quantities with it.")
    ] = None,
    page: Page = None,
    every: Annotated[bool, typer.Option("--all", help="show: what is level too.")] = False,
    as_json: AsJson = False,
    plugin: PluginFiles = None,
    no_plugin: LeftOut = None,
) -> int:
    """Keep what runs measured, commit by commit, and say where it changed.

    `bench history add RESULTS` appends a file to the folder, which a CI branch or artifact can hold; `bench history
    show` finds lasting steps with the commits between which each lies, creep, and last runs that are off but too few.
    """
    if action not in ACTIONS:
        raise SelectionError(f"bench history has no action {action!r}: {did_you_mean(action, ACTIONS)}")
    if action == "add":
        if not paths:
            raise SelectionError("bench history add needs what to add, e.g. bench history add results/runs/latest")
        made, when = _made(commit, date)
        for path in paths:
            written = read.add(to, read.entries_of(read_baseline(path, plugin, no_plugin).rows, made, when))
            print(f"added {path} as {written}" if written else f"{path} is in {to} already")
        return OK
    if paths and len(paths) > 1:
        raise SelectionError(f"bench history show takes one folder, got {len(paths)}: {', '.join(map(str, paths))}")
    return _show(paths[0] if paths else to, baseline, only, page, every=every, as_json=as_json)


def _made(commit: str | None, date: str | None) -> tuple[str, datetime]:
    """What was measured and when it was made."""
    known = _git("rev-parse", "--verify", "--quiet", f"{commit or 'HEAD'}^{{commit}}") or commit
    if known is None:
        raise SelectionError("no git repository here; give --commit ID, e.g. a version, and --date 2026-01-31")
    if not read.COMMIT.fullmatch(known):
        raise SelectionError(f"--commit {known!r} has other characters than letters, digits, dot, plus, minus and _")
    said = date or _git("show", "-s", "--format=%cI", known)
    if said is None:
        raise SelectionError(f"git knows no commit {known!r} here; give its date too: --date 2026-01-31")
    try:
        when = datetime.fromisoformat(said)
    except ValueError as error:
        raise SelectionError(f"--date {said!r} is no date; use ISO 8601, e.g. 2026-01-31T12:00:00+00:00") from error
    return known, when if when.tzinfo else when.replace(tzinfo=UTC)


def _git(*words: str) -> str | None:
    try:
        done = subprocess.run(["git", *words], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _show(
    folder: Path, baseline: Path | None, only: str | None, page: Path | None, *, every: bool, as_json: bool
) -> int:
    if not folder.is_dir():
        raise SelectionError(f"no folder {folder}; `bench history add RESULTS --to {folder}` makes it")
    pinned = read_baseline(baseline, None, None).rows if baseline else ()
    found = read.timelines(read.read(folder), pinned)
    chosen = [one for one in found if only is None or only in one.last.row or only in one.last.quantity]
    if not chosen:
        print_note(f"nothing in {folder}" + (f" has {only!r} in its name" if only and found else ""))
        return NOTHING
    if page is not None:
        write_atomic(page, render.page(chosen, folder.name).encode())
    if as_json:
        print_json({"timelines": chosen})
        return OK
    shown = [one for one in chosen if every or one.eventful]
    if shown:
        print_table(
            render.HEADER, render.table(shown), numeric=render.NUMERIC, kept=("quantity", "change", "what happened")
        )
    if rest := len(chosen) - len(shown):
        print(f"{rest} of {len(chosen)} without a change (--all shows them)")
    if page is not None:
        print(f"wrote {page}")
    return OK
