"""The order in which planned cells run."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

from bench.cell import Cell
from bench.planning.plan import PlannedCell


def in_turns(profile: Sequence[PlannedCell]) -> list[PlannedCell]:
    """Every model's first process, then every model's second one the other way round, and so on.

    A drift of the machine meets all models alike, and no model is measured in one stretch.
    """
    rounds: defaultdict[int, list[PlannedCell]] = defaultdict(list)
    done: Counter[Cell] = Counter()
    for planned in profile:
        same = replace(planned.cell, seed=0)
        rounds[done[same]].append(planned)
        done[same] += 1
    return [planned for i, turn in rounds.items() for planned in (turn if i % 2 == 0 else reversed(turn))]


def longest_first(cells: Sequence[PlannedCell]) -> list[PlannedCell]:
    """Models in the order of their total cost, so that workers end at about the same time."""
    totals: defaultdict[tuple[str, str], float] = defaultdict(float)
    for planned in cells:
        totals[planned.cell.dataset, planned.cell.model] += planned.cost_s or 0.0
    return sorted(cells, key=lambda p: (-totals[p.cell.dataset, p.cell.model], p.cell))
