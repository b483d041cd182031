"""Watch: who is told what happens during a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from bench.cell import Cell
    from bench.planning.plan import Plan


class Watch(Protocol):
    """Told what happens; the command line draws it, the API ignores it."""

    def note(self, text: str) -> None:
        """A sentence for people."""

    def count(self, what: str, done: int, total: int) -> None:
        """Something countable goes on (download, decoding, timing of models)."""

    def planned(self, plan: Plan, slots: int) -> None:
        """The plan stands."""

    def event(self, kind: str, cell: Cell, values: Mapping[str, Any]) -> None:
        """A cell began (``start``), ended an epoch (``epoch``) or ended (``done``, with its ``record``)."""


class Silence:
    """A watch that looks away."""

    def note(self, text: str) -> None:
        """Nothing."""

    def count(self, what: str, done: int, total: int) -> None:
        """Nothing."""

    def planned(self, plan: Plan, slots: int) -> None:
        """Nothing."""

    def event(self, kind: str, cell: Cell, values: Mapping[str, Any]) -> None:
        """Nothing."""
