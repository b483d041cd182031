"""``bench bisect``: the commit that made a quantity worse."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.common import NOTHING, OK, print_json, print_note
from bench.cli.flags import AsJson
from bench.studies.bisect.run import Question, Step, bisect, git


def main(
    good: Annotated[str, typer.Argument(metavar="GOOD", show_default=False, help="A commit before it got worse.")],
    bad: Annotated[str, typer.Argument(metavar="BAD", show_default=False, help="A later commit that is worse.")],
    options: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- OPTIONS]", show_default=False, help="Options of `bench gate`, e.g. --models NAME."),
    ] = None,
    *,
    metric: Annotated[str, typer.Option("--metric", metavar="NAME", help="Score or quantity, as the gate names it.")],
    as_json: AsJson = False,
) -> int:
    """Find the commit that made a quantity worse.

    Each commit that git's bisection asks for is judged by `bench gate --against GOOD`, in a worktree of its own; what
    cannot be resolved or installed is skipped. The same command goes on where it was interrupted.
    """
    here = Path.cwd()

    def told(step: Step) -> None:
        print_note(f"{step.commit[:12]} {step.answer}: {step.said}")

    found = bisect(Question.of(good, bad, metric, options or (), here), here, told)
    if as_json:
        print_json(found)
    elif len(found.suspects) == 1:
        print(f"first bad commit: {git(here, 'show', '-s', '--format=%h %an: %s', found.suspects[0])}")
        print(found.first.said)
    else:
        print(f"one of {len(found.suspects)} commits, those before the last could not be judged:")
        print(git(here, "show", "-s", "--format=%h %an: %s", *found.suspects))
        print(found.first.said)
    return OK if len(found.suspects) == 1 else NOTHING
