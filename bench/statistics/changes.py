"""Where a stored history changes: lasting steps, creep, and what cannot be told yet.

A history is cut into stretches that are level or follow a straight line, by exact search over all cuts (optimal
partitioning; Jackson et al., 2005) with squared distances in units of the noise. So a change and its mending are found
together, and no cut is moved for the sake of a least length: stretches too short to trust are outliers inside, and not
resolvable yet at the end. What the search proposes, shuffling must confirm, which assumes no shape of the noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.statistics.results import Floats, Refusal, finite_vector

LEAST_RUNS = 6
"""Below it a history says nothing, unless its quantity is exact."""
LEAST_STRETCH = 3
"""Runs of one level that are no outliers."""
LEAST_CREEP = 8
"""Runs over which a line is looked for."""
_SHUFFLES = 1999
_CUT = 4.0
"""Squared noise units, times the logarithm of the number of runs, that a further stretch must explain."""
_LINE = 12.0
"""Squared noise units that a slope within a stretch must explain."""
_CLEAR = 8.0
"""Standard errors beyond which a jump needs no shuffling: a few runs on each side cannot give a small p-value."""
_SUPPORT = 7.352
"""Squared noise units within which the place of a step lies in 95 %: -2 log(1 - sqrt(0.95)) (Hansen, 2000)."""

Runs = NDArray[np.int64]
Stretch = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    """From one level to another."""

    before: float
    after: float
    p_value: float

    @property
    def ratio(self) -> float | None:
        """After over before, ``None`` from zero."""
        return self.after / self.before if self.before else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step(_Change):
    """One lasting jump in a history.

    Attributes:
        index: First value after the jump.
        earliest: First index that the data allow for it, with 95 % confidence.
        latest: Last such index.
        before: Level before it; where that creeps, at its end.
        after: Level after it; where that creeps, at its beginning.
        p_value: Share of shuffled histories with an equally large split; 0 of an exact quantity.
    """

    index: int
    earliest: int
    latest: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Creep(_Change):
    """A stretch that follows a line.

    Attributes:
        start: Its first run.
        stop: The run behind its last one.
        before: Where the line begins.
        after: Where it ends.
        p_value: Two-sided Mann-Kendall test.
    """

    start: int
    stop: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What became of one quantity.

    Attributes:
        steps: From old to new.
        creeps: From old to new.
        unresolved: First of the latest runs that lie off the level before them and are too few to call it a step;
            ``None`` where there are none.
    """

    steps: tuple[Step, ...] = ()
    creeps: tuple[Creep, ...] = ()
    unresolved: int | None = None


def detect_changes(
    values: ArrayLike, *, alpha: float = 0.003, tolerance: float = 0.01, exact: bool = False, seed: int = 0
) -> Changes | Refusal:
    """Find lasting steps and creep in a stored history.

    Args:
        values: One value per run, oldest first ``(runs,)``; compared by ratio where all are above 0.
        alpha: Significance of one change; at least 1 / 2000, the resolution of the shuffles.
        tolerance: Changes up to this share (of the largest absolute value, where some are not above 0) are left out.
        exact: The quantity has no noise (a count of parameters): each change is a step, the last run's too.
        seed: Of the shuffles.

    Returns:
        What was found, or a refusal with fewer than six runs (two of an exact quantity).

    Raises:
        ValueError: If a value is not finite, or a setting is out of range.
    """
    history = finite_vector(values, "values")
    if not 1 / (_SHUFFLES + 1) <= alpha < 1:
        raise ValueError(f"alpha is {alpha}; it must lie between {1 / (_SHUFFLES + 1)} and 1")
    need = 2 if exact else LEAST_RUNS
    if history.size < need:
        return Refusal(reason=f"{history.size} runs: changes need {need}", have=history.size, need=need)
    ratios = bool((history > 0).all())
    scale = 1.0 if ratios else float(np.abs(history).max()) or 1.0
    points = np.log(history) if ratios else history / scale
    small = math.log1p(tolerance) if ratios else tolerance
    if exact:
        return Changes(steps=tuple(_moves(history, np.flatnonzero(np.abs(np.diff(points)) > small) + 1)))
    rng = np.random.default_rng(seed)
    return _Search(points=points, scale=None if ratios else scale, small=small, alpha=alpha, rng=rng).run()


def _moves(history: Floats, places: Runs) -> list[Step]:
    return [
        Step(index=i, earliest=i, latest=i, before=float(history[i - 1]), after=float(history[i]), p_value=0.0)
        for i in places.tolist()
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Search:
    """One history as points: logarithms, or shares of the largest value, which is then ``scale``."""

    points: Floats
    scale: float | None
    small: float
    alpha: float
    rng: np.random.Generator

    def run(self) -> Changes:
        moves = np.diff(self.points)
        rough = float(np.median(np.abs(moves - np.median(moves)))) / (0.6745 * 2**0.5)
        kept, stretches, _ = self._cut(max(rough, self.small / 3))
        # Differences give the noise roughly; what lies around the stretches gives it well.
        left = sum(_fit(self.points[kept[start:stop]])[1] for start, stop in stretches)
        noise = max(float((left / max(len(kept) - 2 * len(stretches), 1)) ** 0.5), self.small / 3)
        kept, stretches, unresolved = self._cut(noise)
        steps, starts = [], [0]
        for start, stop in stretches[1:]:
            step = self._step(kept, (starts[-1], start, stop), noise)
            if step is not None:
                steps.append(step)
                starts.append(start)
            elif stop == len(kept) and unresolved is None and self._off(kept, (starts[-1], start, stop)):
                unresolved = int(kept[start])
        end = len(kept) if unresolved is None else int(np.searchsorted(kept, unresolved))
        creeps = [self._creep(kept[start:stop]) for start, stop in pairwise([*starts, end])]
        return Changes(
            steps=tuple(steps), creeps=tuple(one for one in creeps if one is not None), unresolved=unresolved
        )

    def back(self, point: float) -> float:
        """The value of a point."""
        return math.exp(point) if self.scale is None else point * self.scale

    def _cut(self, noise: float) -> tuple[Runs, list[Stretch], int | None]:
        """The runs that are no outliers, their stretches, and the first of the last runs that are off."""
        kept, unresolved = np.arange(self.points.size), None
        while True:
            stretches = partition(self.points[kept] / noise)
            short = [(start, stop) for start, stop in stretches if stop - start < LEAST_STRETCH]
            if not short or len(kept) < LEAST_RUNS:
                return kept, stretches, unresolved
            if short[-1][1] == len(kept):
                unresolved = int(kept[short[-1][0]])
            kept = np.delete(kept, np.concatenate([np.arange(start, stop) for start, stop in short]))

    def _sides(self, kept: Runs, where: tuple[int, int, int]) -> tuple[Floats, Floats]:
        """Points before and after a cut, each less its own slope: as if it had the level next to the cut."""
        start, cut, stop = where
        before, after = self.points[kept[start:cut]], self.points[kept[cut:stop]]
        return before - _fit(before)[0] * np.arange(1 - before.size, 1), after - _fit(after)[0] * np.arange(after.size)

    def _step(self, kept: Runs, where: tuple[int, int, int], noise: float) -> Step | None:
        before, after = self._sides(kept, where)
        jump = float(after.mean() - before.mean())
        if abs(jump) <= self.small:
            return None
        around = np.concatenate([before, after])
        shuffled = self.rng.permuted(np.tile(around, (_SHUFFLES, 1)), axis=1)
        reached = (_contrasts(shuffled).max(axis=1) >= _contrasts(around[None, :]).max() - 1e-9).sum()
        p_value = float((1 + reached) / (_SHUFFLES + 1))
        if p_value > self.alpha and abs(jump) <= _CLEAR * noise * (1 / before.size + 1 / after.size) ** 0.5:
            return None
        # Each place at which the two levels explain the runs nearly as well as at the best one.
        lost = _contrasts(around[None, :], least=1)[0] ** 2
        places = 1 + np.flatnonzero(lost >= lost.max() - _SUPPORT * noise**2)
        first = where[0]
        return Step(
            index=int(kept[where[1]]), earliest=int(kept[first + places[0]]), latest=int(kept[first + places[-1]]),
            before=self.back(float(np.median(before))), after=self.back(float(np.median(after))),
            p_value=p_value,
        )  # fmt: skip

    def _off(self, kept: Runs, where: tuple[int, int, int]) -> bool:
        before, after = self._sides(kept, where)
        return abs(float(after.mean() - before.mean())) > self.small

    def _creep(self, runs: Runs) -> Creep | None:
        if runs.size < LEAST_CREEP:
            return None
        from scipy.stats import kendalltau, theilslopes

        line = theilslopes(self.points[runs], runs)
        first, last = (float(line.intercept + line.slope * run) for run in (runs[0], runs[-1]))
        p_value = float(kendalltau(runs, self.points[runs]).pvalue)
        if not p_value <= self.alpha or abs(last - first) <= self.small:
            return None
        return Creep(
            start=int(runs[0]), stop=int(runs[-1]) + 1, before=self.back(first), after=self.back(last),
            p_value=p_value,
        )  # fmt: skip


def partition(points: Floats) -> list[Stretch]:
    """The cheapest cut of points ``(runs,)``, in noise units, into stretches that are level or follow a line.

    >>> partition(np.array([0.0] * 5 + [9.0] * 4))
    [(0, 5), (5, 9)]
    """
    n = points.size
    price = _CUT * np.log(max(n, 3))
    time, y = np.arange(n, dtype=np.float64), points - points.mean()
    sums = [np.concatenate([[0.0], np.cumsum(values)]) for values in (time, time**2, y, y**2, time * y)]
    best, cuts = np.zeros(n + 1), np.zeros(n + 1, dtype=np.int64)
    best[0] = -price
    for stop in range(1, n + 1):
        t, tt, s, ss, ts = (total[stop] - total[:stop] for total in sums)
        size = np.arange(stop, 0, -1, dtype=np.float64)
        level = np.maximum(ss - s**2 / size, 0)
        spread = np.where(size >= LEAST_CREEP, tt - t**2 / size, np.inf)
        line = np.maximum(level - (ts - t * s / size) ** 2 / spread, 0) + _LINE
        total = best[:stop] + price + np.minimum(level, line)
        cuts[stop] = start = int(total.argmin())
        best[stop] = total[start]
    stretches, stop = [], n
    while stop:
        stretches.append((int(cuts[stop]), stop))
        stop = int(cuts[stop])
    return stretches[::-1]


def _fit(points: Floats) -> tuple[float, float]:
    """Slope per run and sum of squares around the better of a level and a line; the slope of a level is 0."""
    around = points - points.mean()
    level = float((around**2).sum())
    if points.size < LEAST_CREEP:
        return 0.0, level
    time = np.arange(points.size) - (points.size - 1) / 2
    slope = float((time * around).sum() / (time**2).sum())
    line = max(level - slope**2 * float((time**2).sum()), 0.0)
    # As in the partition: a slope must explain _LINE squared units of what is left around it.
    return (slope, line) if level - line > _LINE * line / (points.size - 2) else (0.0, level)


def _contrasts(rows: Floats, *, least: int = LEAST_STRETCH) -> Floats:
    """Standardised difference of means ``(rows, splits)`` of each row's splits with ``least`` points on each side."""
    n = rows.shape[1]
    least = min(least, n // 2)
    before = np.arange(least, n - least + 1)
    sums = rows.cumsum(axis=1)[:, before - 1]
    contrasts: Floats = np.abs(sums - before * rows.mean(axis=1, keepdims=True)) * np.sqrt(n / (before * (n - before)))
    return contrasts
