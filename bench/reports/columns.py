"""The columns that every text format shows: title, text of a row, alignment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.reports import words
from bench.reports.layout import Hardware, Row, Section


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table for people.

    Attributes:
        title: Its header, with the unit.
        text: What stands in it.
        numeric: Whether it is aligned on the right.
    """

    title: str
    text: Callable[[Row], str]
    numeric: bool = True


def columns(section: Section) -> list[Column]:
    """The columns of one section: axes only where rows differ in them, speed of the first hardware only."""
    shown = [
        Column("rank", words.place),
        Column("tie", words.tie, numeric=False),
        Column("model", lambda row: words.label(row.key), numeric=False),
    ]
    shown += [_axis(name) for name in words.varying(section)]
    unit = " %" if section.primary == "accuracy" else ""
    shown += [
        Column(f"{section.primary}{unit}", lambda row: _primary(row, section.primary)),
        Column("95 % interval", lambda row: words.between(row.interval)),
        Column("folds x seeds", words.done),
        Column("parameters", lambda row: words.count(row.model.parameters)),
    ]
    if section.hardware:
        shown += speed_columns(section.hardware[0])
    if any(words.inputs(row) != "audio" for row in section.rows):
        shown.append(Column("inputs", words.inputs, numeric=False))
    shown.append(Column("status", words.status, numeric=False))
    return shown


def speed_columns(hardware: Hardware) -> list[Column]:
    """Speed and memory on one hardware."""
    key = hardware.key
    peak = "peak device MiB" if hardware.device == "cuda" else "peak MiB"

    def latency(row: Row) -> str:
        speed = row.speed(key)
        if speed is None:
            return words.UNKNOWN
        return words.milliseconds(speed.latency_s) + (" (unsteady)" if speed.unsteady else "")

    return [
        Column("train clips/s", lambda row: words.significant(s.train_clips_per_s if (s := row.speed(key)) else None)),
        Column("infer clips/s", lambda row: words.significant(s.infer_clips_per_s if (s := row.speed(key)) else None)),
        Column("latency ms", latency),
        Column(peak, lambda row: words.mebibytes(row.speed(key), hardware.device)),
    ]


def marks(section: Section) -> dict[int, str]:
    """Row number to the mark of its footnote, for rows that something must be said about."""
    found: dict[int, str] = {}
    for number, row in enumerate(section.rows):
        if words.own_remarks(section, row):
            found[number] = str(len(found) + 1)
    return found


def reference_rows(section: Section) -> list[tuple[str, float]]:
    """What answering without listening gives."""
    pairs = [("always the commonest class", section.dataset.majority), ("guessing", section.dataset.chance)]
    return [(name, value) for name, value in pairs if value is not None]


def _axis(name: str) -> Column:
    title = {"frontend": "front end", "clip_samples": "clip samples"}.get(name, name)
    return Column(title, lambda row: str(getattr(row.key, name)), numeric=name == "clip_samples")


def _primary(row: Row, name: str) -> str:
    return words.percent(row.primary) if name == "accuracy" else words.significant(row.primary)
