"""``bench profile``: one model's speed and memory over batch sizes, its stages, and traces."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.cli import options as opt
from bench.cli.common import CELL_FAILED, OK, plain, print_error, print_json, print_note, print_table
from bench.cli.flags import AsJson, LeftOut, PluginFiles
from bench.cli.progress import open_progress
from bench.config.selection import Selection
from bench.config.settings import Settings
from bench.errors import BenchError
from bench.results.store import write_atomic
from bench.studies.profile.max_batch_size import search_largest
from bench.studies.profile.render import HEADER, markdown, notes, operators_markdown, stage_rows, table_rows
from bench.studies.profile.run import Sweep, run_sweep
from bench.studies.profile.traces import take_traces

INTERRUPTED = 130
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
    as_json: AsJson = False,
    plugin: PluginFiles = None,
    no_plugin: LeftOut = None,
) -> int:
    """Measure one model over batch sizes: speed, memory, stages, FLOPs, and traces.

    Every batch size is measured alone on the machine in a fresh process; an existing run folder is resumed.
    """
    sizes = opt.numbers(batch, "--batch")
    selection = Selection(
        models=(model,), datasets=(dataset,), data=data, frontend=frontend, mode=mode, weights=weights,
        inputs=inputs,
        feeding=None if feeding is None else opt.choice(feeding, "--feeding", ("fly", "precomputed")), recipe=recipe,
        overrides=opt.settings_of(overrides, compiled=compiled), device=opt.device(device),
        precision=opt.choice(precision, "--precision", ("fp32", "bf16")), evaluate=False,
    )  # fmt: skip
    settings = Settings(
        out=out, timeout_s=None if timeout is None else opt.seconds(timeout), plugins=tuple(plugin or ()),
        without=tuple(no_plugin or ()),
    )  # fmt: skip
    try:
        with open_progress() as progress:
            sweep = run_sweep(selection, sizes, settings, progress, processes=processes)
            if largest:
                sweep = search_largest(selection, sweep, settings, progress)
        traces, problem = _trace(sweep, selection, settings) if trace else (None, None)
    except KeyboardInterrupt:
        print_note(f"stopped; finished cells are in {out}, the same command runs the rest")
        return INTERRUPTED
    _tell(sweep, traces, out, as_json=as_json)
    if problem is not None:
        print_error(problem)
    return CELL_FAILED if sweep.failed or problem is not None else OK


def _trace(sweep: Sweep, selection: Selection, settings: Settings) -> tuple[dict[str, Any] | None, str | None]:
    """Traces at the knee of inference, else at the smallest batch that was measured; or why there are none."""
    measured = [row.batch for row in sweep.rows if set(row.statuses) == {"ok"}]
    if not measured:
        return None, "no trace: no batch size has a result"
    knee = sweep.knees["infer"]
    batch = measured[0] if isinstance(knee, str) else knee.batch
    try:
        return take_traces(sweep.planned[batch], selection, settings, settings.out / "trace"), None
    except BenchError as error:  # the sweep has its results all the same
        return None, str(error)


def _tell(sweep: Sweep, traces: dict[str, Any] | None, out: Path, *, as_json: bool) -> None:
    found = {**plain(sweep.to_json()), "traces": traces}
    files = {"profile.json": json.dumps(found, indent=1, sort_keys=True) + "\n", "profile.md": markdown(found)}
    if traces is not None:
        files["trace/operators.md"] = operators_markdown(traces)
    for name, text in files.items():
        write_atomic(out / name, text.encode())
    written = [out / name for name in files]
    written += [out / "trace" / part["file"] for part in (traces or {}).values() if part is not None]
    if as_json:
        print_json({**found, "files": [str(path) for path in written]})
    else:
        _show(found, written)
    if sweep.reused:
        print_note(f"{sweep.reused} cells were measured before; give another --out to measure them afresh")


def _show(found: dict[str, Any], written: list[Path]) -> None:
    print_table(HEADER, table_rows(found), numeric=HEADER[:-1])
    if found["details"]:
        batch, details = list(found["details"].items())[-1]
        if rows := stage_rows(details):
            print(f"\nstages at batch {batch}")
            print_table(("phase", "stage", "ms", "share"), rows, numeric=("ms",))
    print()
    for note in notes(found):
        print(note)
    for path in written:
        print(f"wrote {path}")
