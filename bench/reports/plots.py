"""The pictures of a board: score by cell, cost against score, learning curves, recall, confusion."""

from __future__ import annotations

import base64
import functools
import io
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from bench.analysis import phrases
from bench.analysis.model import Row, Section
from bench.reports import drawing, formatting
from bench.reports.drawing import new_figure, plain_log, render, style
from bench.results.quantities import QUANTITIES, Quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

LINE, LEADING, TOP = 24.0, 14.0, 8.0
"""Least height of a row of a picture, from one line of a name to the next, and above the first row, in pixels."""

NAME_ROOM, LINE_ROOM, CLASS_ROOM = 600.0, 200.0, 130.0
"""Room for the name of a row in all, for a line of it, and for the name of a class, in pixels."""

MAX_NAMED = 14
"""More points than this in one panel, and only those on the Pareto front are named."""
NAME_PT, LABEL_PT, PANEL_PT = 7.0, 8.5, 200.0
"""Size of a name, the room that it takes, and about the height and width of a panel of the cost plot, in points."""


def pareto(points: Sequence[tuple[float, float]], *, lower_is_better: bool) -> list[int]:
    """Indices of the ``(cost, score)`` that no other beats in both, more of the score being better; by rising cost.

    >>> pareto([(1, 0.5), (2, 0.4), (3, 0.9)], lower_is_better=True)
    [0, 2]
    """
    sign = 1 if lower_is_better else -1
    best, front = -math.inf, []
    for index in sorted(range(len(points)), key=lambda i: (sign * points[i][0], -points[i][1], i)):
        if points[index][1] > best:
            best = points[index][1]
            front.append(index)
    return sorted(front, key=lambda i: points[i][0])


def _scale(section: Section) -> float:
    return 100 if section.primary.unit == "fraction" else 1


def _axis(section: Section) -> str:
    unit = formatting.unit(section.primary).strip()
    return f"{section.primary.name} ({unit})" if unit else section.primary.name


def _names(section: Section, rows: Sequence[Row]) -> tuple[list[str], float, float]:
    """The names of rows as a column on the left of a picture, its width, and the height that a row needs."""
    names = [drawing.shortened(formatting.name(section, row), NAME_ROOM) for row in rows]
    lines = [drawing.wrapped(name, LINE_ROOM) for name in names]
    width = 12 + max(drawing.width_of(line) for own in lines for line in own)
    height = max(LINE, LEADING * max(map(len, lines)) + 8)
    drawn = [
        drawing.text(width - 8, TOP + height * (place + 0.5) + 4 + LEADING * (at - (len(own) - 1) / 2), line, "end")
        for place, own in enumerate(lines)
        for at, line in enumerate(own)
    ]
    return drawn, width, height


def score_plot(section: Section, _prefix: str) -> str:
    """One line per row: every cell a dot, the mean with its interval above them. Empty without results."""
    rows = [row for row in section.rows if row.value is not None]
    if not rows:
        return ""
    scale = _scale(section)
    parts, left, line_height = _names(section, rows)
    ends = [end for row in rows if row.interval for end in (row.interval.low, row.interval.high)]
    points = [*(cell.value for row in rows for cell in row.cells), *ends, *(row.value or 0 for row in rows)]
    x = drawing.spread(scale * value for value in points)
    height = line_height * len(rows)
    panel = drawing.Panel(left=left, top=TOP, width=520, height=height, x=x, y=(len(rows) - 0.5, -0.5))
    parts.append(drawing.x_axis(panel, drawing.ticks(*x, most=8)))
    majority = section.dataset.majority
    if majority is not None and x[0] <= scale * majority <= x[1]:
        line = [panel.at(scale * majority, end) for end in panel.y]
        parts.append(drawing.line(line, drawing.MUTED, 1, ' stroke-dasharray="2 3"'))
    for place, row in enumerate(rows):
        parts += _score_line(panel, row, place, scale)
    bottom = panel.top + panel.height
    parts.append(drawing.text(left + panel.width / 2, bottom + 34, _axis(section), "middle"))
    label = f"{section.primary.name} of {phrases.plural(len(rows), 'row')}: cells as dots, mean with 95 % interval"
    return drawing.svg(left + panel.width + 12, bottom + 42, label, parts)


def _score_line(panel: drawing.Panel, row: Row, place: int, scale: float) -> Iterator[str]:
    if row.interval is not None:
        yield drawing.line(
            [panel.at(scale * end, place) for end in (row.interval.low, row.interval.high)], drawing.FG, 1.8
        )
    for cell in row.cells:
        x, y = panel.at(scale * cell.value, place)
        opacity = 0.6 if cell.fold in row.folds_used else 0.2
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" fill="{drawing.SECOND}" opacity="{opacity}"/>'
    x, y = panel.at(scale * (row.value or 0), place)
    colour = drawing.ACCENT if row.rank else drawing.MUTED
    yield f'<path d="M{x:.1f} {y - 5:.1f}l5 5-5 5-5-5z" fill="{colour}"/>'


def cost_plot(section: Section, prefix: str) -> str:
    """The score against throughput, latency and memory on the first hardware. Empty where none was measured."""
    if not section.hardware:
        return ""
    hardware = section.hardware[0]
    rows = [row for row in section.rows if row.value is not None and row.speed(hardware.key)]
    if not rows:
        return ""
    with style():
        figure = new_figure(10.5, 3.6)
        costs = [one for one in QUANTITIES if one.axis and one.device in ("", hardware.device)]
        panels = figure.subplots(1, len(costs), sharey=True)
        for axes, cost in zip(panels, costs, strict=True):
            _cost_panel(axes, section, rows, cost, hardware.key)
        panels[0].set_ylabel(_axis(section))
        label = f"{section.primary.name} against throughput, latency and peak memory on {hardware.label}"
        return render(figure, prefix, label)


def _measured(rows: Sequence[Row], cost: Quantity, hardware: str) -> Iterator[tuple[Row, float, float]]:
    for row in rows:
        speed = row.speed(hardware)
        value = None if speed is None else speed.values.get(cost.name)
        if value is not None and value > 0 and row.value is not None:
            yield row, value, row.value


def _cost_panel(axes: Axes, section: Section, rows: Sequence[Row], cost: Quantity, hardware: str) -> None:
    scale = _scale(section)
    known = [(row, cost.factor * value, scale * score) for row, value, score in _measured(rows, cost, hardware)]
    axes.set_xlabel(cost.axis)
    if not known:
        axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", color=drawing.MUTED)
        return
    front = pareto(
        [(value, row.primary.sign * score) for row, value, score in known], lower_is_better=not cost.higher_is_better
    )
    for index, (row, value, score) in enumerate(known):
        if row.interval is not None:
            axes.plot([value, value], [scale * row.interval.low, scale * row.interval.high], color=drawing.GRID, lw=1)
        axes.plot([value], [score], "o", ms=5, color=drawing.ACCENT if index in front else drawing.MUTED)
    side: Literal["pre", "post"] = "pre" if cost.higher_is_better else "post"
    stairs = [known[i][1] for i in front], [known[i][2] for i in front]
    axes.step(*stairs, where=side, color=drawing.ACCENT, lw=1, alpha=0.6)
    axes.margins(x=0.15)
    values = [value for _, value, _ in known]
    if max(values) >= 3 * min(values):
        axes.set_xscale("log")
        plain_log(axes, values)
    else:
        axes.locator_params(axis="x", nbins=5)
    named = [i for i in range(len(known)) if i in front or len(known) <= MAX_NAMED]
    named.sort(key=lambda i: -known[i][2])
    unit = PANEL_PT / np.ptp(axes.get_ylim())
    lines = spread_labels([known[i][2] for i in named], LABEL_PT / unit, axes.get_ylim()[0])
    for i, line in zip(named, lines, strict=True):
        row, value, score = known[i]
        _name_point(axes, formatting.name(section, row), (value, score), (line - score) * unit)


def spread_labels(heights: Sequence[float], room: float, lowest: float) -> list[float]:
    """Heights of labels, from the top down: each where it belongs, or just below the one before; none below ``lowest``.

    >>> spread_labels([9.0, 5.0, 4.5, 4.0], 1.0, 3.5)
    [9.0, 5.5, 4.5, 3.5]
    """
    placed: list[float] = []
    for height in heights:
        placed.append(min(height, placed[-1] - room) if placed else height)
    for place in range(len(placed) - 1, -1, -1):
        lowest = placed[place] = max(placed[place], lowest)
        lowest += room
    return placed


def _name_point(axes: Axes, name: str, point: tuple[float, float], drop: float) -> None:
    """A name on the side of a point that has more room, moved by ``drop`` points; it never moves the panel's edges."""
    before, _ = axes.transAxes.inverted().transform(axes.transData.transform(point))
    side, move, room = ("right", -5, before) if before >= 0.5 else ("left", 5, 1 - before)
    shown = drawing.shortened(name, room * PANEL_PT * 12 / NAME_PT)
    note = axes.annotate(shown, point, xytext=(move, 3 + drop), textcoords="offset points", ha=side, fontsize=NAME_PT)
    note.set_in_layout(False)


def recall_plot(section: Section, _prefix: str) -> str:
    """Recall of each class by row, as colours; the rows' details have the figures. Empty without them."""
    rows = [row for row in section.rows if row.detail.recall]
    names = section.dataset.label_names
    if not rows:
        return ""
    values = np.array([[np.nan if value is None else value for value in row.detail.recall] for row in rows])
    order = np.argsort(np.nan_to_num(values, nan=1.0).mean(axis=0), kind="stable")
    parts, left, line_height = _names(section, rows)
    classes = [drawing.shortened(names[index], CLASS_ROOM) for index in order]
    side = 22.0 if len(names) <= 24 else 15.0
    width, bottom = side * len(names), TOP + line_height * len(rows)
    parts.append(_heat(values[:, order], (left, TOP, width, bottom - TOP)))
    for at, name in enumerate(classes):
        x, y = left + side * (at + 0.5) + 4, bottom + 6
        parts.append(drawing.text(x, y, name, "end", f' transform="rotate(-90 {x:g} {y:g})"'))
    scale = max(bottom - TOP, 60.0)
    parts.append(_heat(np.linspace(1, 0, 32)[:, None], (left + width + 20, TOP, 12, scale)))
    for share in (0.0, 0.5, 1.0):
        parts.append(drawing.text(left + width + 38, TOP + (1 - share) * (scale - 10) + 10, f"{share:g}"))
    height = max(bottom + 16 + max(map(drawing.width_of, classes)), TOP + scale + 8)
    return drawing.svg(left + width + 70, height, "recall of each class by row, hardest class first", parts)


def _heat(values: npt.NDArray[np.float64], place: tuple[float, float, float, float]) -> str:
    """Values from 0 to 1 as an image of one pixel each, stretched over ``(left, top, width, height)``."""
    left, top, width, height = place
    return (
        f'<image x="{left:g}" y="{top:g}" width="{width:g}" height="{height:g}" preserveAspectRatio="none" '
        f'style="image-rendering:pixelated" href="{_png(values, "viridis")}"/>'
    )


def _png(values: npt.NDArray[np.float64], colours: str) -> str:
    """Values from 0 to 1 as a data URI; unknown ones are clear."""
    from PIL import Image, PngImagePlugin

    buffer, told = io.BytesIO(), PngImagePlugin.PngInfo()
    told.add_text("Software", "")
    pixels = Image.fromarray(_colours(colours)(values, bytes=True))
    pixels.save(buffer, format="png", pnginfo=told, dpi=(100, 100))
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


@functools.cache
def _colours(name: str) -> Colormap:
    """One of Matplotlib's, which makes its table of colours anew each time it is asked for."""
    import matplotlib as mpl

    return mpl.colormaps[name]


def confusion_image(row: Row) -> str:
    """The confusion matrix as a data URI: one pixel per pair of classes, darker is more. Empty without predictions."""
    if not row.detail.confusion:
        return ""
    table = np.array(row.detail.confusion, dtype=float)
    return _png(np.sqrt(table / np.maximum(table.sum(axis=1, keepdims=True), 1)), "Blues")


def confused_pairs(row: Row, names: Sequence[str], most: int = 5) -> list[tuple[str, str, float]]:
    """The commonest errors: target, answer, share of the target's clips."""
    if not row.detail.confusion:
        return []
    table = np.array(row.detail.confusion, dtype=float)
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    np.fill_diagonal(shares, 0)
    order = np.argsort(-shares, axis=None, kind="stable")[:most]
    pairs = [(int(index) // len(names), int(index) % len(names)) for index in order]
    return [(names[a], names[b], float(shares[a, b])) for a, b in pairs if shares[a, b] > 0]
