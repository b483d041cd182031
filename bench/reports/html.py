"""The board as one self-contained page: no request leaves it, the same bytes for the same records."""

from __future__ import annotations

import importlib.resources
import re
from typing import Any

from bench import escaping
from bench.analysis import phrases
from bench.analysis.model import Board, Row, Section
from bench.reports import curves, formatting, plots, representation_plots
from bench.reports.columns import GROUPS, Column, outcomes, page_columns, reference_rows
from bench.reports.formats import PUBLISHED_TITLES, beside, context, published_cells
from bench.reports.headline import headline
from bench.results.quantities import OF_SPEED, Speed

PICTURES = (
    (
        "Score by cell",
        "Dots are folds and seeds, the mark is their mean with its 95 % interval (below three seeds over clips only); "
        "pale dots are folds that the mean leaves out, grey marks are not ranked; the dotted line is the majority "
        "class, where it is in sight.",
        plots.score_plot,
    ),
    (
        "Cost against score",
        "Red points are on the Pareto front of the values as measured, significant or not: no row is ahead in both.",
        plots.cost_plot,
    ),
    (
        "Learning curves",
        "Training loss, one line per fold (mean over seeds); blue is the score on validation where there is one.",
        curves.curve_plot,
    ),
    (
        "Time to score",
        "Score on validation against seconds of training, one line per fold (mean over seeds); only where the "
        "protocol has a validation part.",
        curves.time_plot,
    ),
    ("Recall by class", "Hardest class first.", plots.recall_plot),
    (
        "Embeddings",
        "t-SNE of the test clips of one cell, coloured by class. Figures are of k-means on the embeddings themselves, "
        "with as many clusters as classes: mean and standard deviation over cells.",
        representation_plots.embedding_maps,
    ),
    ("Pre-training", "Loss of masked pre-training on the training clips, one line per cell.", curves.pretraining_plot),
    (
        "What pre-training guessed",
        "Training clips: whole, what the network saw, and its guess of the hidden patches (each patch's own mean and "
        "spread are given to it, as the loss does).",
        representation_plots.reconstruction_pictures,
    ),
)
"""Title, explanation and maker of each picture; the titles' first letters tell their ids apart."""


def render(board: Board) -> str:
    """The page: one HTML document with its styles, script and pictures inside."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_visible
    )  # fmt: skip
    template = environment.from_string(_asset("board.html.j2"))
    page = template.render(
        style=_asset("board.css"),
        script=_asset("board.js"),
        sections=[_section(section, index, board) for index, section in enumerate(board.sections)],
        board=board,
        groups={
            key: title
            for key, title in GROUPS.items()
            if any(one.group == key for section in board.sections for one in page_columns(section))
        },
        machines=sorted({item.label for section in board.sections for item in section.hardware}),
        extra=board.extra,
        plural=phrases.plural,
    )
    return "\n".join(line.rstrip() for line in page.splitlines() if line.strip()) + "\n"


def _visible(value: object) -> object:
    """What the template puts out: texts from outside without control characters; the page's own parts as they are."""
    return escaping.terminal(value, keep="\n\t") if type(value) is str else value


def _asset(name: str) -> str:
    return (importlib.resources.files("bench.reports") / "templates" / name).read_text(encoding="utf-8")


def _section(section: Section, index: int, board: Board) -> dict[str, Any]:
    shown = page_columns(section)
    prefix = f"s{index}"
    pictures = [(title, text, plot(section, f"{prefix}{title[:1]}")) for title, text, plot in PICTURES]
    low = [row.interval.low for row in section.rows if row.interval]
    return {
        "id": prefix,
        "section": section,
        "notes": formatting.section_notes(section),
        "name": _name(section, board),
        "context": context(section),
        "columns": shown,
        "rows": [
            {**_row(section, row, shown, min(low, default=0.0)), "own": own}
            for row, own in zip(section.rows, formatting.own_remarks(section), strict=True)
        ],
        "references": [(name, formatting.score(value, section.primary)) for name, value in reference_rows(section)],
        "headline": headline(section),
        "resolution": formatting.resolution(section),
        "pictures": [picture for picture in pictures if picture[2]],
        "outcomes": outcomes(section),
        "published_titles": PUBLISHED_TITLES,
        "published": [published_cells(entry) for entry in beside(section, board.published)],
        "ranked": any(row.rank for row in section.rows),
        "evaluated": formatting.evaluated(section),
        "unit": formatting.unit(section.primary).strip(),
    }


def _name(section: Section, board: Board) -> str:
    """Data set and protocol; numbered where two sections share both."""
    name = f"{section.dataset.title}, {section.protocol.name}"
    same = [one for one in board.sections if f"{one.dataset.title}, {one.protocol.name}" == name]
    return f"{name} ({same.index(section) + 1})" if len(same) > 1 else name


def _row(section: Section, row: Row, shown: list[Column], floor: float) -> dict[str, Any]:
    names = section.dataset.label_names
    span = max(1 - floor, 1e-9)
    bar = None
    if row.interval is not None and section.primary.unit == "fraction":
        low, high = (max(0.0, (end - floor) / span) for end in (row.interval.low, row.interval.high))
        bar = {"low": f"{100 * low:.1f}", "width": f"{100 * max(0.0, high - low):.1f}"}
    recall = sorted((value, name) for name, value in zip(names, row.detail.recall, strict=False) if value is not None)
    return {
        "row": row,
        "name": formatting.label(row.key),
        "pieces": re.findall(r"[^._]*[._]?", formatting.label(row.key))[:-1],
        "place": formatting.place(row),
        "tie": row.rank.tie if row.rank and formatting.lettered(section) else "",
        "cells": [
            (column, column.text(row), _sort_value(column.order(row) if column.order else column.text(row)))
            for column in shown
        ],
        "bar": bar,
        "remarks": formatting.remarks(row),
        "table": cell_table(row),
        "speeds": [speed_words(section, speed) for speed in row.speeds],
        "hardest": [(name, formatting.percent(value)) for value, name in recall[:5]],
        "confused": [(a, b, formatting.percent(share)) for a, b, share in plots.confused_pairs(row, names)],
        "confusion": plots.confusion_image(row),
        "facts": facts(row),
        "state": "ranked" if row.rank else "result" if row.value is not None else "none",
    }


def _sort_value(value: float | str | None) -> str:
    return "" if value is None else f"{value:.10g}" if isinstance(value, int | float) else value


def cell_table(row: Row) -> dict[str, Any]:
    """The score by fold and seed."""
    seeds = sorted({cell.seed for cell in row.cells})
    folds = sorted({cell.fold for cell in row.cells} | set(row.folds_planned)) if row.cells else []
    values = {(cell.fold, cell.seed): formatting.score(cell.value, row.primary) for cell in row.cells}
    return {
        "seeds": seeds,
        "folds": [(fold, [values.get((fold, seed), formatting.UNKNOWN) for seed in seeds]) for fold in folds],
    }


def speed_words(section: Section, speed: Speed) -> str:
    """What was measured on one machine, in one line."""
    label = next((item.label for item in section.hardware if item.key == speed.hardware), speed.hardware)
    left = f"not counted: {', '.join(speed.uncounted)}" if speed.uncounted else "every operator counted"
    texts = {one.name: formatting.measured(one, speed.values.get(one.name)) for one in (*OF_SPEED, *speed.added)}
    beside = {
        "infer_clips_per_s": f" at batch {speed.infer_batch or formatting.UNKNOWN}",
        "latency_s": f" (median absolute deviation {texts['latency_mad_s']})" + ", unsteady" * speed.unsteady,
        "flops_per_clip": f" ({left})",
        "joules_per_clip": f", {texts['net_joules_per_clip']} above idle ({speed.energy_source})",
    }
    told = []
    for one in (*OF_SPEED, *speed.added):
        why = next((speed.reasons[key] for key in one.paths[0].split(".")[1:] if key in speed.reasons), "")
        if speed.values.get(one.name) is not None and one.shown != "never":
            told.append(f"{one.title} {texts[one.name]}{beside.get(one.name, '')}")
        elif why and one.shown != "never":
            told.append(f"{one.title} unknown: {why}")
    return f"{label}: {'; '.join(told)}"


def facts(row: Row) -> list[tuple[str, str]]:
    """Names and values for the list beside the row's notes; what is not known is left out."""
    key, model = row.key, row.model
    pairs = [
        ("mode", key.mode),
        ("started from", "" if key.weights == "random" else key.weights),
        ("front end", f"{key.frontend}, {'computed per batch' if key.feeding == 'fly' else key.feeding}"),
        ("recipe", key.recipe),
        ("precision", key.precision),
        ("parameters", "" if model.parameters is None else f"{model.parameters:,}"),
        ("of the front end", f"{model.frontend_parameters:,}" if model.frontend_parameters else ""),
        ("stored weights", formatting.size(model.checkpoint_bytes) if model.checkpoint_bytes else ""),
        ("interval", row.interval.method if row.interval else ""),
        ("given by", model.plugin),
        ("follows", model.source),
        ("licence", model.license),
        ("ran on", ", ".join(row.devices)),
        ("provenance", row.provenance if row.value is not None else ""),
    ]
    return [(name, value) for name, value in pairs if value]
