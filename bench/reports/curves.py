"""Pictures of training: loss by epoch, the score on validation by time."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from bench.analysis.artifacts import Curve, Pretraining
from bench.analysis.model import Section
from bench.reports import drawing, formatting
from bench.reports.drawing import new_figure, plain_log, render, style

MAX_EPOCHS = 30
"""Points of one learning curve; longer ones are thinned."""

COLUMNS = 4
PANEL = (235.0, 95.0)
"""Width and height of a panel of learning curves, in pixels."""

Points = list[tuple[int, float]]


def curve_plot(section: Section, _prefix: str) -> str:
    """Loss by epoch, one small panel per row; the score on validation where there is one. Empty without curves."""
    label = "training loss by epoch, one panel per row, one line per fold"
    lines = [fold_curves(row.detail.curves) for row in section.rows]
    return panel_grid(section, lines, ("epoch", "training loss"), label)


def pretraining_plot(section: Section, _prefix: str) -> str:
    """Loss of pre-training by step, one panel per row, one line per cell. Empty without pre-training."""
    every = [[_known(curve) for curve in row.detail.pretraining] for row in section.rows]
    lines: list[list[tuple[Points, Points]]] = [[(known, []) for known in curves if known] for curves in every]
    label = "loss of masked pre-training by step, one panel per row, one line per cell"
    return panel_grid(section, lines, ("step", "loss"), label)


def _known(curve: Pretraining) -> Points:
    pairs = [(step, loss) for step, loss in zip(curve.steps, curve.loss, strict=True) if loss is not None]
    return pairs[:: max(1, math.ceil(len(pairs) / 60))]


def panel_grid(
    section: Section, curves: Sequence[Sequence[tuple[Points, Points]]], titles: tuple[str, str], label: str
) -> str:
    """A small panel with shared axes for each row that has curves: a line, and a second one that may be empty."""
    rows = [(row, lines) for row, lines in zip(section.rows, curves, strict=True) if lines]
    if not rows:
        return ""
    every = [point for _, lines in rows for pair in lines for line in pair for point in line]
    x = (min(1.0, *(epoch for epoch, _ in every)), float(max(2, *(epoch for epoch, _ in every))))
    y = (min(0.0, *(value for _, value in every)), 1.05 * max(1e-9, *(value for _, value in every)))
    columns, width = min(COLUMNS, len(rows)), PANEL[0] + 22
    step = PANEL[1] + 30
    lowest = math.ceil(len(rows) / columns) - 1
    middle = 24 + PANEL[1] / 2
    parts = [drawing.text(14, middle, titles[1], "middle", f' transform="rotate(-90 14 {middle:g})"')]
    for place, (row, lines) in enumerate(rows):
        across, down = place % columns, place // columns
        panel = drawing.Panel(left=50 + across * width, top=24 + down * step, width=PANEL[0], height=PANEL[1], x=x, y=y)
        parts += [
            drawing.x_axis(panel, drawing.ticks(*x, most=4), labels=down == lowest or place + columns >= len(rows)),
            drawing.y_axis(panel, drawing.ticks(*y, most=3), labels=across == 0),
            drawing.text(panel.left, panel.top - 6, drawing.shortened(formatting.name(section, row), PANEL[0])),
        ]
        for pair in lines:
            for line, colour in zip(pair, (drawing.ACCENT, drawing.SECOND), strict=True):
                path = [panel.at(*point) for point in line]
                parts += [drawing.line(path, colour, 0.9, ' opacity="0.75"')] if path else []
    bottom = 24 + lowest * step + PANEL[1]
    parts.append(drawing.text(50 + PANEL[0] / 2, bottom + 32, titles[0], "middle"))
    return drawing.svg(50 + columns * width, bottom + 40, label, parts)


def fold_curves(curves: Sequence[Curve]) -> list[tuple[Points, Points]]:
    """Loss and score on validation of each fold, averaged over seeds, as at most :data:`MAX_EPOCHS` points each."""
    lines = []
    for fold in sorted({curve.fold for curve in curves}):
        same = [curve for curve in curves if curve.fold == fold]
        lines.append((_points([curve.loss for curve in same]), _points([curve.validation for curve in same])))
    return [(loss, seen) for loss, seen in lines if loss]


def time_plot(section: Section, prefix: str) -> str:
    """The score on validation against seconds of training. Empty where no protocol part is held out for it."""
    rows = [(row, lines) for row in section.rows if (lines := timed_curves(row.detail.curves))]
    if not rows:
        return ""
    colours = [drawing.ACCENT, drawing.SECOND, drawing.FG, drawing.MUTED]
    dashes = ["-", "--", ":", "-."]
    with style():
        figure = new_figure(7.6, 3.6)
        axes = figure.subplots()
        for number, (row, lines) in enumerate(rows):
            for place, line in enumerate(lines):
                label = formatting.name(section, row) if place == 0 else None
                colour, dash = colours[number % 4], dashes[number // 4 % 4]
                axes.plot(*zip(*line, strict=True), label=label, color=colour, ls=dash, lw=1.0, alpha=0.8)
        axes.set_xlabel("seconds of training")
        metric = next(curve.metric for row, _ in rows for curve in row.detail.curves if curve.seconds)
        axes.set_ylabel(f"{metric.name}{formatting.unit(metric)} on validation")
        seconds = [at for _, lines in rows for line in lines for at, _ in line if at > 0]
        if seconds and max(seconds) >= 10 * min(seconds):
            axes.set_xscale("log")
            plain_log(axes, seconds)
        figure.legend(loc="outside right upper", frameon=False, fontsize=7)
        label = f"{metric.name} on validation against seconds of training, one line per row and fold"
        return render(figure, prefix, label)


def timed_curves(curves: Sequence[Curve]) -> list[list[tuple[float, float]]]:
    """``(seconds, score)`` of each fold, fractions in percent, both averaged over the seeds that have the epoch."""
    lines = []
    for fold in sorted({curve.fold for curve in curves}):
        same = [curve for curve in curves if curve.fold == fold and curve.seconds]
        seconds, seen = dict(_points([curve.seconds for curve in same])), _points([curve.validation for curve in same])
        scale = 100 if same and same[0].metric.unit == "fraction" else 1
        line = [(seconds[epoch], scale * value) for epoch, value in seen if epoch in seconds]
        if line:
            lines.append(line)
    return lines


def _points(series: Sequence[Sequence[float | None]]) -> Points:
    epochs = list(itertools.zip_longest(*series))
    length = len(epochs)
    step = max(1, math.ceil(length / MAX_EPOCHS))
    points = []
    for epoch in dict.fromkeys([*range(0, length, step), length - 1] if length else []):
        measured = [value for value in epochs[epoch] if value is not None]
        if measured:
            points.append((epoch + 1, sum(measured) / len(measured)))
    return points
