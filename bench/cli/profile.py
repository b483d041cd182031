"""``bench profile``: one model's speed and memory over batch sizes, its stages, and traces."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bench.cli import options as opt
from bench.cli.common import CELL_FAILED, OK, print_error, print_note, print_table
from bench.cli.flags import AsJson, LeftOut, PluginFiles
from bench.cli.study import as_text, deliver, resumable
from bench.config.selection import Selection
from bench.config.settings import Settings
from bench.errors import BenchError
from bench.studies.profile.max_batch_size import search_largest
from bench.studies.profile.render import (
    STAGE_HEADER,
    header,
    markdown,
    notes,
    operators_markdown,
    stage_rows,
    table_rows,
)
from bench.studies.profile.run import ProfileStudy, run_batches
from bench.studies.profile.traces import take_traces

DEFAULT_OUT = Path("results") / "profile"

Model = Annotated[str, typer.Argument(metavar="MODEL", help="One model; `bench list models`.")]
Dataset = Annotated[
    str, typer.Option("--dataset", metavar="NAME", help="Where clips come from; `bench list datasets`.")
]
Batches = Annotated[str, typer.Option("--batch", metavar="1,2,4,...", help="Batch sizes, one cell each.")]
Processes = Annotated[int, typer.Option("--processes", min=1, help="Fresh processes per batch; 8 give an interval.")]
WithTrace = Annotated[bool, typer.Option("--trace", help="Also write Chrome traces and tables of the top operators.")]
Largest = Annotated[bool, typer.Option("--largest", help="Also bisect the largest batch that fits (CUDA only).")]


def main(  # noqa: PLR0913  one parameter per option
    model: Model,
    *,
    dataset: Dataset = "demo",
    data: opt.Data = None,
    batch: Batches = "1,2,4,8,16",
    processes: Processes = 1,
    mode: opt.ModeName = None,
    weights: opt.WeightsName = None,
    inputs: opt.InputsName = None,
    frontend: opt.FrontendName = None,
    feeding: opt.FeedingName = None,
    recipe: opt.RecipeName = None,
    overrides: opt.Overrides = None,
    device: opt.Device = "auto",
    precision: opt.Precision = "fp32",
    compiled: opt.Compile = False,
    trace: WithTrace = False,
    largest: Largest = False,
    out: opt.Out = DEFAULT_OUT,
    timeout: opt.Timeout = None,
    launcher: opt.LauncherName = "",
    as_json: AsJson = False,
    plugin: PluginFiles = None,
    no_plugin: LeftOut = None,
) -> int:
    """Measure one model over batch sizes: speed, memory, stages, FLOPs, and traces.

    Every batch size is measured alone on the machine in a fresh process; an existing run folder is resumed.
    """
    given = {**locals(), "models": model, "evaluate": False}
    selection, settings = opt.gather(given)
    with resumable(out) as progress:
        study = run_batches(selection, opt.numbers(batch, "--batch"), settings, progress, processes=processes)
        if largest:
            study = search_largest(selection, study, settings, progress)
        traces, problem = _trace(study, selection, settings) if trace else (None, None)
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
    print()
    for note in notes(found):
        print(note)
