"""A history in words, and as one page without scripts: a table of what changed, and a plot of each quantity."""

from __future__ import annotations

import importlib.resources
import statistics
from collections.abc import Sequence
from itertools import pairwise

from bench.escaping import html as escape
from bench.gate.verdict import value
from bench.reports import drawing
from bench.reports.formatting import UNKNOWN
from bench.statistics.results import Refusal
from bench.studies.history.read import Timeline

HEADER = ("row", "quantity", "commits", "first", "last", "change", "against pinned", "what happened", "hardware")
NUMERIC = ("commits", "first", "last", "change", "against pinned")
_WIDTH, _HEIGHT = 640.0, 150.0


def table(found: Sequence[Timeline]) -> list[list[str]]:
    """Rows under :data:`HEADER`."""
    return [
        [
            one.last.row, one.last.quantity, str(len(one.entries)), _shown(one, one.entries[0].value),
            _shown(one, one.last.value), _change(one, one.entries[0].value),
            UNKNOWN if one.pinned is None else _change(one, one.pinned), "; ".join(events(one)),
            one.last.hardware or UNKNOWN,
        ]
        for one in found
    ]  # fmt: skip


def events(one: Timeline) -> list[str]:
    """What happened, oldest first; ``level`` where nothing did."""
    if isinstance(one.changes, Refusal):
        return [one.changes.reason]
    told: list[tuple[int, str]] = []
    for step in one.changes.steps:
        place = _commit(one, step.index)
        if step.earliest != step.latest:
            place += f" (between {_commit(one, step.earliest)} and {_commit(one, step.latest)})"
        word = _judged(one, step.before, step.after)
        told.append((step.index, f"{word} from {_shown(one, step.before)} to {_shown(one, step.after)} at {place}"))
    for creep in one.changes.creeps:
        ends = f"{_commit(one, creep.start)} to {_commit(one, creep.stop - 1)}"
        word = _judged(one, creep.before, creep.after)
        change = f"{_shown(one, creep.before)} to {_shown(one, creep.after)}"
        told.append((creep.start, f"{word}, creeping from {change}, {ends}"))
    said = [text for _, text in sorted(told)]
    if one.changes.unresolved is not None:
        count = len(one.entries) - one.changes.unresolved
        runs = "this one" if count == 1 else f"these {count}"
        said.append(f"off since {_commit(one, one.changes.unresolved)}: not resolvable yet by {runs}")
    return said or ["level"]


def page(found: Sequence[Timeline], title: str) -> str:
    """One HTML document; what changed comes first."""
    from jinja2 import Environment, StrictUndefined

    assets = importlib.resources.files("bench.reports") / "templates"
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((assets / "history.html.j2").read_text(encoding="utf-8"))
    ordered = sorted(found, key=lambda one: not one.eventful)
    return template.render(
        style=(assets / "board.css").read_text(encoding="utf-8"), title=title, header=HEADER, numeric=NUMERIC,
        rows=table(ordered), plots=[(one.last.row, one.last.quantity, events(one), plot(one)) for one in ordered],
        eventful=sum(one.eventful for one in found),
    )  # fmt: skip


def plot(one: Timeline) -> str:
    """The values commit by commit, levels and lines through them, and bands where a step may have been."""
    values = [entry.value for entry in one.entries]
    scale = next((factor for factor in (1.0, 1e3, 1e6, 1e9) if max(values, default=1) * factor >= 1), 1e9)
    factor, unit = (scale, {1.0: "s", 1e3: "ms", 1e6: "us"}.get(scale, "ns")) if one.last.unit == "s" else (1.0, "")
    factor, unit = (100.0, "%") if one.last.unit == "fraction" else (factor, unit or one.last.unit)
    known = [*values, *([] if one.pinned is None else [one.pinned])]
    panel = drawing.Panel(
        left=70, top=14, width=_WIDTH, height=_HEIGHT, x=(-0.5, max(len(values) - 0.5, 0.5)),
        y=drawing.spread(factor * number for number in known),
    )  # fmt: skip
    parts = [drawing.y_axis(panel, drawing.ticks(*panel.y, most=4)), drawing.x_axis(panel, (), labels=False)]
    if one.pinned is not None:
        ends = [panel.at(x, factor * one.pinned) for x in panel.x]
        parts += [drawing.line(ends, drawing.MUTED, 1.0, ' stroke-dasharray="4 3"')]
    for stretch in _levels(one):
        path = [panel.at(place, factor * level) for place, level in stretch]
        parts.append(drawing.line(path, drawing.SECOND, 1.6))
    for step in () if isinstance(one.changes, Refusal) else one.changes.steps:
        left, right = panel.at(step.earliest - 0.5, 0)[0], panel.at(step.latest - 0.5, 0)[0]
        parts.append(
            f'<rect x="{left - 1:.1f}" y="{panel.top:g}" width="{right - left + 2:.1f}" height="{panel.height:g}" '
            f'fill="{drawing.ACCENT}" opacity="0.18"/>'
        )
    for place, entry in enumerate(one.entries):
        x, y = panel.at(place, factor * entry.value)
        said = escape(f"{entry.commit}: {_shown(one, entry.value)}")
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.4" fill="{drawing.FG}"><title>{said}</title></circle>')
    bottom = panel.top + panel.height + 16
    parts += [
        drawing.text(panel.left, bottom, one.entries[0].commit[:12]),
        drawing.text(panel.left + panel.width, bottom, one.last.commit[:12], "end"),
        drawing.text(panel.left - 6, 10, unit, "end"),
    ]
    return drawing.svg(panel.left + panel.width + 12, bottom + 8, f"{one.last.quantity} by commit", parts)


def _levels(one: Timeline) -> list[list[tuple[float, float]]]:
    """``(place, value)`` along the level or line of each stretch."""
    if isinstance(one.changes, Refusal):
        return []
    end = len(one.entries) if one.changes.unresolved is None else one.changes.unresolved
    creeps = {creep.start: creep for creep in one.changes.creeps}
    found = []
    for start, stop in pairwise([0, *(step.index for step in one.changes.steps), end]):
        middle = statistics.median(entry.value for entry in one.entries[start:stop])
        first, last = (creeps[start].before, creeps[start].after) if start in creeps else (middle, middle)
        shares = [step / 20 for step in range(21)] if start in creeps else [0.0, 1.0]
        # A line through logarithms, where the values allow for them.
        between = [
            first * (last / first) ** share if min(first, last) > 0 else first + share * (last - first)
            for share in shares
        ]
        found.append(
            [(start - 0.4 + share * (stop - start - 0.2), v) for share, v in zip(shares, between, strict=True)]
        )
    return found


def _commit(one: Timeline, index: int) -> str:
    return one.entries[index].commit[:12]


def _shown(one: Timeline, number: float) -> str:
    return value(one.last.unit, number)


def _change(one: Timeline, before: float) -> str:
    now = one.last.value
    if one.last.unit == "fraction":
        return f"{100 * (now - before):+.2f} points"
    return f"{100 * (now / before - 1):+.1f} %" if before > 0 else f"{now - before:+.4g}" if now != before else "+0.0 %"


def _judged(one: Timeline, before: float, after: float) -> str:
    return "better" if (after > before) == one.last.higher_is_better else "worse"
