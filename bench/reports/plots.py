"""The pictures of a board: accuracy by cell, cost against accuracy, learning curves, recall, confusion."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bench.reports import words
from bench.reports.detail import Curve
from bench.reports.layout import Row, Section, Speed
from bench.reports.svg import ACCENT, FG, GRID, MUTED, SECOND, bare, new_figure, panel_grid, render, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_NAMED = 14
"""More points than this in one panel, and only those on the Pareto front are named."""

MAX_EPOCHS = 30
"""Points of one learning curve; longer ones are thinned."""

Points = list[tuple[int, float]]


@dataclass(frozen=True, slots=True)
class Cost:
    """What a panel of the cost plot has on its x axis.

    Attributes:
        title: Label with unit.
        value: The cost or rate of a speed.
        lower_is_better: Its direction.
    """

    title: str
    value: Callable[[Speed], float | None]
    lower_is_better: bool


def costs(device: str) -> tuple[Cost, ...]:
    """Throughput, latency and memory on one device."""

    def peak(speed: Speed) -> float | None:
        return speed.device_peak_mib if device == "cuda" else speed.host_peak_mib

    return (
        Cost("inference, clips/s", lambda speed: speed.infer_clips_per_s, lower_is_better=False),
        Cost("latency of one clip, ms", lambda s: None if s.latency_s is None else 1000 * s.latency_s, True),  # noqa: FBT003
        Cost("peak memory, MiB", peak, lower_is_better=True),
    )


def pareto(points: Sequence[tuple[float, float]], *, lower_is_better: bool) -> list[int]:
    """Indices of the points that no other beats in both directions, by rising cost.

    Args:
        points: ``(cost, accuracy)``.
        lower_is_better: Direction of the cost.

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


def accuracy_plot(section: Section, prefix: str) -> str:
    """One line per row: every cell a dot, the mean with its interval above them. Empty without results."""
    rows = [row for row in section.rows if row.primary is not None]
    if not rows:
        return ""
    scale = 100 if section.primary == "accuracy" else 1
    with style():
        figure = new_figure(7.6, 0.9 + 0.26 * len(rows))
        axes = figure.subplots()
        for place, row in enumerate(rows):
            values = [scale * cell.value for cell in row.cells]
            axes.plot(values, [place] * len(values), "o", ms=3.5, mfc=SECOND, mec="none", alpha=0.45)
            if row.interval is not None:
                axes.plot([scale * row.interval.low, scale * row.interval.high], [place, place], color=FG, lw=1.4)
            axes.plot([scale * (row.primary or 0)], [place], "D", ms=5, color=ACCENT if row.rank else MUTED)
        for value in (section.dataset.majority,):
            if value is not None and section.primary == "accuracy":
                axes.axvline(scale * value, color=MUTED, lw=0.8, ls=":")
        axes.set_yticks(range(len(rows)), [words.name(section, row) for row in rows])
        axes.tick_params(axis="y", colors=FG, length=0)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(f"{section.primary}{' (%)' if scale == 100 else ''}")
        label = f"{section.primary} of {words.plural(len(rows), 'row')}: cells as dots, mean with 95 % interval"
        return render(figure, prefix, label)


def cost_plot(section: Section, prefix: str) -> str:
    """Accuracy against throughput, latency and memory on the first hardware. Empty where none was measured."""
    if not section.hardware:
        return ""
    hardware = section.hardware[0]
    rows = [row for row in section.rows if row.primary is not None and row.speed(hardware.key)]
    if not rows:
        return ""
    with style():
        figure = new_figure(10.5, 3.6)
        panels = figure.subplots(1, 3, sharey=True)
        for axes, cost in zip(panels, costs(hardware.device), strict=True):
            _cost_panel(axes, rows, cost, hardware.key)
        panels[0].set_ylabel("accuracy (%)" if section.primary == "accuracy" else section.primary)
        return render(figure, prefix, f"accuracy against throughput, latency and peak memory on {hardware.label}")


def _cost_panel(axes: Axes, rows: Sequence[Row], cost: Cost, hardware: str) -> None:
    known = []
    for row in rows:
        speed = row.speed(hardware)
        value = None if speed is None else cost.value(speed)
        if value is not None and value > 0 and row.primary is not None:
            known.append((row, value, 100 * row.primary))
    axes.set_xlabel(cost.title)
    if not known:
        axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", color=MUTED)
        return
    front = pareto([(value, score) for _, value, score in known], lower_is_better=cost.lower_is_better)
    middle = math.sqrt(min(value for _, value, _ in known) * max(value for _, value, _ in known))
    for index, (row, value, score) in enumerate(known):
        if row.interval is not None:
            axes.plot([value, value], [100 * row.interval.low, 100 * row.interval.high], color=GRID, lw=1)
        axes.plot([value], [score], "o", ms=5, color=ACCENT if index in front else MUTED)
        if index in front or len(known) <= MAX_NAMED:
            _name_point(axes, words.label(row.key), (value, score), middle)
    axes.step(
        [known[i][1] for i in front],
        [known[i][2] for i in front],
        where="post" if cost.lower_is_better else "pre",
        color=ACCENT,
        lw=1,
        alpha=0.6,
    )
    axes.margins(x=0.15)
    values = [value for _, value, _ in known]
    if max(values) >= 3 * min(values):
        axes.set_xscale("log")
        _plain_log(axes, values)
    else:
        axes.locator_params(axis="x", nbins=5)


def _name_point(axes: Axes, name: str, point: tuple[float, float], middle: float) -> None:
    """A name beside a point, on the side that has more room; it never moves the panel's edges."""
    right = point[0] > middle
    note = axes.annotate(
        name,
        point,
        xytext=(-5 if right else 5, 3),
        textcoords="offset points",
        ha="right" if right else "left",
        fontsize=7,
    )
    note.set_in_layout(False)


def _plain_log(axes: Axes, values: Sequence[float]) -> None:
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
    axes.set_xticks(shown, [words.significant(step, 1) for step in shown])
    axes.xaxis.minorticks_off()


def curve_plot(section: Section, prefix: str) -> str:
    """Training loss per epoch, one small panel per row; validation accuracy where measured. Empty without curves."""
    rows = [row for row in section.rows if row.detail.curves]
    if not rows:
        return ""
    columns = min(4, len(rows))
    lines = math.ceil(len(rows) / columns)
    with style():
        figure, panels = panel_grid(lines, columns, (2.6, 1.45))
        for axes, row in zip(panels, rows, strict=False):
            for loss, seen in fold_curves(row.detail.curves):
                axes.plot(*zip(*loss, strict=True), color=ACCENT, lw=0.7, alpha=0.7)
                if seen:
                    axes.plot(*zip(*seen, strict=True), color=SECOND, lw=0.7, alpha=0.7)
            axes.set_title(words.name(section, row), loc="left")
            axes.locator_params(nbins=4)
        for axes in panels[len(rows) :]:
            bare(axes)
        panels[0].set_ylim(0, panels[0].get_ylim()[1])
        panels[-columns].set_xlabel("epoch")
        panels[0].set_ylabel("training loss")
        return render(figure, prefix, "training loss by epoch, one panel per row, one line per fold")


def fold_curves(curves: Sequence[Curve]) -> list[tuple[Points, Points]]:
    """Loss and validation accuracy of each fold, averaged over seeds, as at most :data:`MAX_EPOCHS` points.

    Returns:
        ``(epoch, value)`` pairs of the loss and of the validation accuracy, per fold; unmeasured epochs are left out.
    """
    lines = []
    for fold in sorted({curve.fold for curve in curves}):
        same = [curve for curve in curves if curve.fold == fold]
        lines.append((_points([curve.loss for curve in same]), _points([curve.validation for curve in same])))
    return [(loss, seen) for loss, seen in lines if loss]


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


def recall_plot(section: Section, prefix: str) -> str:
    """Recall of each class by row; only the numbers' colours, the table below has the figures. Empty without them."""
    rows = [row for row in section.rows if row.detail.recall]
    names = section.dataset.label_names
    if not rows:
        return ""
    values = np.array([[np.nan if value is None else value for value in row.detail.recall] for row in rows])
    order = np.argsort(np.nan_to_num(values, nan=1.0).mean(axis=0), kind="stable")
    with style():
        figure = new_figure(max(4.5, 2.2 + 0.17 * len(names)), 1.6 + 0.2 * len(rows))
        axes = figure.subplots()
        image = axes.imshow(values[:, order], vmin=0, vmax=1, cmap="viridis", aspect="auto", interpolation="nearest")
        axes.set_yticks(range(len(rows)), [words.name(section, row) for row in rows])
        axes.set_xticks(range(len(names)), [names[index] for index in order], rotation=90)
        axes.tick_params(length=0, colors=FG)
        axes.grid(visible=False)
        bar = figure.colorbar(image, ax=axes, label="recall", ticks=[0, 0.5, 1], fraction=0.05)
        bar.outline.set_visible(False)
        return render(figure, prefix, "recall of each class by row, hardest class first")


def confusion_image(row: Row) -> str:
    """The confusion matrix as a data URI: one pixel per pair of classes, darker is more. Empty without predictions."""
    if not row.detail.confusion:
        return ""
    from matplotlib import image

    table = np.array(row.detail.confusion, dtype=float)
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    buffer = io.BytesIO()
    pixels = np.sqrt(shares)
    image.imsave(buffer, pixels, vmin=0, vmax=1, cmap="Blues", format="png", metadata={"Software": ""})
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


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
