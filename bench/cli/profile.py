"""``bench profile``: one model's speed and memory over batch sizes, its stages, and traces."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.cli.common import CELL_FAILED, OK, print_error, print_note, print_table, print_text
from bench.cli.options import REQUIRED, with_run_options
from bench.cli.study import as_text, deliver, resumable
from bench.cli.values import numbers
from bench.config.selection import Selection
from bench.config.settings import Settings
from bench.errors import BenchError
from bench.studies.profile.render import (
    COUNTER_HEADER,
    STAGE_HEADER,
    counter_rows,
    header,
    markdown,
    notes,
    operators_markdown,
    stage_rows,
    table_rows,
)
from bench.studies.profile.run import ProfileStudy, run_batches, search_largest, take_traces

Model = Annotated[str, typer.Argument(metavar="MODEL", help="One model; `bench list models`.")]
Batches = Annotated[str, typer.Option("--batch", metavar="1,2,4,...", help="Batch sizes, one cell each.")]
WithTrace = Annotated[bool, typer.Option("--trace", help="Also write Chrome traces and tables of the top operators.")]
Largest = Annotated[bool, typer.Option("--largest", help="Also bisect the largest batch that fits (CUDA only).")]


@with_run_options(
    without=(
        "models", "protocol", "folds", "seeds", "limit", "jobs", "stack", "nproc", "profile", "evaluate",
        "keep_checkpoints",
    ),
    model=("model", Model, REQUIRED), out=Path("results") / "profile",
)  # fmt: skip
def main(
    selection: Selection,
    settings: Settings,
    *,
    batch: Batches = "1,2,4,8,16",
    trace: WithTrace = False,
    largest: Largest = False,
    as_json: bool,
) -> int:
    """Measure one model over batch sizes: speed, memory, stages, FLOPs, and traces.

    Every batch size is measured alone on the machine in a fresh process; an existing run folder is resumed.
    """
    asked, out = replace(selection, evaluate=False), settings.out
    sizes, processes = numbers(batch, "--batch"), selection.processes
    with resumable(out) as progress:
        study = run_batches(asked, sizes, settings, progress, processes=processes)
        if largest:
            study = search_largest(asked, study, settings, progress)
        traces, problem = _trace(study, asked, settings) if trace else (None, None)
    found = {**study.to_json(), "traces": traces}
    files = {"profile.json": as_text(found), "profile.md": markdown(found)}
    if traces is not None:
        files["trace/operators.md"] = operators_markdown(traces)
    also = [out / "trace" / part["file"] for part in (traces or {}).values() if part is not None]
    deliver(found, files, out, lambda: _show(found), as_json=as_json, also=also)
    if study.reused:
        print_note(f"{study.reused} cells were measured before; give another --out to measure them afresh")
    if problem is not None:
        print_error(problem)
    return CELL_FAILED if study.failed or problem is not None else OK


def _trace(study: ProfileStudy, selection: Selection, settings: Settings) -> tuple[dict[str, Any] | None, str | None]:
    """Traces at the saturation batch size of inference, or why there are none."""
    if study.chosen is None:
        return None, "no trace: no batch size has a result"
    try:
        return take_traces(study.chosen, selection, settings, settings.out / "trace"), None
    except BenchError as error:  # the study has its results all the same
        return None, str(error)


def _show(found: dict[str, Any]) -> None:
    print_table(header(found), table_rows(found), numeric=header(found)[:-1])
    if found["details"]:
        batch, details = list(found["details"].items())[-1]
        if rows := stage_rows(details):
            print(f"\nstages at batch {batch}")
            print_table(STAGE_HEADER, rows, numeric=("ms",))
        if rows := counter_rows(details):
            print(f"\ncounters of a step at batch {batch}")
            print_table(COUNTER_HEADER, rows, numeric=COUNTER_HEADER[1:])
    print()
    print_text("\n".join(notes(found)))
