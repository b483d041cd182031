"""``bench sweep``: one or several training settings at several values, and how much they matter."""

from __future__ import annotations

import re
import sys
from typing import Annotated, Any

import typer

from bench.cli.common import CELL_FAILED, OK, print_json, print_note, print_table, print_text, room
from bench.cli.formats import parse_formats, write_board
from bench.cli.options import with_run_options
from bench.cli.plan import show as show_plan
from bench.cli.study import as_text, deliver, resumable
from bench.cli.values import choice
from bench.config.selection import Selection
from bench.config.settings import Settings
from bench.plugins.discovery import load
from bench.reports.terminal import text
from bench.results.writing import plain
from bench.studies.common import why
from bench.studies.sweep.nested import run_nested, search_runner
from bench.studies.sweep.nested_render import best_recipe, nested_sentences
from bench.studies.sweep.plot import COLOURS, draw, draw_together
from bench.studies.sweep.render import header, markdown, sentences, table_csv, table_rows
from bench.studies.sweep.run import run_sweep, sweep_runner

Select = Annotated[
    str | None,
    typer.Option(
        "--select",
        metavar="inner",
        help="Choose the value for each test fold inside its training folds, for a board without selection on test.",
    ),
]
Dry = Annotated[bool, typer.Option("--dry", help="Show the cells and what they cost; train nothing.")]


@with_run_options()
def main(selection: Selection, settings: Settings, *, as_json: bool, select: Select = None, dry: Dry = False) -> int:
    """Train at several values of a setting and say how much it matters.

    Give a setting several values, e.g. --set recipe.lr=1e-5,1e-4,1e-3; a second list makes a grid. Every value is
    trained on the same folds and seeds; speed is not profiled. A rate that diverges is a point, not a failure.
    --select inner chooses a value for each test fold on the fold after it, trained on the others, and says what the
    choice costs; the board holds the chosen values alone. It keeps no checkpoints.
    """
    nested = select is not None and choice(select, "--select", ("inner",)) == "inner"
    with resumable(settings.out) as progress:
        if dry:
            *_, runner = (search_runner if nested else sweep_runner)(selection, settings, progress)
            plan = runner.plan()
            print_json(plan.to_json(runner.slots)) if as_json else show_plan(plan, runner.slots)
            return OK
        if nested:
            study, result = run_nested(selection, settings, progress)
        else:
            study, result = run_sweep(selection, settings, progress), None
    found = plain(study.to_json())
    also = []
    if result is not None:
        registry = load(settings.plugins, without=settings.without).registry
        also = write_board(result.board, registry, parse_formats(None, registry, "run"), settings.out)
        if not as_json:
            print(text(result.board, room()))
    deliver(found, sweep_files(found), settings.out, lambda: _show(found), as_json=as_json, also=also)
    if study.reused:
        print_note(f"{study.reused} cells were trained before; give another --out to train them afresh")
    for record in study.failed:
        print(f"{record.status}: {record.cell.id}: {why(record)}", file=sys.stderr)
    return CELL_FAILED if study.failed else OK


def sweep_files(found: dict[str, Any]) -> dict[str, str | bytes]:
    """Drawings, page, table and JSON, in this order."""
    files: dict[str, str | bytes] = {}
    pictures = {}
    for place, curve in enumerate(found["curves"]):
        name = _name(curve, found["curves"][:place])
        files |= {f"{name}.{kind}": content for kind, content in draw(curve, found["keys"]).items()}
        pictures[place] = f"{name}.svg"
        files |= {f"{name}.toml": best} if (best := best_recipe(found, curve)) else {}
    overviews = {}
    for dataset, curves in _together(found).items():
        files |= {
            f"sweep-{dataset}.{kind}": content for kind, content in draw_together(curves, found["keys"][0]).items()
        }
        overviews[dataset] = f"sweep-{dataset}.svg"
    return files | {
        "sweep.md": markdown(found, pictures, overviews), "sweep.csv": table_csv(found), "sweep.json": as_text(found),
    }  # fmt: skip


def _together(found: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Curves of several models along one key that one drawing can hold, by data set."""
    if len(found["keys"]) > 1:
        return {}
    grouped: dict[str, list[dict[str, Any]]] = {}
    for curve in found["curves"]:
        grouped.setdefault(curve["dataset"], []).append(curve)
    kept = {name: same for name, same in grouped.items() if 1 < len(same) <= len(COLOURS)}
    return {name: same for name, same in kept.items() if len({curve["metric"] for curve in same}) == 1}


def _name(curve: dict[str, Any], before: list[dict[str, Any]]) -> str:
    """A file name without blanks, unique among the curves."""
    same = sum((other["dataset"], other["label"]) == (curve["dataset"], curve["label"]) for other in before)
    words = re.sub(r"[^\w.+-]+", "-", f"sweep-{curve['dataset']}-{curve['label']}")
    return f"{words}-{same + 1}" if same else words


def _show(found: dict[str, Any]) -> None:
    for one in found["nested"]:
        print_text("\n".join(nested_sentences(one)))
        print()
    for curve in found["curves"]:
        label = curve["selection"]["label"]
        print_text(f"{curve['label']} on {curve['title'] or curve['dataset']}{f': {label}' if label else ''}")
        titles = header(found, curve)
        print_table(titles, table_rows(found, curve), numeric=titles[: len(found["keys"]) + 1])
        print()
        print_text("\n".join(sentences(found, curve)))
        print()
