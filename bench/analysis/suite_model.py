"""What the table of a suite is: several data sets, and one number of each model over them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.analysis.grouping import RowKey
from bench.results.records import Score
from bench.statistics.results import Interval

if TYPE_CHECKING:
    from bench.analysis.model import Rank


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteColumn:
    """One data set of a suite: what its scores are, or why it has no table that counts."""

    dataset: str
    protocol: str
    primary: Score | None
    weight: float
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteRow:
    """One model over a suite.

    Attributes:
        key: Of its row on the first data set that has one.
        scores: On each data set, ``None`` where it has none.
        value: The aggregate; ``None`` where it lacks a data set.
        interval: 95 % interval of it.
        rank: ``None`` where a data set does not rank it.
        reasons: Why it has no aggregate, or no rank.
    """

    key: RowKey
    scores: tuple[float | None, ...]
    value: float | None = None
    interval: Interval | None = None
    rank: Rank | None = None
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteTable:
    """Several data sets and one number of each model.

    Attributes:
        name: What ``--suite`` takes, or the name of its file.
        title: For people.
        aggregate: ``mean``, ``rank`` or ``borda``.
        primary: What the aggregate is, without a value.
        columns: The data sets.
        rows: With an aggregate first, best first.
        varying: Axes of :class:`RowKey` that tell the rows of one model apart.
        notes: What a reader must know.
    """

    name: str
    title: str
    aggregate: str
    primary: Score
    columns: tuple[SuiteColumn, ...]
    rows: tuple[SuiteRow, ...]
    varying: tuple[str, ...]
    notes: tuple[str, ...]
