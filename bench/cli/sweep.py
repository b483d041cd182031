"""``bench sweep``: one or several training settings at several values, and how much they matter."""

from __future__ import annotations

import json
import re
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from bench.cli.common import CELL_FAILED, OK, plain, print_json, print_note, print_table
from bench.cli.options import with_run_options
from bench.cli.progress import open_progress
from bench.config.selection import Selection
from bench.config.settings import Settings
from bench.results.store import write_atomic
from bench.studies.sweep.plot import draw
from bench.studies.sweep.render import header, markdown, sentences, table_csv, table_rows
from bench.studies.sweep.run import Tuning, run_tuning

INTERRUPTED = 130


@with_run_options
def main(selection: Selection, settings: Settings, *, as_json: bool) -> int:
    """Train at several values of a setting and say how much it matters.

    Give a setting several values, e.g. --set recipe.lr=1e-5,1e-4,1e-3; a second list makes a grid. Every value is
    trained on the same folds and seeds; speed is not profiled. A rate that diverges is a point, not a failure.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with open_progress() as progress:
            tuning = run_tuning(selection, settings, progress)
    except KeyboardInterrupt:
        print_note(f"stopped; finished cells are in {settings.out}, the same command runs the rest")
        return INTERRUPTED
    _tell(tuning, settings.out, as_json=as_json)
    for record in tuning.failed:
        why = record.error.message if record.error else ""
        print(f"{record.status}: {record.cell.id}: {why}", file=sys.stderr)
    return CELL_FAILED if tuning.failed else OK


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _tell(tuning: Tuning, out: Path, *, as_json: bool) -> None:
    found = plain(tuning.to_json())
    written = _write(found, out)
    if as_json:
        print_json({**found, "files": [str(path) for path in written]})
    else:
        _show(found, written)
    if tuning.reused:
        print_note(f"{tuning.reused} cells were trained before; give another --out to train them afresh")


def _write(found: dict[str, Any], out: Path) -> list[Path]:
    """Drawings, page, table and JSON, in this order."""
    files: dict[str, bytes] = {}
    pictures = {}
    for place, curve in enumerate(found["curves"]):
        name = _name(curve, found["curves"][:place])
        files |= {f"{name}.{kind}": content for kind, content in draw(curve, found["keys"]).items()}
        pictures[place] = f"{name}.svg"
    files["sweep.md"] = markdown(found, pictures).encode()
    files["sweep.csv"] = table_csv(found).encode()
    files["sweep.json"] = (json.dumps(found, indent=1, sort_keys=True) + "\n").encode()
    for name, content in files.items():
        write_atomic(out / name, content)
    return [out / name for name in files]


def _name(curve: dict[str, Any], before: list[dict[str, Any]]) -> str:
    """A file name without blanks, unique among the curves."""
    same = sum((other["dataset"], other["label"]) == (curve["dataset"], curve["label"]) for other in before)
    words = re.sub(r"[^\w.+-]+", "-", f"sweep-{curve['dataset']}-{curve['label']}")
    return f"{words}-{same + 1}" if same else words


def _show(found: dict[str, Any], written: list[Path]) -> None:
    for curve in found["curves"]:
        label = curve["selection"]["label"]
        print(f"{curve['label']} on {curve['title'] or curve['dataset']}{f': {label}' if label else ''}")
        titles = header(found, curve)
        print_table(titles, table_rows(found, curve), numeric=titles[: len(found["keys"]) + 1])
        print()
        for text in sentences(found, curve):
            print(text)
        print()
    for path in written:
        print(f"wrote {path}")
