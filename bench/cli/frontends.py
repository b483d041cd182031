"""``bench frontends``: one backbone under each feeding, and what becomes of the claims made for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.cli import options as opt
from bench.cli.common import CELL_FAILED, OK, plain, print_json, print_note, print_table
from bench.cli.flags import AsJson, LeftOut, PluginFiles
from bench.cli.progress import open_progress
from bench.config.selection import Selection
from bench.config.settings import Settings
from bench.results.store import write_atomic
from bench.studies.frontends.plots import bars, spectrograms
from bench.studies.frontends.render import (
    BARS,
    ROWS,
    SPECTROGRAMS,
    VERDICTS,
    delivery_header,
    delivery_rows,
    feeding_rows,
    markdown,
    verdict_rows,
)
from bench.studies.frontends.run import FLY, Study, run_study

INTERRUPTED = 130
DEFAULT_OUT = Path("results") / "frontends"
ALL = ",".join(FLY)

Model = Annotated[str, typer.Option("--model", metavar="NAME", help="The backbone; `bench list models`.")]
Dataset = Annotated[
    str, typer.Option("--dataset", metavar="NAME", help="Where clips come from; `bench list datasets`.")
]
OnTheFly = Annotated[str, typer.Option("--frontends", metavar="NAME,...", help="Front ends to compute on the fly.")]
Train = Annotated[bool, typer.Option("--evaluate", help="Also train frozen and trainable front ends over the seeds.")]
Processes = Annotated[
    int, typer.Option("--processes", min=1, help="Fresh processes per feeding, interleaved; 8 give an interval.")
]


def main(  # noqa: PLR0913  one parameter per option
    *,
    model: Model = "meamtm.micro",
    dataset: Dataset = "esc10",
    data: opt.Data = None,
    frontends: OnTheFly = ALL,
    evaluate: Train = False,
    processes: Processes = 1,
    folds: opt.Folds = None,
    seeds: opt.Seeds = "0,1,2",
    recipe: opt.RecipeName = None,
    overrides: opt.Overrides = None,
    device: opt.Device = "auto",
    precision: opt.Precision = "fp32",
    out: opt.Out = DEFAULT_OUT,
    timeout: opt.Timeout = None,
    jobs: opt.JobsCount = None,
    as_json: AsJson = False,
    plugin: PluginFiles = None,
    no_plugin: LeftOut = None,
) -> int:
    """Compare features computed on the fly with stored ones, claim by claim.

    Speed and memory come from profile cells, each alone on the machine in a fresh process. How fast data come to the
    model is measured apart, without it.
    """
    selection = Selection(
        models=(model,), datasets=(dataset,), data=data, seeds=opt.numbers(seeds, "--seeds"),
        folds=None if folds is None else opt.numbers(folds, "--folds"), recipe=recipe,
        overrides=tuple(overrides or ()), device=opt.device(device),
        precision=opt.choice(precision, "--precision", ("fp32", "bf16")),
    )  # fmt: skip
    settings = Settings(
        out=out, timeout_s=None if timeout is None else opt.seconds(timeout), jobs=jobs, plugins=tuple(plugin or ()),
        without=tuple(no_plugin or ()), keep_checkpoints=False,
    )  # fmt: skip
    chosen = opt.names(frontends, "--frontends")
    try:
        with open_progress() as progress:
            study = run_study(selection, chosen, settings, progress, evaluate=evaluate, processes=processes)
    except KeyboardInterrupt:
        print_note(f"stopped; finished cells are in {out}, the same command runs the rest")
        return INTERRUPTED
    _tell(study, out, as_json=as_json)
    return CELL_FAILED if study.failed else OK


def _tell(study: Study, out: Path, *, as_json: bool) -> None:
    found = plain(study.to_json())
    files = {"frontends.json": json.dumps(found, indent=1) + "\n", "frontends.md": markdown(found)}
    contents = {name: text.encode() for name, text in files.items()} | _pictures(study, found)
    for name, content in contents.items():
        write_atomic(out / name, content)
    written = [out / name for name in contents]
    if as_json:
        print_json({**found, "files": [str(path) for path in written]})
    else:
        print_table(ROWS, feeding_rows(found), numeric=ROWS[1:8])
        print()
        print_table(delivery_header(found), delivery_rows(found))
        print()
        print_table(VERDICTS, verdict_rows(found, main=True))
        for path in written:
            print(f"wrote {path}")
    if study.reused:
        print_note(f"{study.reused} profile cells were measured before; give another --out to measure them afresh")
    if study.measured_before:
        print_note("features and their delivery were measured before; give another --out to measure them afresh")
    if not study.pictures:
        print_note("no spectrograms: none of these front ends says which frequencies its bins stand for")


def _pictures(study: Study, found: Mapping[str, Any]) -> dict[str, bytes]:
    """Files of the pictures by name."""
    drawn = {BARS: bars(found)}
    if study.pictures:
        drawn[SPECTROGRAMS] = spectrograms(study.pictures)
    files: dict[str, bytes] = {}
    for name, drawing in drawn.items():
        files |= {f"{name}.svg": drawing["svg"], f"{name}.png": drawing["png"]}
    return files
