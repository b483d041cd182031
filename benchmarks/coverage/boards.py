"""How often boards tell equal models apart, and how often they find what differs."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
from simulation import Noise, group_labels, known, simulate

from bench.statistics.ranking import ranking

SIZES = (400, 2000)
SCATTERS = (0.0, 0.5, 1.5, 4.0)
FALSE_BOARDS = 5.0


@dataclass(frozen=True, slots=True)
class BoardRow:
    """One line of the table of boards; shares in percent."""

    what: str
    clips: int
    seeds: int
    scatter: float
    boards: int
    false: float
    found: float | None

    @property
    def verdict(self) -> str:
        error = 100 * math.sqrt(0.05 * 0.95 / self.boards)
        return "holds" if self.false <= FALSE_BOARDS + 2 * error else "FAILS"

    def markdown(self) -> str:
        found = "-" if self.found is None else f"{self.found:.1f}"
        start = f"| {self.what} | {self.clips} | {self.seeds} | {self.scatter:g} "
        return f"{start}| {self.false:.1f} | {found} | {self.verdict} |"


def board_row(
    what: str, accuracies: tuple[float, ...], clips: int, seeds: int, scatter: float, counts: tuple[int, int],
    rng: np.random.Generator,
) -> BoardRow:  # fmt: skip
    """How many boards tell equal models apart, and how many of the pairs that differ they find."""
    boards, inner = counts
    noise = dataclasses.replace(Noise.of(scatter), fold=0.0)
    level = {f"m{i}": accuracy for i, accuracy in enumerate(accuracies)}
    blamed, found = 0, []
    for _ in range(boards):
        labels = group_labels(clips, rng)
        models = dict(zip(level, simulate(labels, accuracies, seeds, noise, rng)[0], strict=True))
        made = known(ranking(models, labels, draws=inner))
        true = np.array([level[model.name] for model in made.models])
        same = true[:, None] == true
        blamed += bool((made.p_values[same] < 0.05).any())
        found.append((made.p_values[~same] < 0.05).mean() if (~same).any() else np.nan)
    power = None if np.isnan(found).any() else 100 * float(np.mean(found))
    return BoardRow(what, clips, seeds, scatter, boards, 100 * blamed / boards, power)


def board_rows(boards: int, inner: int, rng: np.random.Generator) -> list[BoardRow]:
    """Eight equal models, and two clusters of four."""
    shapes = {"eight equal models": (0.7,) * 8, "two clusters of four, 10 points apart": (0.75,) * 4 + (0.65,) * 4}
    cases = [(n, 3, scatter) for n in SIZES for scatter in SCATTERS] + [(n, 5, 1.5) for n in SIZES]
    return [board_row(what, levels, *case, (boards, inner), rng) for what, levels in shapes.items() for case in cases]
