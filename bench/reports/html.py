"""The board as one self-contained page: no request leaves it, the same bytes for the same records."""

from __future__ import annotations

import importlib.resources
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench.reports import learned, plots, words
from bench.reports.columns import reference_rows
from bench.reports.formats import PUBLISHED_TITLES, context, published_cells
from bench.reports.layout import Board, Hardware, Row, Section, Speed

GROUPS = {
    "accuracy": "Accuracy",
    "cells": "Cells",
    "model": "Model",
    "speed": "Speed and memory",
    "scores": "Other scores",
}
"""Column groups that can be switched, in the order of the table."""


PICTURES = (
    (
        "Accuracy by cell",
        "Dots are folds and seeds, the mark is their mean with its 95 % interval; grey marks are not ranked; the "
        "dotted line is the commonest class.",
        plots.accuracy_plot,
    ),
    (
        "Cost against accuracy",
        "Red points are on the Pareto front: no other row is better in both.",
        plots.cost_plot,
    ),
    (
        "Learning curves",
        "Training loss, one line per fold (mean over seeds); blue is validation accuracy where the protocol has it.",
        plots.curve_plot,
    ),
    ("Recall by class", "Hardest class first.", plots.recall_plot),
    (
        "Embeddings",
        "t-SNE of the test clips of one cell, coloured by class. Figures are of k-means on the embeddings themselves, "
        "with as many clusters as classes: mean and standard deviation over cells.",
        learned.embedding_maps,
    ),
    (
        "Pre-training",
        "Loss of masked pre-training on the training clips, one line per cell.",
        learned.pretraining_plot,
    ),
    (
        "What pre-training guessed",
        "Training clips: whole, what the network saw, and its guess of the hidden patches (each patch's own mean and "
        "spread are given to it, as the loss does).",
        learned.reconstruction_pictures,
    ),
)
"""Title, explanation and maker of each picture; the titles' first letters tell their ids apart."""


@dataclass(frozen=True, slots=True)
class Field:
    """One column of the page.

    Attributes:
        title: Its header.
        group: Key of :data:`GROUPS`.
        text: What stands in a cell.
        order: What it is sorted by; ``None`` is last either way.
        numeric: Whether it is aligned on the right.
        note: Longer words for the header.
    """

    title: str
    group: str
    text: Callable[[Row], str]
    order: Callable[[Row], float | str | None]
    numeric: bool = True
    note: str = ""


def render(board: Board) -> str:
    """The page.

    Args:
        board: See :func:`bench.reports.board.build_board`.

    Returns:
        One HTML document with its styles, script and pictures inside.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(_asset("board.html.j2"))
    page = template.render(
        style=_asset("board.css"),
        script=_asset("board.js"),
        sections=[_section(section, index, board) for index, section in enumerate(board.sections)],
        board=board,
        groups=GROUPS,
        machines=sorted({item.label for section in board.sections for item in section.hardware}),
        plural=words.plural,
    )
    return "\n".join(line.rstrip() for line in page.splitlines() if line.strip()) + "\n"


def _asset(name: str) -> str:
    return (importlib.resources.files("bench.reports") / "templates" / name).read_text(encoding="utf-8")


def fields(section: Section) -> list[Field]:
    """The columns of a section behind rank, tie and model."""
    unit = ", %" if section.primary == "accuracy" else ""
    shown = [
        Field(f"{section.primary}{unit}", "accuracy", _primary(section.primary), lambda row: row.primary),
        Field("95 % interval", "accuracy", lambda row: words.between(row.interval), _low, note="see the note below"),
        Field("folds x seeds", "cells", words.done, lambda row: row.cells_done, note="done of planned"),
        Field("parameters", "model", lambda row: words.count(row.model.parameters), lambda row: row.model.parameters),
    ]
    if any(words.inputs(row) != "audio" for row in section.rows):
        shown.append(Field("inputs", "model", words.inputs, words.inputs, numeric=False))
    shown += [_axis(name) for name in words.varying(section)]
    if section.hardware:
        shown += _speed_fields(section.hardware[0])
    shown.append(Field("status", "cells", words.status, words.status, numeric=False))
    names = dict.fromkeys(score.name for row in section.rows for score in row.scores)
    return shown + [_score(name) for name in names]


def _primary(name: str) -> Callable[[Row], str]:
    if name == "accuracy":
        return lambda row: words.percent(row.primary)
    return lambda row: words.significant(row.primary)


def _low(row: Row) -> float | None:
    return row.interval.low if row.interval else None


def _axis(name: str) -> Field:
    title = {"frontend": "front end", "clip_samples": "clip samples"}.get(name, name)

    def value(row: Row) -> str:
        return str(getattr(row.key, name))

    return Field(title, "model", value, value, numeric=False)


def _speed_fields(hardware: Hardware) -> list[Field]:
    def field(title: str, value: Callable[[Speed], float | None], show: Callable[[float | None], str]) -> Field:
        def number(row: Row) -> float | None:
            speed = row.speed(hardware.key)
            return None if speed is None else value(speed)

        return Field(title, "speed", lambda row: show(number(row)), number, note=hardware.label)

    cuda = hardware.device == "cuda"
    return [
        field("train clips/s", lambda speed: speed.train_clips_per_s, words.significant),
        field("infer clips/s", lambda speed: speed.infer_clips_per_s, words.significant),
        field("latency, ms", lambda speed: speed.latency_s, words.milliseconds),
        field(
            f"peak {'device' if cuda else 'host'} MiB",
            lambda speed: speed.device_peak_mib if cuda else speed.host_peak_mib,
            lambda value: words.UNKNOWN if value is None else f"{value:.0f}",
        ),
    ]


def _score(name: str) -> Field:
    def text(row: Row) -> str:
        found = next((score for score in row.scores if score.name == name), None)
        if found is None or found.value is None:
            return words.UNKNOWN
        return words.percent(found.value) + " %" if found.unit == "fraction" else words.significant(found.value)

    return Field(name.replace("_", " "), "scores", text, lambda row: row.score(name))


def _section(section: Section, index: int, board: Board) -> dict[str, Any]:
    shown = fields(section)
    prefix = f"s{index}"
    pictures = [(title, text, plot(section, f"{prefix}{title[:1]}")) for title, text, plot in PICTURES]
    low = [row.interval.low for row in section.rows if row.interval]
    return {
        "id": prefix,
        "section": section,
        "notes": words.section_notes(section),
        "name": _name(section, board),
        "context": context(section),
        "fields": shown,
        "rows": [_row(section, row, shown, min(low, default=0.0)) for row in section.rows],
        "references": [(name, words.percent(value)) for name, value in reference_rows(section)],
        "resolution": words.resolution(section),
        "pictures": [picture for picture in pictures if picture[2]],
        "outcomes": [(words.label(row.key), words.outcome(item)) for row in section.rows for item in row.outcomes],
        "published_titles": PUBLISHED_TITLES,
        "published": [published_cells(entry) for entry in board.published if entry.dataset == section.dataset.name],
        "method": next((row.interval.method for row in section.rows if row.interval), ""),
    }


def _name(section: Section, board: Board) -> str:
    """Data set and protocol; numbered where two sections share both."""
    same = [
        one
        for one in board.sections
        if (one.dataset.title, one.protocol.name) == (section.dataset.title, section.protocol.name)
    ]
    number = f" ({same.index(section) + 1})" if len(same) > 1 else ""
    return f"{section.dataset.title}, {section.protocol.name}{number}"


def _row(section: Section, row: Row, shown: list[Field], floor: float) -> dict[str, Any]:
    names = section.dataset.label_names
    span = max(1 - floor, 1e-9)
    bar = None
    if row.interval is not None and row.primary is not None and section.primary == "accuracy":
        low, high = (max(0.0, (end - floor) / span) for end in (row.interval.low, row.interval.high))
        bar = {"low": f"{100 * low:.1f}", "width": f"{100 * max(0.0, high - low):.1f}"}
    recall = sorted((value, name) for name, value in zip(names, row.detail.recall, strict=False) if value is not None)
    return {
        "row": row,
        "name": words.label(row.key),
        "place": words.place(row),
        "tie": "" if row.rank is None else row.rank.tie,
        "cells": [(field, field.text(row), _sort_value(field.order(row))) for field in shown],
        "bar": bar,
        "remarks": words.remarks(row),
        "own": words.own_remarks(section, row),
        "table": _cell_table(row),
        "speeds": [_speed_words(section, speed) for speed in row.speeds],
        "hardest": [(name, words.percent(value)) for value, name in recall[:5]],
        "confused": [(a, b, words.percent(share)) for a, b, share in plots.confused_pairs(row, names)],
        "confusion": plots.confusion_image(row),
        "facts": _facts(row),
        "state": "ranked" if row.rank else "result" if row.primary is not None else "none",
    }


def _sort_value(value: float | str | None) -> str:
    return "" if value is None else f"{value:.10g}" if isinstance(value, int | float) else value


def _cell_table(row: Row) -> dict[str, Any]:
    """Accuracy by fold and seed."""
    seeds = sorted({cell.seed for cell in row.cells})
    folds = sorted({cell.fold for cell in row.cells} | set(row.folds_planned)) if row.cells else []
    values = {(cell.fold, cell.seed): words.percent(cell.value) for cell in row.cells}
    return {
        "seeds": seeds,
        "folds": [(fold, [values.get((fold, seed), words.UNKNOWN) for seed in seeds]) for fold in folds],
    }


def _speed_words(section: Section, speed: Speed) -> str:
    label = next((item.label for item in section.hardware if item.key == speed.hardware), speed.hardware)
    spread = (
        "" if speed.latency_mad_s is None else f" (median absolute deviation {words.milliseconds(speed.latency_mad_s)})"
    )
    return (
        f"{label}: training {words.significant(speed.train_clips_per_s)} clips/s, inference "
        f"{words.significant(speed.infer_clips_per_s)} clips/s at batch {speed.infer_batch or words.UNKNOWN}, latency "
        f"{words.milliseconds(speed.latency_s)} ms{spread}{', unsteady' if speed.unsteady else ''}, peak host "
        f"{words.significant(speed.host_peak_mib, 4)} MiB, peak device "
        f"{words.significant(speed.device_peak_mib, 4)} MiB"
    )


def _facts(row: Row) -> list[tuple[str, str]]:
    key, model = row.key, row.model
    pairs = [
        ("mode", key.mode),
        ("started from", "" if key.weights == "random" else key.weights),
        ("front end", f"{key.frontend}, {'computed per batch' if key.feeding == 'fly' else key.feeding}"),
        ("recipe", key.recipe),
        ("precision", key.precision),
        ("parameters", "" if model.parameters is None else f"{model.parameters:,}"),
        ("of the front end", f"{model.frontend_parameters:,}" if model.frontend_parameters else ""),
        ("interval", row.interval.method if row.interval else ""),
        ("given by", model.plugin),
        ("follows", model.source),
        ("licence", model.license),
        ("ran on", ", ".join(row.devices)),
        ("provenance", row.provenance if row.primary is not None else ""),
    ]
    return [(name, value) for name, value in pairs if value]
