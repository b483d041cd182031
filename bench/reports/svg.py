"""Matplotlib figures as small inline SVG that follows the page's light or dark colours.

Figures are drawn in stand-in colours, which are then replaced by CSS variables; text stays text. The same figure
gives the same bytes: no date, a fixed salt for ids, and ids carry a prefix so that several figures share a page.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bench.reports import formatting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FG, MUTED, GRID, ACCENT, SECOND = "#112233", "#445566", "#778899", "#aa1122", "#2211aa"
_VARIABLES = {
    FG: "var(--fg)",
    MUTED: "var(--muted)",
    GRID: "var(--line)",
    ACCENT: "var(--accent)",
    SECOND: "var(--second)",
}

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
    """A figure outside pyplot, so that none is kept, whose panels make room for their labels.

    Args:
        width: In inches.
        height: In inches.
    """
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def panel_grid(lines: int, columns: int, size: tuple[float, float]) -> tuple[Figure, list[Axes]]:
    """Many equal panels with shared axes in fixed places: measuring the labels of forty takes seconds.

    Args:
        lines: Rows of panels.
        columns: Panels in each.
        size: Width and height of one panel in inches, with its share of the gaps.

    Returns:
        The figure and its panels, row by row.
    """
    from matplotlib.figure import Figure

    width, height = size[0] * columns + 0.4, size[1] * lines + 0.5
    figure = Figure(figsize=(width, height))
    grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    figure.subplots_adjust(
        left=0.55 / width, right=1 - 0.1 / width, bottom=0.45 / height, top=1 - 0.3 / height, wspace=0.12, hspace=0.35
    )
    return figure, list(grid.flat)


def render(figure: Figure, prefix: str, label: str) -> str:
    """The figure as an ``<svg>`` element.

    Args:
        figure: Drawn within :func:`style`.
        prefix: Makes its ids unique on the page.
        label: What it shows, for readers who do not see it.
    """
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
    for stand_in, variable in _VARIABLES.items():
        text = text.replace(stand_in, variable)
    head, _, rest = text.partition(">")
    head = re.sub(r' (width|height|version|xmlns)="[^"]*"', "", head)
    width = round(96 * figure.get_size_inches()[0])
    look = f"width:100%;min-width:{min(560, width)}px;max-width:{width}px;height:auto"
    head += f' role="img" aria-label="{_attribute(label)}" style="{look}"'
    return f"{head}>{rest}".strip()


def drawing_files(figure: Figure) -> dict[str, bytes]:
    """The figure as whole files: ``{"svg": ..., "png": ...}``, the same bytes each time, on white."""
    files = {}
    for kind, metadata in (("svg", {"Date": None, "Creator": None}), ("png", {"Software": None})):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, metadata=metadata, dpi=150, facecolor="white")
        files[kind] = buffer.getvalue()
    return files


def bare(axes: Axes) -> None:
    """Switch a panel off."""
    axes.set_axis_off()


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


def _attribute(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
