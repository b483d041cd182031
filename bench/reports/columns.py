"""The columns that every text format shows: title, text of a row, alignment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.analysis.model import Row, Section
from bench.reports import formatting
from bench.results.quantities import Hardware, Speed


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
        Column("rank", formatting.place),
        Column("tie", formatting.tie, numeric=False),
        Column("model", lambda row: formatting.label(row.key), numeric=False),
    ]
    shown += [_axis(name) for name in formatting.varying(section)]
    unit = " %" if section.primary == "accuracy" else ""
    shown += [
        Column(f"{section.primary}{unit}", lambda row: _primary(row, section.primary)),
        Column("95 % interval", lambda row: formatting.between(row.interval, section.primary)),
        Column("folds x seeds", formatting.done),
        Column("parameters", lambda row: formatting.count(row.model.parameters)),
    ]
    if section.hardware:
        shown += [*speed_columns(section.hardware[0]), *work_columns(section, section.hardware[0])]
    if any(row.model.checkpoint_bytes for row in section.rows):
        shown.append(Column("stored", lambda row: formatting.size(row.model.checkpoint_bytes)))
    if any(formatting.inputs(row) != "audio" for row in section.rows):
        shown.append(Column("inputs", formatting.inputs, numeric=False))
    shown.append(Column("status", formatting.status, numeric=False))
    return shown


def speed_columns(hardware: Hardware) -> list[Column]:
    """Speed and memory on one hardware."""
    key = hardware.key
    peak = "peak device MiB" if hardware.device == "cuda" else "peak MiB"

    def latency(row: Row) -> str:
        speed = row.speed(key)
        if speed is None:
            return formatting.UNKNOWN
        return formatting.milliseconds(speed.latency_s) + (" (unsteady)" if speed.unsteady else "")

    return [
        Column(
            "train clips/s", lambda row: formatting.significant(s.train_clips_per_s if (s := row.speed(key)) else None)
        ),
        Column(
            "infer clips/s", lambda row: formatting.significant(s.infer_clips_per_s if (s := row.speed(key)) else None)
        ),
        Column("latency ms", latency),
        Column(peak, lambda row: formatting.mebibytes(row.speed(key), hardware.device)),
    ]


def work_columns(section: Section, hardware: Hardware) -> list[Column]:
    """Work, energy and real-time factor on one hardware, as far as they are known."""
    return [Column(one.title, one.of(hardware.key)) for one in measured(section, hardware)]


@dataclass(frozen=True, slots=True)
class Measured:
    """A column that is shown where at least one row has a value.

    Attributes:
        title: Its header, with the unit.
        value: What is shown of a speed.
        text: The same for people.
    """

    title: str
    value: Callable[[Speed], float | None]
    text: Callable[[float | None], str]

    def of(self, hardware: str) -> Callable[[Row], str]:
        """The text of a row on one hardware."""
        return lambda row: self.text(None if (speed := row.speed(hardware)) is None else self.value(speed))


def measured(section: Section, hardware: Hardware) -> list[Measured]:
    """Work, energy and real-time factor, as far as any row of the section has them on this hardware."""
    offered = (
        Measured("real-time factor", lambda speed: speed.real_time_factor, formatting.significant),
        Measured("FLOPs/clip", lambda speed: speed.flops_per_clip, _operations),
        Measured("J/clip", lambda speed: speed.joules_per_clip, formatting.significant),
    )
    speeds = [speed for row in section.rows if (speed := row.speed(hardware.key)) is not None]
    return [one for one in offered if any(one.value(speed) is not None for speed in speeds)]


def _operations(value: float | None) -> str:
    return formatting.count(None if value is None else round(value))


def marks(section: Section) -> dict[int, str]:
    """Row number to the mark of its footnote, for rows that something must be said about."""
    found: dict[int, str] = {}
    for number, row in enumerate(section.rows):
        if formatting.own_remarks(section, row):
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
    return formatting.score(row.primary, name)
