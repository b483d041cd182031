"""``bench gate``: compare a run with another one or a pinned baseline."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

import typer

from bench.cli.baseline import read_baseline, read_results
from bench.cli.common import NOTHING, OK, REGRESSION, print_note, print_table
from bench.cli.flags import LeftOut, PluginFiles
from bench.errors import BenchError, SelectionError
from bench.gate import forms
from bench.gate.comparison import compare
from bench.gate.policy import DEFAULTS, parse_policy
from bench.gate.verdict import HEADER, Outcome, Verdict, markdown, table
from bench.results.folder import write_atomic
from bench.textfiles import read_text

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
    junit: Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Write it as JUnit XML.")] = None,
    bencher: Annotated[
        Path | None, typer.Option("--bencher", metavar="FILE", help="Write what was measured in Bencher's format.")
    ] = None,
    annotate: Annotated[bool, typer.Option("--annotate", help="Print annotations of GitHub's workflows.")] = False,
    plugin: PluginFiles = None,
    no_plugin: LeftOut = None,
) -> int:
    """Compare a run with another one or a pinned baseline.

    Exit 3 on a regression, 4 when something vanished.
    """
    try:
        verdict = _compared(results, baseline, policy, plugin, no_plugin, cross_hardware=cross_hardware)
    except BenchError as error:
        reason = str(error)
        _write(junit, lambda: forms.junit_refusal(reason))
        raise
    _write(json_file, lambda: json.dumps(verdict.to_json(), indent=1, allow_nan=False) + "\n")
    _write(summary, lambda: markdown(verdict))
    _write(junit, lambda: forms.junit(verdict))
    _write(bencher, lambda: forms.bencher(verdict))
    print_table(HEADER, table(verdict.ordered()), numeric=("baseline", "candidate", "change"))
    for line in forms.workflow_commands(verdict) if annotate else ():
        print(line)
    for note in verdict.notes:
        print_note(note)
    print(verdict.summary)
    return EXIT[verdict.outcome]


def _write(path: Path | None, text: Callable[[], str]) -> None:
    if path is not None:
        write_atomic(path, text().encode())


def _compared(
    results: Sequence[Path], baseline: Path | None, policy: Path | None, plugin: Sequence[Path] | None,
    no_plugin: Sequence[str] | None, *, cross_hardware: bool,
) -> Verdict:  # fmt: skip
    *before, candidate = results
    if len(before) + (baseline is not None) != 1:
        given = " and ".join(map(str, [*before, *([baseline] if baseline else [])])) or "nothing"
        raise SelectionError(f"compared with {given}; give `bench gate BASE RESULTS` or one --baseline FILE")
    pinned = read_baseline(baseline or before[0], plugin, no_plugin)
    rules = DEFAULTS if policy is None else parse_policy(read_text(policy), str(policy))
    return compare(pinned, read_results(candidate, plugin, no_plugin), rules, cross_hardware=cross_hardware)
