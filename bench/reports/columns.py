"""The columns that every table of a board shows: title, text of a row, and on the page group and order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.analysis.model import SUITE, Row, Section
from bench.reports import formatting
from bench.results.quantities import QUANTITIES, Hardware, Quantity

GROUPS = {"score": "Score", "cells": "Cells", "speed": "Speed and memory", "model": "Model", "scores": "Other scores"}
"""Column groups that the page can switch, in the order of its table."""

Value = float | str | None


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    Attributes:
        title: Its header, with the unit.
        text: What stands in it.
        order: What the page sorts it by, ``None`` = its text; a row whose value is ``None`` is last either way.
        group: Key of :data:`GROUPS`; empty where the page has its own form of it.
        numeric: Whether it is aligned on the right.
        note: Longer words for the header.
    """

    title: str
    text: Callable[[Row], str]
    order: Callable[[Row], Value] | None = None
    group: str = ""
    numeric: bool = True
    note: str = ""


RANK = Column("rank", formatting.place)
TIE = Column("tie", formatting.tie, numeric=False)
MODEL = Column("model", lambda row: formatting.label(row.key), numeric=False)
INPUTS = Column("inputs", formatting.inputs, group="model", numeric=False)
STATUS = Column("status", formatting.status, group="cells", numeric=False)
DONE = Column("folds x seeds", formatting.done, lambda row: row.cells_done, "cells", note="done of planned")
PARAMETERS = Column(
    "parameters", lambda row: formatting.count(row.model.parameters), lambda row: row.model.parameters, "model"
)
STORED = Column(
    "stored", lambda row: formatting.size(row.model.checkpoint_bytes), lambda row: row.model.checkpoint_bytes, "speed",
    note="weights as kept on disk",
)  # fmt: skip


def columns(section: Section) -> list[Column]:
    """The columns of one section: axes only where rows differ in them, speed of the first hardware only."""
    shown = [*ranks(section), MODEL, *map(axis_column, formatting.varying(section))]
    if formatting.evaluated(section):
        shown += _score_columns(section)
    shown.append(PARAMETERS)
    if section.hardware:
        shown += speed_columns(section, section.hardware[0])
    if any(row.model.checkpoint_bytes for row in section.rows):
        shown.append(STORED)
    if any(formatting.inputs(row) != "audio" for row in section.rows):
        shown.append(INPUTS)
    return [*shown, STATUS]


def ranks(section: Section) -> list[Column]:
    """Rank and tie, where there can be any."""
    return ([RANK, TIE] if formatting.lettered(section) else [RANK]) if formatting.evaluated(section) else []


def _score_columns(section: Section) -> list[Column]:
    return [
        Column(
            f"{section.primary.name}{formatting.unit(section.primary)}",
            lambda row: formatting.score(row.value, row.primary), lambda row: row.value, "score",
        ),
        Column(
            formatting.interval_title(section), lambda row: formatting.between(row.interval, section.primary),
            lambda row: row.interval.low if row.interval else None, "score", note="see the note below",
        ),
        *beside_score(section),
    ]  # fmt: skip


def beside_score(section: Section) -> list[Column]:
    """What the score is of: cells, or the data sets of a suite."""
    return _scores(section) if section.protocol.name == SUITE else [DONE]


def _scores(section: Section) -> list[Column]:
    return [_score(name) for name in dict.fromkeys(score.name for row in section.rows for score in row.scores)]


def page_columns(section: Section) -> list[Column]:
    """The columns of the page by group, those of the other scores last; rank, tie and model are its own."""
    scores = [] if section.protocol.name == SUITE or not formatting.evaluated(section) else _scores(section)
    groups = list(GROUPS)
    shown = [column for column in (*columns(section), *scores) if column.group]
    return sorted(shown, key=lambda column: groups.index(column.group))


def speed_columns(section: Section, hardware: Hardware) -> list[Column]:
    """Speed, memory and work on one hardware; some only where a row of the section has them."""
    speeds = [speed for row in section.rows if (speed := row.speed(hardware.key)) is not None]
    added = {quantity.name: quantity for speed in speeds for quantity in speed.added}
    known = {name for speed in speeds for name, value in speed.values.items() if value is not None}
    return [
        _measured(quantity, hardware)
        for quantity in (*QUANTITIES, *added.values())
        if quantity.shown == "always" or (quantity.shown == "known" and quantity.name in known)
        if quantity.device in ("", hardware.device)
    ]


def _measured(quantity: Quantity, hardware: Hardware) -> Column:
    def value(row: Row) -> float | None:
        speed = row.speed(hardware.key)
        return None if speed is None else speed.values.get(quantity.name)

    def text(row: Row) -> str:
        speed = row.speed(hardware.key)
        unsteady = " (unsteady)" if quantity.name == "latency_s" and speed and speed.unsteady else ""
        return formatting.measured(quantity, value(row)) + unsteady

    return Column(quantity.title, text, value, "speed", note=hardware.label)


def marks(section: Section) -> dict[int, str]:
    """Row number to the mark of its footnote, for rows that something must be said about."""
    noted = [number for number, own in enumerate(formatting.own_remarks(section)) if own]
    return {number: str(mark) for mark, number in enumerate(noted, 1)}


def outcomes(section: Section) -> list[tuple[str, str]]:
    """Cells without a result: the row's label, and why in one line."""
    return [(formatting.name(section, row), formatting.outcome(item)) for row in section.rows for item in row.outcomes]


def reference_rows(section: Section) -> list[tuple[str, float]]:
    """What answering without listening gives."""
    if not formatting.evaluated(section):
        return []
    pairs = [("always the majority class", section.dataset.majority), ("guessing", section.dataset.chance)]
    return [(name, value) for name, value in pairs if value is not None]


def axis_column(name: str) -> Column:
    """What rows have for one of their axes."""
    title = {"frontend": "front end", "clip_samples": "clip samples"}.get(name, name)
    return Column(title, lambda row: str(getattr(row.key, name)), group="model", numeric=name == "clip_samples")


def _score(name: str) -> Column:
    def text(row: Row) -> str:
        found = next((score for score in row.scores if score.name == name), None)
        if found is None or found.value is None:
            return formatting.UNKNOWN
        return formatting.score(found.value, found) + formatting.unit(found)

    return Column(name.replace("_", " "), text, lambda row: row.score(name), "scores")
