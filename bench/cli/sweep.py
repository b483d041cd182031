"""``bench sweep``: one or several training settings at several values, and how much they matter."""

from __future__ import annotations

import re
import sys
from typing import Any

from bench.cli.common import CELL_FAILED, OK, plain, print_note, print_table
from bench.cli.options import with_run_options
from bench.cli.study import as_text, deliver, resumable
from bench.config.selection import Selection
from bench.config.settings import Settings
from bench.studies.common import why
from bench.studies.sweep.plot import draw
from bench.studies.sweep.render import header, markdown, sentences, table_csv, table_rows
from bench.studies.sweep.run import run_sweep


@with_run_options()
def main(selection: Selection, settings: Settings, *, as_json: bool) -> int:
    """Train at several values of a setting and say how much it matters.

    Give a setting several values, e.g. --set recipe.lr=1e-5,1e-4,1e-3; a second list makes a grid. Every value is
    trained on the same folds and seeds; speed is not profiled. A rate that diverges is a point, not a failure.
    """
    with resumable(settings.out) as progress:
        study = run_sweep(selection, settings, progress)
    found = plain(study.to_json())
    deliver(found, _files(found), settings.out, lambda: _show(found), as_json=as_json)
    if study.reused:
        print_note(f"{study.reused} cells were trained before; give another --out to train them afresh")
    for record in study.failed:
        print(f"{record.status}: {record.cell.id}: {why(record)}", file=sys.stderr)
    return CELL_FAILED if study.failed else OK


def _files(found: dict[str, Any]) -> dict[str, str | bytes]:
    """Drawings, page, table and JSON, in this order."""
    files: dict[str, str | bytes] = {}
    pictures = {}
    for place, curve in enumerate(found["curves"]):
        name = _name(curve, found["curves"][:place])
        files |= {f"{name}.{kind}": content for kind, content in draw(curve, found["keys"]).items()}
        pictures[place] = f"{name}.svg"
    return files | {
        "sweep.md": markdown(found, pictures), "sweep.csv": table_csv(found), "sweep.json": as_text(found),
    }  # fmt: skip


def _name(curve: dict[str, Any], before: list[dict[str, Any]]) -> str:
    """A file name without blanks, unique among the curves."""
    same = sum((other["dataset"], other["label"]) == (curve["dataset"], curve["label"]) for other in before)
    words = re.sub(r"[^\w.+-]+", "-", f"sweep-{curve['dataset']}-{curve['label']}")
    return f"{words}-{same + 1}" if same else words


def _show(found: dict[str, Any]) -> None:
    for curve in found["curves"]:
        label = curve["selection"]["label"]
        print(f"{curve['label']} on {curve['title'] or curve['dataset']}{f': {label}' if label else ''}")
        titles = header(found, curve)
        print_table(titles, table_rows(found, curve), numeric=titles[: len(found["keys"]) + 1])
        print()
        for text in sentences(found, curve):
            print(text)
        print()
