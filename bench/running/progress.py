"""Progress: who is told how far a run is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.cell import Cell
    from bench.planning.plan import Plan
    from bench.plugins.interfaces import EpochEnded
    from bench.results.records import Record


class Progress:
    """Told what happens; this one looks away, those of the command line draw it."""

    def note(self, text: str) -> None:
        """A sentence for people."""

    def count(self, what: str, done: int, total: int) -> None:
        """Something countable goes on (download, decoding, timing of models)."""

    def planned(self, plan: Plan, slots: int) -> None:
        """The plan stands."""

    def started(self, cell: Cell) -> None:
        """A cell began."""

    def epoch(self, event: EpochEnded) -> None:
        """A pass over the training clips of a cell ended."""

    def finished(self, record: Record) -> None:
        """A cell ended, or was planned not to run."""
