"""``bench translate``: one encoder's embeddings by the rules of other harnesses."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.common import OK, print_note, print_table
from bench.cli.options import REQUIRED, with_run_options
from bench.cli.study import as_text, deliver, resumable
from bench.cli.values import names
from bench.config.selection import Selection
from bench.config.settings import Settings
from bench.results.writing import plain
from bench.studies.translate.render import HEADER, KEPT, NOTES, NUMERIC, markdown, table_rows
from bench.studies.translate.run import NAMES, chosen_rules, run_translation

ALL = ",".join(NAMES)

Encoder = Annotated[str, typer.Argument(metavar="ENCODER", help="A model with embeddings, or files: hf:FOLDER.")]
Rules = Annotated[str, typer.Option("--rules", metavar="NAME,...", help="Rules to score by.")]


@with_run_options(
    without=(
        "models", "protocol", "folds", "seeds", "mode", "inputs", "feeding", "compiled", "timeout", "limit", "jobs",
        "stack", "launcher", "observer", "profile", "processes", "counters", "nproc", "evaluate", "keep_checkpoints",
        "adopt",
    ),
    model=("encoder", Encoder, REQUIRED), dataset="esc50", out=Path("results") / "translate",
)  # fmt: skip
def main(selection: Selection, settings: Settings, *, rules: Rules = ALL, as_json: bool) -> int:
    """Score the same embeddings as mteb, X-ARES, AST's script, HEAR and the clean protocol do.

    Every clip is embedded once, or read from the embedding cache. What a rule does otherwise is done one thing after
    another, so that the table shows what each adds or takes. One process does it all; HEAR's grid takes minutes.
    What a step said is kept in --out, where the same command goes on.
    """
    chosen = chosen_rules(names(rules, "--rules"))
    with resumable(settings.out) as progress:
        found = plain(run_translation(selection, chosen, settings, progress))
    files: dict[str, str | bytes] = {"translate.json": as_text(found), "translate.md": markdown(found)}

    def show() -> None:
        print_table(HEADER, table_rows(found), numeric=NUMERIC, kept=KEPT)

    deliver(found, files, settings.out, show, as_json=as_json)
    for note in NOTES:
        print_note(note)
    return OK
