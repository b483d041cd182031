"""``bench gate``: compare a run with a pinned baseline."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

import typer

from bench.cli.baseline import read_results, read_text
from bench.cli.common import NOTHING, OK, REGRESSION, print_note, print_table
from bench.cli.flags import LeftOut, PluginFiles
from bench.gate.baseline import parse_baseline
from bench.gate.comparison import compare
from bench.gate.policy import DEFAULTS, parse_policy
from bench.gate.verdict import HEADER, Outcome, markdown, table
from bench.results.store import write_atomic

EXIT: Mapping[Outcome, int] = MappingProxyType({"passed": OK, "regression": REGRESSION, "vanished": NOTHING})


def main(  # noqa: PLR0913  one parameter per option
    results: Annotated[
        Path,
        typer.Argument(metavar="RESULTS", show_default=False, help="Folder of a run, or JSON of pytest-benchmark."),
    ],
    *,
    baseline: Annotated[
        Path, typer.Option("--baseline", metavar="FILE", help="What `bench baseline pin` wrote.", show_default=False)
    ],
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
    """Compare a run with a pinned baseline.

    Exit 3 on a regression, 4 when something vanished.
    """
    pinned = parse_baseline(read_text(baseline), str(baseline))
    rules = DEFAULTS if policy is None else parse_policy(read_text(policy), str(policy))
    verdict = compare(pinned, read_results(results, plugin, no_plugin), rules, cross_hardware=cross_hardware)
    if json_file is not None:
        write_atomic(json_file, (json.dumps(verdict.to_json(), indent=1, allow_nan=False) + "\n").encode())
    if summary is not None:
        write_atomic(summary, markdown(verdict).encode())
    print_table(HEADER, table(verdict.ordered()), numeric=("baseline", "candidate", "change"))
    for note in verdict.notes:
        print_note(note)
    print(verdict.summary)
    return EXIT[verdict.outcome]
