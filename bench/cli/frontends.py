"""``bench frontends``: one backbone under each feeding, and what becomes of the claims made for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.common import CELL_FAILED, OK, print_note, print_table
from bench.cli.options import with_run_options
from bench.cli.study import as_text, deliver, resumable
from bench.cli.values import names
from bench.config.selection import Selection
from bench.config.settings import Settings
from bench.results.writing import plain
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
from bench.studies.frontends.run import FLY, FrontendStudy, run_study

ALL = ",".join(FLY)

Model = Annotated[str, typer.Option("--model", metavar="NAME", help="The backbone; `bench list models`.")]
OnTheFly = Annotated[str, typer.Option("--frontends", metavar="NAME,...", help="Front ends to compute on the fly.")]
Train = Annotated[bool, typer.Option("--evaluate", help="Also train frozen and trainable front ends over the seeds.")]


@with_run_options(
    without=(
        "models", "protocol", "mode", "weights", "weights_prefix", "inputs", "frontend", "feeding", "compiled",
        "limit", "profile", "evaluate", "keep_checkpoints", "nproc",
    ),
    model=("model", Model, "meamtm.micro"), dataset="esc10", seeds="0,1,2", out=Path("results") / "frontends",
)  # fmt: skip
def main(
    selection: Selection,
    settings: Settings,
    *,
    frontends: OnTheFly = ALL,
    evaluate: Train = False,
    as_json: bool,
) -> int:
    """Compare features computed on the fly with stored ones, claim by claim.

    Speed and memory come from profile cells, each alone on the machine in a fresh process. How fast data come to the
    model is measured apart, without it.
    """
    chosen = names(frontends, "--frontends")
    brief = replace(settings, keep_checkpoints=False)
    with resumable(settings.out) as progress:
        study = run_study(selection, chosen, brief, progress, evaluate=evaluate, processes=selection.processes)
    _tell(study, settings.out, as_json=as_json)
    return CELL_FAILED if study.failed else OK


def _tell(study: FrontendStudy, out: Path, *, as_json: bool) -> None:
    found = plain(study.found)
    files: dict[str, str | bytes] = {"frontends.json": as_text(found), "frontends.md": markdown(found)}
    drawn = {BARS: bars(found)} | ({SPECTROGRAMS: spectrograms(study.examples)} if study.examples else {})
    files |= {f"{name}.{kind}": drawing[kind] for name, drawing in drawn.items() for kind in ("svg", "png")}

    def show() -> None:
        print_table(ROWS, feeding_rows(found), numeric=ROWS[1:8])
        print()
        print_table(delivery_header(found), delivery_rows(found))
        print()
        print_table(VERDICTS, verdict_rows(found, main=True), kept=("ratio", "verdict"))

    deliver(found, files, out, show, as_json=as_json)
    if found["reused"]:
        print_note(f"{found['reused']} profile cells were measured before; give another --out to measure them afresh")
    if found["measured_before"]:
        print_note("features and their delivery were measured before; give another --out to measure them afresh")
    if not study.examples:
        print_note("no spectrograms: none of these front ends says which frequencies its bins stand for")
