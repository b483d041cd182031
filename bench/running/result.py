"""What a run gave: its plan, its records, its board."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from bench.cell import Cell
from bench.config.suites import Suite, stored_suite
from bench.metrics.scoring import Metric
from bench.planning.plan import Plan
from bench.results.records import Record
from bench.results.store import Store

if TYPE_CHECKING:
    from bench.analysis.model import Board


@dataclass(kw_only=True)
class Result:
    """What a run gave.

    Attributes:
        plan: All cells of the selection with their decisions.
        records: One per cell, in the order of the plan; reused ones included.
        reused: Cells whose stored record was taken.
        seconds: Wall time.
        store: Where the records are.
        metrics: What boards can compute, by name.
        metric: What the board sorts by, ``None`` = each data set's own.
        suite: What the data sets belong to.
    """

    plan: Plan
    records: list[Record]
    reused: frozenset[Cell]
    seconds: float
    store: Store
    metrics: Mapping[str, Metric]
    metric: str | None = None
    suite: Suite | None = None

    @property
    def failed(self) -> list[Record]:
        """Records of cells that were run and have no result."""
        return [r for r in self.records if r.status not in ("ok", "incompatible", "over_budget")]

    @cached_property
    def board(self) -> Board:
        """The leaderboard of this run: its own cells, whatever else the folder holds."""
        return self._board((), self.suite)

    @property
    def folder_board(self) -> Board:
        """The same, and the data sets of the run folder that this run did not touch: files stand for the folder."""
        mine = {planned.cell.dataset for planned in self.plan.cells}
        others = [cell for cell in self.store.planned() if cell.dataset not in mine]
        suite, _ = stored_suite(self.store.read_plan())
        return self._board(others, suite) if others or suite != self.suite else self.board

    def _board(self, others: Sequence[Cell], suite: Suite | None) -> Board:
        from bench.analysis.board import build_board

        records = [*self.records, *filter(None, map(self.store.read, others))]
        planned = [*(p.cell for p in self.plan.cells), *others]
        return build_board(
            records, metrics=self.metrics, metric=self.metric, planned=planned, predictions=self.store.predictions,
            suite=suite,
        )  # fmt: skip
