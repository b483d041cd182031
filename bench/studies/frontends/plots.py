"""Pictures of the front-end study, as SVG and PNG files and as inline SVG; same input, same bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.reports.drawing import ACCENT, FG, SECOND, drawing_files, new_figure, render, style
from bench.studies.frontends.render import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bench.studies.frontends.features import Spectrogram

DECIBEL = 10 / math.log(10)
"""dB per unit of a natural logarithm of power."""

Drawing = dict[str, Any]
"""One drawing in three forms: ``svg`` and ``png``, whole files, and ``inline``, an ``<svg>`` element for a page."""
TICKS_HZ = (125, 500, 1000, 2000, 4000, 8000)
MAP = "magma"
BARS = {
    "infer": "inference, clips/s", "train": "training, clips/s",
    "host_train_mib": "host memory while training, MiB",
}  # fmt: skip


def spectrograms(pictures: Sequence[Spectrogram]) -> Drawing:
    """Small spectrograms, a line per clip and a column per front end, with one colour scale for all.

    Returns:
        The drawing.
    """
    if not pictures:
        raise ValueError("no picture to draw: no front end has known frequencies")
    clips = list(dict.fromkeys(one.clip for one in pictures))
    names = list(dict.fromkeys(one.frontend for one in pictures))
    low = min(float(one.values.min()) for one in pictures) * DECIBEL
    high = max(float(one.values.max()) for one in pictures) * DECIBEL
    with style():
        figure = new_figure(2.1 * len(names) + 1.1, 1.75 * len(clips) + 0.3)
        grid = figure.subplots(len(clips), len(names), squeeze=False)
        drawn = None
        for axes in grid.flat:
            axes.set_axis_off()
        for one in pictures:
            line, column = clips.index(one.clip), names.index(one.frontend)
            drawn = _spectrogram(grid[line, column], one, (low, high))
            _label(grid[line, column], one, first=column == 0, top=line == 0, last=line == len(clips) - 1)
        bar = figure.colorbar(drawn, ax=grid, fraction=0.03, pad=0.01)  # type: ignore[arg-type]
        bar.set_label("power, dB")
        bar.outline.set_visible(False)
        label = f"Spectrograms of {' and '.join(clips)} under {', '.join(names)}, one colour scale"
        return {**drawing_files(figure), "inline": render(figure, "spectrograms", label)}


def bars(study: Mapping[str, Any]) -> Drawing:
    """Speed, storage and memory of each feeding as bars with their numbers, the baseline in another colour."""
    panels = bar_panels(study)
    with style():
        heights = [len(panel["bars"]) + 1.6 for panel in panels]
        figure = new_figure(7.2, 0.21 * sum(heights) + 0.3)
        grid = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)
        for axes, panel in zip(grid.flat, panels, strict=True):
            _bars(axes, panel)
        label = "Clips per second, bytes per clip and host memory of each feeding"
        return {**drawing_files(figure), "inline": render(figure, "feedings", label)}


def bar_panels(study: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What :func:`bars` draws: ``title``, ``bars`` (name, number or ``None``, whether it is the baseline)."""
    panels: list[dict[str, Any]] = []
    for key, title in BARS.items():
        known = [(shown(name), row[key], name.endswith("precomputed")) for name, row in study["rows"].items()]
        panels.append({"title": title, "bars": known})
    storage = study["features"]["storage"]
    kept = [(name, size, name == "float32") for name, size in storage.items()]
    panels.append({"title": "bytes per clip on disk", "bars": kept})
    batch = str(max(study["delivery"]["batches"]))
    delivered = [
        (row["name"], None if row["rates"][batch] is None else row["rates"][batch]["clips_per_s"],
         (row["kept"], row["place"]) == ("float32", "warm"))
        for row in study["delivery"]["rows"]
    ]  # fmt: skip
    title = f"data until the forward, clips/s at batch {batch} (logarithmic)"
    return [*panels, {"title": title, "bars": delivered, "log": True}]


def _spectrogram(axes: Axes, one: Spectrogram, ends: tuple[float, float]) -> Any:
    """The bins keep equal heights; their frequencies stand on the axis."""
    axes.set_axis_on()
    axes.grid(visible=False)
    bins = len(one.hertz)
    ticks = [hz for hz in TICKS_HZ if one.hertz[0] <= hz <= one.hertz[-1]]
    axes.set_yticks([float(np.interp(hz, one.hertz, np.arange(bins))) for hz in ticks], [f"{hz}" for hz in ticks])
    return axes.imshow(
        one.values * DECIBEL, origin="lower", aspect="auto", cmap=MAP, vmin=ends[0], vmax=ends[1],
        interpolation="nearest", extent=(0.0, one.seconds, -0.5, bins - 0.5),
    )  # fmt: skip


def _label(axes: Axes, one: Spectrogram, *, first: bool, top: bool, last: bool) -> None:
    axes.tick_params(labelsize=6.5, labelleft=first, labelbottom=last)
    if top:
        axes.set_title(one.frontend)
    if first:
        axes.set_ylabel(f"{one.clip}\n{one.silent:.0%} silent\nHz", fontsize=7)
    if last:
        axes.set_xlabel("s", fontsize=7)


def _bars(axes: Axes, panel: Mapping[str, Any]) -> None:
    entries = panel["bars"]
    known = [value for _, value, _ in entries if value is not None]
    places = np.arange(len(entries))
    colours = [ACCENT if baseline else SECOND for _, _, baseline in entries]
    axes.barh(places, [value or 0.0 for _, value, _ in entries], color=colours, height=0.7)
    names = [f"{name} (baseline)" if baseline else name for name, _, baseline in entries]
    axes.set_yticks(places, names, fontsize=7)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_title(panel["title"], loc="left")
    axes.tick_params(axis="x", labelsize=6.5)
    if panel.get("log") and known:
        axes.set_xscale("log")
        axes.set_xlim(min(known) / 2, max(known) * 4)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("")
    elif known:
        axes.set_xlim(0, max(known) * 1.18)
    start = axes.get_xlim()[0]
    for place, (_, value, _) in zip(places, entries, strict=True):
        text = "not measured" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
        axes.text(start if value is None else value, float(place), f" {text}", va="center", fontsize=6.5, color=FG)
