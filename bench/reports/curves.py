"""Pictures of training: loss by epoch, the score on validation by time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from bench.analysis.artifacts import Curve
from bench.analysis.model import Section
from bench.reports import drawn, formatting
from bench.reports.svg import ACCENT, FG, MUTED, SECOND, new_figure, plain_log, render, style

MAX_EPOCHS = 30
"""Points of one learning curve; longer ones are thinned."""

COLUMNS = 4
PANEL = (235.0, 95.0)
"""Width and height of a panel of learning curves, in pixels."""

Points = list[tuple[int, float]]


def curve_plot(section: Section, _prefix: str) -> str:
    """Loss by epoch, one small panel per row; the score on validation where there is one. Empty without curves."""
    rows = [(row, lines) for row in section.rows if (lines := fold_curves(row.detail.curves))]
    if not rows:
        return ""
    every = [point for _, lines in rows for pair in lines for line in pair for point in line]
    x = (1.0, float(max(2, *(epoch for epoch, _ in every))))
    y = (min(0.0, *(value for _, value in every)), 1.05 * max(1e-9, *(value for _, value in every)))
    columns, width = min(COLUMNS, len(rows)), PANEL[0] + 22
    step = PANEL[1] + 30
    lowest = math.ceil(len(rows) / columns) - 1
    parts = [
        drawn.text(
            14, 24 + PANEL[1] / 2, "training loss", "middle", f' transform="rotate(-90 14 {24 + PANEL[1] / 2:g})"'
        )
    ]
    for place, (row, lines) in enumerate(rows):
        across, down = place % columns, place // columns
        panel = drawn.Panel(left=50 + across * width, top=24 + down * step, width=PANEL[0], height=PANEL[1], x=x, y=y)
        parts += [
            drawn.x_axis(panel, drawn.ticks(*x, most=4), labels=down == lowest or place + columns >= len(rows)),
            drawn.y_axis(panel, drawn.ticks(*y, most=3), labels=across == 0),
            drawn.text(panel.left, panel.top - 6, drawn.shortened(formatting.name(section, row), PANEL[0])),
        ]
        for loss, seen in lines:
            parts.append(drawn.line([panel.at(*point) for point in loss], drawn.ACCENT, 0.9, ' opacity="0.75"'))
            if seen:
                parts.append(drawn.line([panel.at(*point) for point in seen], drawn.SECOND, 0.9, ' opacity="0.75"'))
    bottom = 24 + lowest * step + PANEL[1]
    parts.append(drawn.text(50 + PANEL[0] / 2, bottom + 32, "epoch", "middle"))
    label = "training loss by epoch, one panel per row, one line per fold"
    return drawn.svg(50 + columns * width, bottom + 40, label, parts)


def fold_curves(curves: Sequence[Curve]) -> list[tuple[Points, Points]]:
    """Loss and score on validation of each fold, averaged over seeds, as at most :data:`MAX_EPOCHS` points.

    Returns:
        ``(epoch, value)`` pairs of the loss and of the score, per fold; unmeasured epochs are left out.
    """
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
    colours = [ACCENT, SECOND, FG, MUTED]
    dashes = ["-", "--", ":", "-."]
    with style():
        figure = new_figure(7.6, 3.6)
        axes = figure.subplots()
        for number, (row, lines) in enumerate(rows):
            look: dict[str, Any] = {
                "color": colours[number % 4],
                "ls": dashes[number // 4 % 4],
                "lw": 1.0,
                "alpha": 0.8,
            }
            for place, line in enumerate(lines):
                label = formatting.name(section, row) if place == 0 else None
                axes.plot(*zip(*line, strict=True), label=label, **look)
        axes.set_xlabel("seconds of training")
        metric = next(curve.metric for row, _ in rows for curve in row.detail.curves if curve.seconds)
        axes.set_ylabel(f"{metric.name}{formatting.unit(metric)} on validation")
        seconds = [at for _, lines in rows for line in lines for at, _ in line if at > 0]
        if seconds and max(seconds) >= 10 * min(seconds):
            axes.set_xscale("log")
            plain_log(axes, seconds)
        figure.legend(loc="outside right upper", frameon=False, fontsize=7)
        return render(
            figure, prefix, f"{metric.name} on validation against seconds of training, one line per row and fold"
        )


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
    length = max((len(values) for values in series), default=0)
    step = max(1, math.ceil(length / MAX_EPOCHS))
    points = []
    for epoch in dict.fromkeys([*range(0, length, step), length - 1] if length else []):
        known = [values[epoch] for values in series if epoch < len(values)]
        measured = [value for value in known if value is not None]
        if measured:
            points.append((epoch + 1, sum(measured) / len(measured)))
    return points
