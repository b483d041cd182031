"""What the observers share: a run of their tool for each cell, and what of a cell is written to it."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from bench.cell import Cell
from bench.errors import SelectionError
from bench.results.quantities import QUANTITIES, finite, measurements
from bench.results.records import Record, Status

R = TypeVar("R")
Plain = str | int | float | bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a cell ended; ``results`` are its scores and quantities, each with its unit."""

    status: Status
    why: str = ""
    results: Mapping[str, tuple[float, str]]

    @property
    def said(self) -> str:
        """Status and reason in one."""
        return f"{self.status}: {self.why}" if self.why else self.status

    @property
    def values(self) -> dict[str, float]:
        """The results without their units."""
        return {name: value for name, (value, _) in self.results.items()}

    @property
    def units(self) -> dict[str, str]:
        """The units of those that have one."""
        return {name: unit for name, (_, unit) in self.results.items() if unit}


class RunPerCell(Generic[R]):
    """An observer with a run for each cell that runs, named by ``cell.id``; a tool says how one begins, goes on, ends.

    Attributes:
        package: What must be installed, also the name of the extra that asks for it.

    Args:
        folder: Where the tool writes; it is made when the first cell begins.

    Raises:
        SelectionError: It is not installed.
    """

    package: ClassVar[str]

    def __init__(self, *, folder: Path) -> None:
        if importlib.util.find_spec(self.package) is None:
            raise SelectionError(f"{self.package} is not installed; `pip install 'bench-audio[{self.package}]'`")
        self._folder = folder.resolve()
        self._open: dict[Cell, R] = {}

    def begin(self, name: str, parameters: Mapping[str, Plain]) -> R:
        """A new run, in the place of one of that name that was broken off."""
        raise NotImplementedError

    def log(self, run: R, epoch: int, scores: Mapping[str, float]) -> None:
        """An epoch ended."""
        raise NotImplementedError

    def end(self, run: R, outcome: Outcome) -> None:
        """The cell ended."""
        raise NotImplementedError

    def cell_start(self, cell: Cell, recipe: Mapping[str, Any]) -> None:
        """Begin its run; one that is open was lost with what ran it."""
        self._break_off([cell] if cell in self._open else [], "crashed")
        self._open[cell] = self.begin(cell.id, parameters(cell, recipe))

    def epoch_end(self, cell: Cell, epoch: int, scores: Mapping[str, float]) -> None:
        """Loss, validation score, learning rate and seconds of training against the epoch."""
        if cell in self._open:
            self.log(self._open[cell], epoch, {f"epoch/{name}": value for name, value in scores.items()})

    def cell_finish(self, record: Record) -> None:
        """What came of it."""
        if record.cell not in self._open:
            self.cell_start(record.cell, record.recipe)
        why = record.error.message if record.error else ""
        self.end(self._open.pop(record.cell), Outcome(status=record.status, why=why, results=results(record)))

    def close(self) -> None:
        """End what is open: the run was broken off."""
        self._break_off(list(self._open), "cancelled")

    def _break_off(self, cells: list[Cell], status: Status) -> None:
        for cell in cells:
            self.end(self._open.pop(cell), Outcome(status=status, why="broken off", results={}))


class RunInProject(RunPerCell[R]):
    """The same of a tool that keeps runs in projects, all in one folder."""

    def __init__(self, *, folder: Path, project: str = "bench") -> None:
        super().__init__(folder=folder)
        self._project = str(project)


def parameters(cell: Cell, recipe: Mapping[str, Any]) -> dict[str, Plain]:
    """The axes of a cell, and its settings of training as ``recipe.NAME``."""
    found = {**cell.to_json(), **{f"recipe.{name}": value for name, value in recipe.items()}}
    return {name: value if isinstance(value, Plain) else json.dumps(value) for name, value in found.items()}


def results(record: Record) -> dict[str, tuple[float, str]]:
    """Scores, speed and memory of a record, each with its unit."""
    read = ((quantity, quantity.read(record)) for quantity in (*QUANTITIES, *measurements(record)))
    found = [(score.name, finite(score.value), score.unit) for score in record.scores]
    found += [(quantity.name, value, quantity.unit) for quantity, value in read]
    found.append(("wall_s", finite(record.timing.get("wall_s")), "s"))
    return {f"final/{name}": (value, unit) for name, value, unit in found if value is not None}
