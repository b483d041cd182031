"""The columns of the page: what stands in them and what they are sorted by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.analysis.model import Row, Section
from bench.reports import formatting
from bench.reports.columns import measured
from bench.results.quantities import Hardware, Speed

GROUPS = {
    "accuracy": "Accuracy",
    "cells": "Cells",
    "model": "Model",
    "speed": "Speed and memory",
    "scores": "Other scores",
}
"""Column groups that can be switched, in the order of the table."""


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


def fields(section: Section) -> list[Field]:
    """The columns of a section behind rank, tie and model."""
    unit = ", %" if section.primary == "accuracy" else ""
    shown = [
        Field(f"{section.primary}{unit}", "accuracy", _primary(section.primary), lambda row: row.primary),
        Field(
            "95 % interval",
            "accuracy",
            lambda row: formatting.between(row.interval, section.primary),
            _low,
            note="see the note below",
        ),
        Field("folds x seeds", "cells", formatting.done, lambda row: row.cells_done, note="done of planned"),
        Field(
            "parameters", "model", lambda row: formatting.count(row.model.parameters), lambda row: row.model.parameters
        ),
    ]
    if any(formatting.inputs(row) != "audio" for row in section.rows):
        shown.append(Field("inputs", "model", formatting.inputs, formatting.inputs, numeric=False))
    shown += [_axis(name) for name in formatting.varying(section)]
    if section.hardware:
        shown += _speed_fields(section, section.hardware[0])
    if any(row.model.checkpoint_bytes for row in section.rows):
        shown.append(
            Field(
                "stored",
                "speed",
                lambda row: formatting.size(row.model.checkpoint_bytes),
                lambda row: row.model.checkpoint_bytes,
                note="weights as kept on disk",
            )
        )
    shown.append(Field("status", "cells", formatting.status, formatting.status, numeric=False))
    names = dict.fromkeys(score.name for row in section.rows for score in row.scores)
    return shown + [_score(name) for name in names]


def _primary(name: str) -> Callable[[Row], str]:
    if name == "accuracy":
        return lambda row: formatting.percent(row.primary)
    return lambda row: formatting.significant(row.primary)


def _low(row: Row) -> float | None:
    return row.interval.low if row.interval else None


def _axis(name: str) -> Field:
    title = {"frontend": "front end", "clip_samples": "clip samples"}.get(name, name)

    def value(row: Row) -> str:
        return str(getattr(row.key, name))

    return Field(title, "model", value, value, numeric=False)


def _speed_fields(section: Section, hardware: Hardware) -> list[Field]:
    def field(title: str, value: Callable[[Speed], float | None], show: Callable[[float | None], str]) -> Field:
        def number(row: Row) -> float | None:
            speed = row.speed(hardware.key)
            return None if speed is None else value(speed)

        return Field(title, "speed", lambda row: show(number(row)), number, note=hardware.label)

    cuda = hardware.device == "cuda"
    plain = [
        field("train clips/s", lambda speed: speed.train_clips_per_s, formatting.significant),
        field("infer clips/s", lambda speed: speed.infer_clips_per_s, formatting.significant),
        field("latency, ms", lambda speed: speed.latency_s, formatting.milliseconds),
        field(
            f"peak {'device' if cuda else 'host'} MiB",
            lambda speed: speed.device_peak_mib if cuda else speed.host_peak_mib,
            lambda value: formatting.UNKNOWN if value is None else f"{value:.0f}",
        ),
    ]
    return plain + [field(one.title, one.value, one.text) for one in measured(section, hardware)]


def _score(name: str) -> Field:
    def text(row: Row) -> str:
        found = next((score for score in row.scores if score.name == name), None)
        if found is None or found.value is None:
            return formatting.UNKNOWN
        return (
            formatting.percent(found.value) + " %" if found.unit == "fraction" else formatting.significant(found.value)
        )

    return Field(name.replace("_", " "), "scores", text, lambda row: row.score(name))
