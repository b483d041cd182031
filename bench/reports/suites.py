"""The table of a suite in words, for every format: one line a model, and what must be said above and below."""

from __future__ import annotations

from typing import Any

from bench.analysis.artifacts import PageSection
from bench.analysis.model import Row
from bench.analysis.suite_model import SuiteRow, SuiteTable
from bench.reports import formatting

NUMERIC = (1, 3, 4)
"""Places of the columns of numbers that every suite has; those of its data sets follow, remarks are last."""
WAYS = {
    "mean": "The aggregate is the weighted mean of the scores",
    "rank": "The aggregate is the weighted mean of the places among the models with an aggregate",
    "borda": "The aggregate is the weighted mean of how many of the models with an aggregate are beaten (ties: half)",
}


def label(row: SuiteRow, table: SuiteTable) -> str:
    """The model, with the axes in which rows of one model differ."""
    axes = ", ".join(str(getattr(row.key, axis)) for axis in table.varying)
    return formatting.label(row.key) + (f" ({axes})" if axes else "")


def header(table: SuiteTable) -> list[str]:
    """Titles of the columns."""
    scores = [
        f"{one.dataset} {one.primary.name}{formatting.unit(one.primary)}" if one.primary else one.dataset
        for one in table.columns
    ]
    shown = f"{table.primary.name}{formatting.unit(table.primary)}"
    return ["model", "rank", "tie", shown, "95 % interval", *scores, "remarks"]


def lines(table: SuiteTable) -> list[list[str]]:
    """A row of texts for each model."""
    return [
        [
            label(row, table),
            formatting.place(row),
            formatting.tie(row),
            formatting.score(row.value, table.primary),
            formatting.between(row.interval, table.primary),
            *(
                formatting.score(value, column.primary) if column.primary else formatting.UNKNOWN
                for value, column in zip(row.scores, table.columns, strict=True)
            ),
            "; ".join(row.reasons),
        ]
        for row in table.rows
    ]


def numeric(table: SuiteTable) -> set[int]:
    """Places of the columns of numbers."""
    return {*NUMERIC, *range(5, 5 + len(table.columns))}


def title(table: SuiteTable) -> str:
    """What stands above it."""
    return f"Suite: {table.title}"


def context(table: SuiteTable) -> list[str]:
    """What stands around it, one sentence each."""
    parts = [
        f"{one.dataset} ({', '.join(filter(None, (one.protocol, f'weight {one.weight:g}', one.why)))})"
        for one in table.columns
    ]
    told = [f"{WAYS[table.aggregate]} on {', '.join(parts)}.", "A model that lacks one of them has none."]
    methods = sorted({row.interval.method for row in table.rows if row.interval})
    told += [f"Intervals: {method}." for method in methods]
    if any(row.rank for row in table.rows):
        told.append("Rows that share a tie letter cannot be told apart (Holm's method over all pairs, 5 %).")
    return [*told, *(f"{note}." for note in table.notes)]


def page_section(table: SuiteTable) -> PageSection:
    """The table as a section of the page."""
    rows = tuple(map(tuple, lines(table)))
    return PageSection(
        anchor="suite", title=title(table), context=tuple(context(table)), header=tuple(header(table)), rows=rows,
        pictures=(),
    )  # fmt: skip


def uncertainty(row: Row | SuiteRow) -> dict[str, Any]:
    """Interval and place of a row as the CSV file has them."""
    places = ("rank_best", "rank_worst", "tie")
    return {
        **{name: getattr(row.interval, name, None) for name in ("low", "high")},
        "interval": row.interval.method if row.interval else None,
        **{name: getattr(row.rank, name.removeprefix("rank_"), None) for name in places},
    }


def flat(table: SuiteTable) -> list[dict[str, Any]]:
    """A line of the CSV file for each model, under the names that lines of data sets have."""
    return [
        {
            "dataset": f"suite:{table.name}",
            "title": table.title,
            **{axis: getattr(row.key, axis) for axis in ("model", "mode", "weights", *table.varying)},
            "metric": table.primary.name,
            "unit": table.primary.unit,
            "higher_is_better": table.primary.higher_is_better,
            "value": row.value,
            **uncertainty(row),
            "ranked": row.rank is not None,
            "remarks": "; ".join(row.reasons) or None,
            "table_notes": " ".join(context(table)),
        }
        for row in table.rows
    ]
