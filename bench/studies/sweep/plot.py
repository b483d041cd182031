"""The drawing of a recipe sweep: score over value with intervals, as SVG and PNG that give the same bytes again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench.reports.drawing import drawing_files, new_figure, style
from bench.studies.sweep.words import is_percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Curve = Mapping[str, Any]
Point = Mapping[str, Any]

INK, QUIET, LINES = "#1c2733", "#6b7785", "#c9d0d8"
COLOURS = ("#0b62a8", "#b3541e", "#2c7a4b", "#7a3b8f", "#946c00", "#a02c4a")
LOG_FROM = 10.0
"""Ratio of the highest to the lowest value above which the axis is logarithmic."""

_LOOK: dict[str, Any] = {
    "figure.facecolor": "white", "axes.facecolor": "white", "axes.edgecolor": QUIET, "axes.labelcolor": INK,
    "text.color": INK, "xtick.color": QUIET, "ytick.color": QUIET, "grid.color": LINES, "axes.titlecolor": INK,
}  # fmt: skip


def drawn_lines(curve: Curve, keys: Sequence[str]) -> list[tuple[str, list[Point]]]:
    """The lines of the drawing: along the first key, one per value of the second; further keys held at the best.

    Returns:
        The text of the second key's value (empty with one key) and the points in the order of the grid.
    """
    points = curve["points"]
    held = points[curve["best"] if curve["best"] is not None else 0]["texts"]
    shown = [point for point in points if all(point["texts"][key] == held[key] for key in keys[2:])]
    if len(keys) < 2:
        return [("", shown)]
    names = dict.fromkeys(point["texts"][keys[1]] for point in shown)
    return [(name, [point for point in shown if point["texts"][keys[1]] == name]) for name in names]


def positions(points: Sequence[Point], key: str) -> tuple[dict[str, float], str]:
    """Where each value stands and on what kind of axis: ``log``, ``linear`` or ``category``."""
    values = {point["texts"][key]: point["values"][key] for point in points}
    known = list(values.values())
    if not all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in known):
        return {text: float(place) for place, text in enumerate(values)}, "category"
    wide = min(known) > 0 and max(known) > LOG_FROM * min(known)
    return {text: float(value) for text, value in values.items()}, "log" if wide else "linear"


def draw(curve: Curve, keys: Sequence[str]) -> dict[str, bytes]:
    """The drawing as ``{"svg": ..., "png": ...}``."""
    return _drawn(3.6, lambda axes: _curve(axes, curve, keys))


def draw_together(curves: Sequence[Curve], key: str) -> dict[str, bytes]:
    """One line for each model of a data set along one key, as ``{"svg": ..., "png": ...}``."""
    return _drawn(4.2, lambda axes: _curves(axes, curves, key))


def _drawn(height: float, fill: Callable[[Axes], None]) -> dict[str, bytes]:
    import matplotlib as mpl

    look: Any = _LOOK
    with style(), mpl.rc_context(look):
        figure = new_figure(6.4, height)
        fill(figure.subplots())
        return drawing_files(figure)


def _curves(axes: Axes, curves: Sequence[Curve], key: str) -> None:
    scale = 100 if is_percent(curves[0]) else 1
    places = _ground(axes, curves[0], [point for curve in curves for point in curve["points"]], key)
    for number, curve in enumerate(curves):
        colour = COLOURS[number % len(COLOURS)]
        line = sorted(curve["points"], key=lambda point: places[point["texts"][key]])
        _line(axes, line, (places, key, scale), colour)
        axes.plot([], [], "o-", color=colour, label=curve["label"])
    if (chance := curves[0]["chance"]) is not None:
        axes.axhline(scale * chance, color=QUIET, lw=0.8, ls=":", label="chance")
    axes.set_title(curves[0]["dataset"], loc="left")
    axes.legend(fontsize=7, frameon=False, loc="best")


def _ground(axes: Axes, curve: Curve, points: Sequence[Point], key: str) -> Mapping[str, float]:
    """Scales, ticks and labels; where each value stands."""
    places, kind = positions(points, key)
    if kind == "log":
        axes.set_xscale("log")
    if kind == "category" or len(places) <= 8:
        axes.set_xticks(list(places.values()), list(places))
        axes.xaxis.minorticks_off()
    axes.set_xlabel(f"recipe.{key}{' (logarithmic)' if kind == 'log' else ''}")
    axes.set_ylabel(f"{curve['metric']}{' (%)' if is_percent(curve) else ''}")
    return places


def _curve(axes: Axes, curve: Curve, keys: Sequence[str]) -> None:
    scale = 100 if is_percent(curve) else 1
    lines = drawn_lines(curve, keys)
    places = _ground(axes, curve, [point for _, line in lines for point in line], keys[0])
    lost = False
    for number, (name, line) in enumerate(lines):
        colour = COLOURS[number % len(COLOURS)]
        _line(axes, sorted(line, key=lambda point: places[point["texts"][keys[0]]]), (places, keys[0], scale), colour)
        if name:
            axes.plot([], [], "o-", color=colour, label=f"{keys[1]} {name}")
        lost |= any(point["diverged"] for point in line)
    if curve["best"] is not None:
        best = curve["points"][curve["best"]]
        place = places[best["texts"][keys[0]]]
        axes.plot([place], [scale * best["score"]], "D", ms=9, mfc="none", mec=INK, label="highest")
    if curve["chance"] is not None:
        axes.axhline(scale * curve["chance"], color=QUIET, lw=0.8, ls=":", label="chance")
    if lost:
        axes.plot([], [], "x", color=INK, label="diverged")
    label = curve["selection"]["label"]
    axes.set_title(f"{curve['label']}, {curve['dataset']}{f': {label}' if label else ''}", loc="left")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=7, frameon=False, loc="best")


def _line(axes: Axes, line: Sequence[Point], where: tuple[Mapping[str, float], str, int], colour: str) -> None:
    """One line; filled = complete and not significantly below the best, hollow = so, square = cells are missing."""
    places, key, scale = where
    known = [(places[point["texts"][key]], point) for point in line if point["score"] is not None]
    through = [(places[p["texts"][key]], scale * p["score"] if p["complete"] else float("nan")) for p in line]
    axes.plot([x for x, _ in through], [y for _, y in through], color=colour, lw=1.2)
    for x, point in known:
        y = scale * point["score"]
        if point["interval"] is not None:
            axes.plot([x, x], [scale * end for end in point["interval"]], color=colour, lw=1, alpha=0.6)
        against = point["against_best"]
        apart = bool(against and against["resolved"])
        marker = "o" if point["complete"] else "s"
        axes.plot([x], [y], marker, ms=5, color=colour, mfc="white" if apart or not point["complete"] else colour)
    for point in line:
        if point["diverged"]:
            # On the axis itself: the point has a value of the setting and no score.
            x = places[point["texts"][key]]
            axes.plot([x], [0], "x", ms=7, mew=1.8, color=colour, clip_on=False, transform=axes.get_xaxis_transform())
