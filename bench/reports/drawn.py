"""Small pictures written as SVG by hand: the same look as :mod:`bench.reports.svg`, a hundred times faster.

Lengths are CSS pixels. Colours are the page's variables.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

FG, MUTED, GRID, ACCENT, SECOND = ("var(--fg)", "var(--muted)", "var(--line)", "var(--accent)", "var(--second)")

LETTER = 6.4
"""About the mean width of a letter at 12 pixels."""

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A rectangle with axes.

    Attributes:
        left: Of the rectangle.
        top: Of the rectangle.
        width: Of the rectangle.
        height: Of the rectangle.
        x: Values at its left and right edge.
        y: Values at its lower and upper edge.
    """

    left: float
    top: float
    width: float
    height: float
    x: tuple[float, float]
    y: tuple[float, float]

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a point of the data stands."""
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        return self.left + across * self.width, self.top + (1 - up) * self.height


def spread(values: Iterable[float], margin: float = 0.05) -> tuple[float, float]:
    """The range of values with a margin on both sides; never empty."""
    known = list(values)
    low, high = min(known), max(known)
    room = margin * (high - low) or max(abs(high) * margin, 0.5)
    return low - room, high + room


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers within a range.

    >>> ticks(0, 1.9, 5), ticks(97.9, 100.2, 3)
    ([0.0, 0.5, 1.0, 1.5], [98.0, 99.0, 100.0])
    """
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def svg(width: float, height: float, label: str, parts: Iterable[str]) -> str:
    """The element around ``parts``; ``label`` says what it shows to readers who do not see it."""
    look = f"width:100%;min-width:{min(560, round(width))}px;max-width:{round(width)}px;height:auto"
    return (
        f'<svg viewBox="0 0 {_n(width)} {_n(height)}" role="img" aria-label="{escape(label)}" style="{look}" '
        f'font-size="12" font-family="sans-serif">{"".join(parts)}</svg>'
    )


def line(points: Points, colour: str, width: float = 1.0, more: str = "") -> str:
    """A line through points that are already in pixels."""
    path = " ".join(f"{_n(x)},{_n(y)}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width:g}"{more}/>'


def text(x: float, y: float, content: str, anchor: str = "start", more: str = "") -> str:
    """One line of text; ``anchor`` as in SVG."""
    return f'<text x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}"{more}>{escape(content)}</text>'


def width_of(content: str) -> float:
    """About how wide a text is."""
    return LETTER * len(content)


def shortened(content: str, room: float) -> str:
    """A text that fits; its middle is left out where it does not, since names differ at both ends."""
    most = max(4, int(room / LETTER))
    if len(content) <= most:
        return content
    head = (most - 1) // 2
    return f"{content[:head]}\N{HORIZONTAL ELLIPSIS}{content[len(content) - (most - 1 - head) :]}"


def x_axis(panel: Panel, shown: Sequence[float], *, labels: bool = True) -> str:
    """Grid lines at ``shown``, with their numbers below."""
    bottom = panel.top + panel.height
    parts = []
    for value in shown:
        x, _ = panel.at(value, panel.y[0])
        parts.append(line([(x, panel.top), (x, bottom)], GRID, 0.6))
        if labels:
            parts.append(text(x, bottom + 15, f"{value:g}", "middle"))
    return "".join([*parts, line([(panel.left, bottom), (panel.left + panel.width, bottom)], GRID)])


def y_axis(panel: Panel, shown: Sequence[float], *, labels: bool = True) -> str:
    """The same across."""
    parts = []
    for value in shown:
        _, y = panel.at(panel.x[0], value)
        parts.append(line([(panel.left, y), (panel.left + panel.width, y)], GRID, 0.6))
        if labels:
            parts.append(text(panel.left - 6, y + 4, f"{value:g}", "end"))
    return "".join([*parts, line([(panel.left, panel.top), (panel.left, panel.top + panel.height)], GRID)])


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
