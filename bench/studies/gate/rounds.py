"""What a gate has measured so far, in memory and in a file that a stopped one goes on from."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench.gate.looks import Series

SIDES = ("base", "candidate", "again")
"""``again`` is the base once more, in an image of its own: what the two differ by is the noise floor."""
FILE, UNFINISHED = "blocks.jsonl", "blocks.partial.jsonl"

Values = Mapping[str, Mapping[str, Any]]


def middle_values(processes: Sequence[Values]) -> Values:
    """Of quantities that all processes have the median."""
    common = set.intersection(*map(set, processes))
    middle = {name: statistics.median(one[name]["value"] for one in processes) for name in common}
    return {name: {**about, "value": middle[name]} for name, about in processes[0].items() if name in common}


@dataclass(kw_only=True)
class Rounds:
    """What was measured so far, also in a file, so that a stopped gate goes on.

    Attributes:
        counts: What can be counted, by row and side.
        took: Seconds that counting took, by row.
        blocks: Complete rounds of each row: by side what the processes of one image measured.
        failed: Why a row is measured no further, by row: the side and the reason.
        most: Rounds that the time allows, 0 until it is known.
        seconds: Spent on measuring.
    """

    path: Path
    counts: dict[str, dict[str, Values]] = field(default_factory=dict)
    took: dict[str, float] = field(default_factory=dict)
    blocks: dict[str, list[dict[str, Values]]] = field(default_factory=dict)
    failed: dict[str, tuple[str, str]] = field(default_factory=dict)
    most: int = 0
    seconds: float = 0.0

    @classmethod
    def open(cls, folder: Path, key: Mapping[str, Any]) -> Rounds:
        """Those of a gate with the same ``key`` that was stopped, else none."""
        rounds = cls(path=folder / UNFINISHED)
        folder.mkdir(parents=True, exist_ok=True)
        first = json.dumps(key)
        lines = rounds.path.read_text(encoding="utf-8").split("\n") if rounds.path.is_file() else []
        if lines[:1] != [first]:
            rounds.path.write_text(f"{first}\n", encoding="utf-8")
            return rounds
        rounds.path.write_text("".join(f"{line}\n" for line in lines[:-1]), encoding="utf-8")  # the last may be torn
        for line in lines[1:-1]:
            rounds._take(json.loads(line))
        return rounds

    def add(self, what: str, **values: Any) -> None:
        """Note a line: ``counts``, ``block``, ``failed`` or ``most``."""
        line = {"what": what, **values}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self._take(line)

    def _take(self, line: Mapping[str, Any]) -> None:
        self.seconds += line.get("seconds", 0.0)
        match line:
            case {"what": "counts", "row": row, "sides": sides}:
                self.counts[row], self.took[row] = sides, line.get("seconds", 0.0)
            case {"what": "block", "row": row, "sides": sides}:
                self.blocks.setdefault(row, []).append(sides)
            case {"what": "failed", "row": row, "side": side, "why": why}:
                self.failed[row] = side, why
            case {"what": "most", "rounds": most}:
                self.most = most

    def finish(self) -> None:
        """Keep the file under its final name: the next gate measures afresh."""
        self.path.replace(self.path.with_name(FILE))

    def series(self, row: str, most: int | None = None) -> Iterator[Series]:
        """Quantities that every process of a row has, over its first ``most`` rounds."""
        rounds = self.blocks.get(row, [])[:most]
        every = [block[side] for block in rounds for side in SIDES]
        for name in sorted(set.intersection(*map(set, every)) if every else ()):
            base, candidate, again = (
                np.array([block[side][name]["value"] for block in rounds], dtype=np.float64) for side in SIDES
            )
            if min(base.min(), candidate.min(), again.min()) > 0:
                about = every[0][name]
                yield Series(
                    row=row, quantity=name, unit=about["unit"], higher_is_better=about["higher_is_better"],
                    base=np.stack([base, again]), candidate=candidate,
                )  # fmt: skip
