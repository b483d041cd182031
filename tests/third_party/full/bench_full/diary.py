"""What happened, a line each, as it happens."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench import Cell, Record


class Diary:
    """``--observer full.diary:mark=*`` writes every line behind a mark."""

    def __init__(self, *, folder: Path, mark: str = "-") -> None:
        self._file, self._mark = folder / "diary.txt", mark

    def _write(self, *words: object) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("a", encoding="utf-8") as file:
            print(self._mark, *words, file=file)

    def cell_start(self, cell: Cell, recipe: Mapping[str, Any]) -> None:
        """With the epochs to come."""
        self._write("start", cell.kind, cell.model, recipe["epochs"])

    def epoch_end(self, cell: Cell, epoch: int, scores: Mapping[str, float]) -> None:
        """With what was told."""
        self._write("epoch", cell.model, epoch, *sorted(scores))

    def cell_finish(self, record: Record) -> None:
        """With its status."""
        self._write("finish", record.cell.kind, record.cell.model, record.status)

    def close(self) -> None:
        """At the end."""
        self._write("close")
