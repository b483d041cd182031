"""``bench gate``: compare a run with another one or a pinned baseline."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import typer

from bench.cli.baseline import read_baseline, read_results
from bench.cli.common import NOTHING, OK, REGRESSION, print_note, print_table, print_text
from bench.cli.options import gather, with_run_options
from bench.cli.study import resumable
from bench.config.selection import Selection
from bench.config.settings import Settings
from bench.errors import BenchError, SelectionError
from bench.gate import forms
from bench.gate.comparison import compare
from bench.gate.policy import AGAINST, DEFAULTS, Policy, parse_policy
from bench.gate.verdict import HEADER, Outcome, Verdict, markdown, table
from bench.results.folder import write_atomic
from bench.textfiles import read_text

EXIT: Mapping[Outcome, int] = MappingProxyType(
    {"passed": OK, "not_resolvable": OK, "regression": REGRESSION, "vanished": NOTHING}
)

Results = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="[[BASE] RESULTS]",
        show_default=False,
        help="Folders of runs, or JSON of pytest-benchmark: the one to judge, behind the one to compare with.",
    ),
]
REVISION = typer.Option(
    "--against", metavar="REF", help="Measure this commit, branch or tag and the working tree in turns."
)
MINUTES = typer.Option("--minutes", min=0.01, max=1440, help="With --against: time for measuring.")
CROSS = typer.Option("--cross-hardware", help="On another machine: gate only what does not depend on it.")


def _file(flag: str, text: str) -> Any:
    """An option that names a file."""
    return typer.Option(flag, metavar="FILE", help=text)


@with_run_options(
    without=("as_json", "folds", "seeds", "protocol", "limit", "jobs", "stack", "launcher", "observer", "profile",
             "processes", "evaluate", "keep_checkpoints", "rehash", "adopt"),
    out=Path("results") / "gate",
)  # fmt: skip
def main(  # noqa: PLR0913  one parameter per option
    selection: Selection,
    settings: Settings,
    results: Results = None,
    *,
    against: Annotated[str | None, REVISION] = None,
    minutes: Annotated[float, MINUTES] = 5,
    baseline: Annotated[Path | None, _file("--baseline", "In place of BASE: what `bench baseline pin` wrote.")] = None,
    policy: Annotated[Path | None, _file("--policy", "TOML with what is tolerated; default: see docs.")] = None,
    cross_hardware: Annotated[bool, CROSS] = False,
    json_file: Annotated[Path | None, _file("--json", "Write the verdict as JSON.")] = None,
    summary: Annotated[Path | None, _file("--summary", "Write the verdict as Markdown, for a CI job.")] = None,
    junit: Annotated[Path | None, _file("--junit", "Write it as JUnit XML.")] = None,
    bencher: Annotated[Path | None, _file("--bencher", "Write what was measured in Bencher's format.")] = None,
    annotate: Annotated[bool, typer.Option("--annotate", help="Print annotations of GitHub's workflows.")] = False,
) -> int:
    """Compare a run with another one or a pinned baseline, or two revisions measured in turns.

    `bench gate --against main --models NAME,... --dataset NAME`: options from --models to --no-plugin as of bench run.
    Exit 3 on a regression, 4 when something vanished, 5 when a revision cannot be installed or measured.
    """
    usual = DEFAULTS if against is None else AGAINST
    try:
        rules = usual if policy is None else parse_policy(read_text(policy), str(policy), usual)
        if against is None:
            verdict = _compared(results or [], baseline, rules, selection, settings, cross_hardware=cross_hardware)
        else:
            if given := [*(results or ()), *([baseline] if baseline else [])]:
                said = ", ".join(map(str, given))
                raise SelectionError(f"--against {against} measures both sides itself, it takes no results: {said}")
            verdict = _in_turns(against, minutes, rules, selection, settings)
    except BenchError as error:
        reason = str(error)
        _write(junit, lambda: forms.junit_refusal(reason))
        raise
    _write(json_file, lambda: json.dumps(verdict.to_json(), indent=1, allow_nan=False) + "\n")
    _write(summary, lambda: markdown(verdict))
    _write(junit, lambda: forms.junit(verdict))
    _write(bencher, lambda: forms.bencher(verdict))
    _print(verdict, annotate=annotate)
    return EXIT[verdict.outcome]


def _print(verdict: Verdict, *, annotate: bool) -> None:
    print_table(HEADER, table(verdict.ordered()), numeric=HEADER[3:6], kept=("row", "quantity", "change"))
    for line in forms.workflow_commands(verdict) if annotate else ():
        print(line)
    for note in verdict.notes:
        print_note(note)
    print_text(verdict.summary)


def _write(path: Path | None, text: Callable[[], str]) -> None:
    if path is not None:
        write_atomic(path, text().encode())


def _compared(
    results: Sequence[Path], baseline: Path | None, rules: Policy, selection: Selection, settings: Settings, *,
    cross_hardware: bool,
) -> Verdict:  # fmt: skip
    *before, candidate = results or (Path(),)
    if not results or len(before) + (baseline is not None) != 1:
        given = " and ".join(map(str, [*before, *([baseline] if baseline else [])])) or "nothing"
        raise SelectionError(
            f"compared with {given}; give `bench gate BASE RESULTS`, RESULTS and one --baseline FILE, or --against REF"
        )
    usual, _ = gather({})
    if replace(selection, device=usual.device) != usual:
        raise SelectionError("--models, --dataset and what else says what to measure go with --against REF")
    pinned = read_baseline(baseline or before[0], settings.plugins, settings.without)
    judged = {row.metric for row in pinned.rows} - {""}
    found = read_results(candidate, settings.plugins, settings.without, scores=judged)
    return compare(pinned, found, rules, cross_hardware=cross_hardware)


def _in_turns(ref: str, minutes: float, rules: Policy, selection: Selection, settings: Settings) -> Verdict:
    from bench.studies.gate.run import gate_revisions

    with resumable(settings.out) as progress:
        return gate_revisions(selection, settings, ref, rules, minutes, progress)
