"""Scores of frozen vectors as metrics: of what each clip finds among the others, and of clusters against classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.metrics.clusters import (
    adjusted_rand,
    chance_adjusted_rand,
    chance_v_measure,
    drawn_adjusted_rand,
    drawn_v_measure,
    v_measure,
)
from bench.metrics.retrieval import COLUMNS, Floats

__all__ = (
    "MAP", "RECALL_1", "RECALL_5", "RECALL_10", "R_PRECISION", "adjusted_rand", "chance_adjusted_rand",
    "chance_v_measure", "drawn_adjusted_rand", "drawn_v_measure", "v_measure",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Column:
    """One score of what ``bench.metrics.retrieval.retrieved`` gives: over the queries that have something to find."""

    place: int

    def per_clip(self, found: Floats, _targets: npt.NDArray[Any]) -> Floats | None:
        """Values whose mean over all clips is the score: 0 for a query left out, the others raised as much."""
        values = found[:, self.place]
        known = np.isfinite(values)
        return np.where(known, values, 0.0) * (len(known) / known.sum()) if known.any() else None

    def compute(self, found: Floats, targets: npt.NDArray[Any]) -> float | None:
        """The mean over queries."""
        values = self.per_clip(found, targets)
        return None if values is None else float(values.mean())

    def chance(self, found: Floats, targets: npt.NDArray[Any]) -> float | None:
        """What an order at random scores."""
        return Column(self.place + len(COLUMNS)).compute(found, targets)


MAP, R_PRECISION, RECALL_1, RECALL_5, RECALL_10 = map(Column, range(len(COLUMNS)))
