"""Pictures as inline SVG that follows the page's light or dark colours.

Small ones are written by hand, in CSS pixels, a hundred times faster than Matplotlib. All are drawn in stand-in
colours, which are then replaced by CSS variables; text stays text. The same figure gives the same bytes: no date, a
fixed salt for ids, and ids carry a prefix so that several figures share a page.
"""

from __future__ import annotations

import io
import itertools
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.escaping import html as escape
from bench.reports import formatting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FG, MUTED, GRID, ACCENT, SECOND = "#112233", "#445566", "#778899", "#aa1122", "#2211aa"
_VARIABLES = {FG: "--fg", MUTED: "--muted", GRID: "--line", ACCENT: "--accent", SECOND: "--second"}

WIDTHS = (
    dict.fromkeys("'ijlIJ ,./:;\\|-f", 4.4) | dict.fromkeys("()[]t!r", 5.0) | dict.fromkeys('"*_`szc?', 6.6)
    | dict.fromkeys("ABCKRVXZ", 8.5) | dict.fromkeys("DGHNOQUw&", 9.9) | dict.fromkeys("#+<=>^~M", 10.4)
    | dict.fromkeys("%mW@\N{HORIZONTAL ELLIPSIS}", 12.0)
)  # fmt: skip
"""Widths of letters at 12 pixels in DejaVu Sans, about the widest of the fonts that pages are shown in."""

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A rectangle with axes: ``x`` are the values at its left and right edge, ``y`` at its lower and upper one."""

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
    return _themed(
        f'<svg viewBox="0 0 {_n(width)} {_n(height)}" role="img" aria-label="{escape(label)}" style="{_look(width)}" '
        f'font-size="12" font-family="sans-serif">{"".join(parts)}</svg>'
    )


def line(points: Points, colour: str, width: float = 1.0, more: str = "") -> str:
    """A line through points that are already in pixels."""
    path = " ".join(["%.1f,%.1f"] * len(points)) % tuple(itertools.chain.from_iterable(points))
    path = f"{path} ".replace(".0,", ",").replace(".0 ", " ")[:-1]  # as :func:`_n` for each
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width:g}"{more}/>'


def text(x: float, y: float, content: str, anchor: str = "start", more: str = "") -> str:
    """One line of text; ``anchor`` as in SVG."""
    return f'<text x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}"{more}>{escape(content)}</text>'


def width_of(content: str) -> float:
    """How wide a text is at most, in pixels."""
    return sum(WIDTHS.get(letter, 7.7 if letter.isascii() else 12.5) for letter in content)


def shortened(content: str, room: float) -> str:
    """A text that fits; its middle is left out where it does not, since names differ at both ends."""
    head, tail, made = (len(content) + 1) // 2, len(content) // 2, content
    while width_of(made) > room and head > 1:
        head, tail = (head - 1, tail) if head > tail else (head, tail - 1)
        made = f"{content[:head]}\N{HORIZONTAL ELLIPSIS}{content[len(content) - tail :]}"
    return made


def wrapped(content: str, room: float) -> list[str]:
    """A name in lines that fit, broken behind blanks and punctuation, and anywhere in a part that is wider.

    >>> wrapped("birdnet@2.4~055faf, logistic from 2.4~abbd6e", 180)
    ['birdnet@2.4~055faf,', 'logistic from 2.4~abbd6e']
    """
    lines = [""]
    for word in filter(None, re.findall(r"[^\s.,_@+~/-]*[.,_@+~/-]*\s*", content)):
        for part in (word,) if width_of(word.rstrip()) <= room else word:
            if lines[-1] and width_of((lines[-1] + part).rstrip()) > room:
                lines.append("")
            lines[-1] += part
    return [line.rstrip() for line in lines]


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


def _themed(picture: str) -> str:
    for stand_in, variable in _VARIABLES.items():
        picture = picture.replace(stand_in, f"var({variable})")
    return picture


def _look(width: float) -> str:
    return f"width:100%;min-width:{min(640, round(width))}px;max-width:{min(1320, round(1.3 * width))}px;height:auto"


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


_STYLE: dict[str, Any] = {
    "svg.fonttype": "none", "svg.hashsalt": "bench", "font.family": "sans-serif", "font.size": 9.0,
    "axes.edgecolor": GRID, "axes.labelcolor": FG, "text.color": FG, "xtick.color": MUTED, "ytick.color": MUTED,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": GRID,
    "grid.linewidth": 0.5, "grid.alpha": 0.5, "axes.axisbelow": True, "axes.titlesize": 9.0, "axes.titlecolor": FG,
    "axes.facecolor": "none", "figure.facecolor": "none", "path.simplify": True, "text.parse_math": False,
    "axes.unicode_minus": False,
}  # fmt: skip


@contextmanager
def style() -> Iterator[None]:
    """The look of every figure, for the time of drawing only."""
    import matplotlib as mpl

    settings: Any = _STYLE
    with mpl.rc_context(settings):
        yield


def new_figure(width: float, height: float) -> Figure:
    """A figure of so many inches outside pyplot, so that none is kept; its panels make room for their labels."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def render(figure: Figure, prefix: str, label: str) -> str:
    """A figure drawn within :func:`style` as an ``<svg>`` element; ``prefix`` makes its ids unique on the page."""
    buffer = io.StringIO()
    metadata = {"Date": None, "Creator": None, "Format": None, "Type": None}
    figure.savefig(buffer, format="svg", metadata=metadata, transparent=True)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{prefix}-', text)
    text = re.sub(r"url\(#", f"url(#{prefix}-", text)
    text = re.sub(r'href="#', f'href="#{prefix}-', text)
    text = re.sub(r"(\d+\.\d)\d+", r"\1", text)
    text = re.sub(r">\s+<", "><", text)
    head, _, rest = text.partition(">")
    head = re.sub(r' (width|height|version|xmlns)="[^"]*"', "", head)
    head += f' role="img" aria-label="{escape(label)}" style="{_look(96 * figure.get_size_inches()[0])}"'
    return _themed(f"{head}>{rest}".strip())


def drawing_files(figure: Figure) -> dict[str, bytes]:
    """The figure as whole files: ``{"svg": ..., "png": ...}``, the same bytes each time, on white."""
    files = {}
    for kind, metadata in (("svg", {"Date": None, "Creator": None}), ("png", {"Software": None})):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, metadata=metadata, dpi=150, facecolor="white")
        files[kind] = buffer.getvalue()
    return files


def plain_log(axes: Axes, values: Sequence[float]) -> None:
    """Ticks at 1, 2, 5 of each decade, written out."""
    low, high = axes.get_xlim()
    steps = [
        factor * 10.0**power
        for power in range(math.floor(math.log10(min(values))) - 1, math.ceil(math.log10(max(values))) + 2)
        for factor in (1, 2, 5)
    ]
    shown = [step for step in steps if low <= step <= high]
    if len(shown) > 6:
        shown = [step for step in shown if f"{step:e}".startswith("1")]
    axes.set_xticks(shown, [formatting.significant(step, 1) for step in shown])
    axes.xaxis.minorticks_off()
