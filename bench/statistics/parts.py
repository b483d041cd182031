"""What the variance of a score is made of, clips and seeds, and how far an interval of both extends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from bench.statistics.results import Floats

TINY = 1e-30
"""Variances are at least this where they divide."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What variances of scores, or of differences of scores, are made of.

    Attributes:
        groups: Groups that were drawn from.
        drawn: Variance of the draws of groups.
        clips: The part of it that no further seed would change.
        seeds: Variance due to seeds.
        seed_freedom: Degrees of freedom of ``seeds``, at least 1.
    """

    groups: int
    drawn: Floats
    clips: Floats
    seeds: Floats
    seed_freedom: Floats

    def __getitem__(self, at: Any) -> Parts:
        """The parts of some of the scores or pairs."""
        return Parts(self.groups, self.drawn[at], self.clips[at], self.seeds[at], self.seed_freedom[at])

    def reach(self, ends: Floats, tail: ArrayLike, student: Floats | None = None) -> Floats:
        """How far an interval extends on one side, with ``tail`` beyond it.

        Args:
            ends: How far the draws of groups alone extend, stretched to Student's quantile, at least 0.
            tail: Probability.
            student: Student's quantile of the groups at ``1 - tail``, where it is known already.

        Returns:
            The mean of two: the root of the squares of what clips and seeds make alone (too wide where both count), and
            Student's quantile of Welch and Satterthwaite for their sum (too narrow where the seeds' part is larger).
        """
        ends = ends * np.sqrt(np.where(self.drawn > TINY, self.clips / np.maximum(self.drawn, TINY), 1.0))
        most, seeds = self.groups - 1, np.sqrt(self.seeds)
        total = np.maximum((self.clips + self.seeds) ** 2, TINY)
        parts = self.clips**2 / most + self.seeds**2 / self.seed_freedom
        freedom = np.clip(total / np.maximum(parts, total / most), 1.0, most)
        wide = np.hypot(ends, special.stdtrit(self.seed_freedom, tail) * seeds)
        student = -special.stdtrit(most, tail) if student is None else student
        narrow = -special.stdtrit(freedom, tail) * np.hypot(ends / student, seeds)
        reach: Floats = (wide + narrow) / 2
        return reach
