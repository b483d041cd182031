"""``bench gate``: compare a run with another one or a pinned baseline."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

import typer

from bench.cli.baseline import read_baseline, read_results, read_text
from bench.cli.common import NOTHING, OK, REGRESSION, print_note, print_table
from bench.cli.flags import LeftOut, PluginFiles
from bench.errors import SelectionError
from bench.gate.comparison import compare
from bench.gate.policy import DEFAULTS, parse_policy
from bench.gate.verdict import HEADER, Outcome, markdown, table
from bench.results.store import write_atomic

EXIT: Mapping[Outcome, int] = MappingProxyType({"passed": OK, "regression": REGRESSION, "vanished": NOTHING})


def main(  # noqa: PLR0913  one parameter per option
    results: Annotated[
        list[Path],
        typer.Argument(
            metavar="[BASE] RESULTS",
            show_default=False,
            help="Folders of runs, or JSON of pytest-benchmark: the one to judge, behind the one to compare with.",
        ),
    ],
    *,
    baseline: Annotated[
        Path | None,
        typer.Option("--baseline", metavar="FILE", help="In place of BASE: what `bench baseline pin` wrote."),
    ] = None,
    policy: Annotated[
        Path | None, typer.Option("--policy", metavar="FILE", help="TOML with what is tolerated; default: see docs.")
    ] = None,
    cross_hardware: Annotated[
        bool, typer.Option("--cross-hardware", help="On another machine: gate only what does not depend on it.")
    ] = False,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the verdict as JSON.")] = None,
    summary: Annotated[
        Path | None, typer.Option("--summary", metavar="FILE", help="Write the verdict as Markdown, for a CI job.")
    ] = None,
    plugin: PluginFiles = None,
    no_plugin: LeftOut = None,
) -> int:
    """Compare a run with another one or a pinned baseline.

    Exit 3 on a regression, 4 when something vanished.
    """
    *before, candidate = results
    if len(before) + (baseline is not None) != 1:
        given = " and ".join(map(str, [*before, *([baseline] if baseline else [])])) or "nothing"
        raise SelectionError(f"compared with {given}; give `bench gate BASE RESULTS` or one --baseline FILE")
    pinned = read_baseline(baseline or before[0], plugin, no_plugin)
    rules = DEFAULTS if policy is None else parse_policy(read_text(policy), str(policy))
    verdict = compare(pinned, read_results(candidate, plugin, no_plugin), rules, cross_hardware=cross_hardware)
    if json_file is not None:
        write_atomic(json_file, (json.dumps(verdict.to_json(), indent=1, allow_nan=False) + "\n").encode())
    if summary is not None:
        write_atomic(summary, markdown(verdict).encode())
    print_table(HEADER, table(verdict.ordered()), numeric=("baseline", "candidate", "change"))
    for note in verdict.notes:
        print_note(note)
    print(verdict.summary)
    return EXIT[verdict.outcome]
