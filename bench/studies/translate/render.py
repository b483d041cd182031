"""What a translation found, as a table and a page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from bench.reports.formatting import UNKNOWN, percent
from bench.studies.common import pipe_table

HEADER = ("rule", "what it does otherwise", "accuracy", "95%", "adds", "95% of adds", "from clean", "leak")
NUMERIC = HEADER[2:]
KEPT = HEADER[2], HEADER[4]
"""Columns that a narrow terminal still shows."""
NO_QUALITY = "says nothing of the encoder"
NOTES = (
    "Each line changes one thing more than the one above it; a rule's last line is the rule, with its difference from "
    "the clean protocol, to which its effects add up. In another order they would be shared out differently.",
    "Percent and points; intervals over recordings where the data set names them, else over clips, for each rule's own "
    "seed. leak: tested clips whose recording was trained on.",
)


def table_rows(found: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """One row for the clean protocol, and for each step of each rule, the last of which bears its name."""
    clean = found["clean"]
    yield "clean", clean["text"], *_score(clean), *[UNKNOWN] * 3, percent(clean["leak"])
    for rule in found["rules"]:
        for step in rule["steps"]:
            name = total = ""
            if step is rule["steps"][-1]:
                name = f"{rule['title']} {rule['version']}" + ("" if rule["quality"] else f" ({NO_QUALITY})")
                total = " ".join(_effect(rule["against_clean"]))
            did = f"{step['cause']}: {step['text']}"
            yield name, did, *_score(step), *_effect(step["effect"]), total, percent(step["leak"])


def markdown(found: Mapping[str, Any]) -> str:
    """The whole as a page, with the place where each rule stands."""
    what = found["what"]
    places = [
        (f"{rule['title']} {rule['version']}", *source.split(" ", 1))
        for rule in found["rules"]
        for source in rule["sources"]
    ]
    parts = [
        f"# {what['model']} on {what['title']}",
        f"{what['clips']} clips, {what['folds']} folds, {what['dim']} values a clip, the same ones for every rule.",
        pipe_table(HEADER, [*table_rows(found)]),
        *NOTES,
        pipe_table(("rule", "file:lines", "what stands there"), places),
    ]
    return "\n\n".join(parts) + "\n"


def _score(found: Mapping[str, Any]) -> tuple[str, str]:
    return percent(found["score"]), between(found["interval"], percent)


def _effect(found: Mapping[str, Any]) -> tuple[str, str]:
    return points(found["adds"]), between(found["interval"], points)


def between(ends: tuple[float, float] | None, form: Callable[[float], str]) -> str:
    """Both ends of an interval."""
    return UNKNOWN if ends is None else f"[{form(ends[0])}, {form(ends[1])}]"


def points(value: float) -> str:
    """A difference of shares in points."""
    return f"{100 * value:+.1f}"
