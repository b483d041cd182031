"""How far a candidate is from its baseline: an estimate, and an interval where the measurements give one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.gate.baseline import DRAWS, Measured, PinnedRow, Scored, score_mean, unpacked
from bench.statistics.bootstrap import wilson
from bench.statistics.draws import MIN_SEEDS, Resampled
from bench.statistics.paired import paired_cluster_bootstrap
from bench.statistics.results import Refusal
from bench.statistics.timing import MIN_PROCESSES, compare_times

BLOCKS = 20
"""Consecutive blocks that the raw samples of one process are cut into: neighbouring samples are not independent."""
MIN_BLOCK = 5
"""Samples in a block."""
FEW_SEEDS_LEVEL = 0.98
"""Least level of a score's interval below three seeds: nothing in it stands for what another training would give."""
RATE = "clips/s"
"""Unit of quantities whose samples are blocks already: the rates of the blocks of a throughput."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Two values, and the interval ``low`` to ``high`` of ``candidate - baseline``.

    Attributes:
        low: ``None`` like ``high`` where there is no interval.
        method: How the interval was made, or why there is none.
    """

    baseline: float
    candidate: float
    low: float | None
    high: float | None
    method: str


def measured_difference(candidate: Measured, baseline: Measured, level: float) -> Difference:
    """Difference of two positive quantities, from the ratio of their processes or, with few of them, of their blocks.

    Values are medians over processes. From eight processes a side on the interval is over processes; with fewer it
    is over consecutive blocks of raw samples, which do not see what differs from process to process.
    """
    old, new = float(np.median(baseline.processes)), float(np.median(candidate.processes))
    units, what = (candidate.processes, baseline.processes), "processes"
    if min(map(len, units)) < MIN_PROCESSES:
        units, what = (_blocks(candidate), _blocks(baseline)), "blocks of samples"
    found = compare_times(*units, level=level)
    if isinstance(found, Refusal):
        few = min(len(candidate.processes), len(baseline.processes))
        method = f"no interval: {few} process{'es' if few != 1 else ''}, {MIN_PROCESSES} needed"
        return Difference(baseline=old, candidate=new, low=None, high=None, method=method)
    low, high = min(old * (found.low - 1), new - old), max(old * (found.high - 1), new - old)
    method = f"{len(units[0])} and {len(units[1])} {what}"
    return Difference(baseline=old, candidate=new, low=low, high=high, method=method)


def score_difference(candidate: PinnedRow, baseline: PinnedRow, level: float) -> Difference:
    """Difference of two scores over the folds and seeds of the baseline.

    Paired over groups of clips where both sides kept their values, or their score under draws of groups, on the same
    clips; else, for an accuracy, from the two binomial intervals as if the sides were independent, which is wider.
    Other scores have no interval then: the estimate decides. With fewer than three seeds the interval is over clips
    only, and at least one of :data:`FEW_SEEDS_LEVEL`, so that clips alone blame an unchanged model in about one of a
    hundred gates.
    """
    if few_seeds(baseline):
        level = max(level, FEW_SEEDS_LEVEL)
    keys = {(cell.fold, cell.seed) for cell in baseline.cells}
    new = [cell for cell in candidate.cells if (cell.fold, cell.seed) in keys]
    old = list(baseline.cells)
    pinned = {(cell.fold, cell.seed): cell.clips_sha256 for cell in old}
    same = all(cell.clips_sha256 and cell.clips_sha256 == pinned[cell.fold, cell.seed] for cell in new)
    groups = _groups(new)
    why = "no values of the same clips on both sides"
    for read in (_matrix, _resampled) if same else ():
        before, after = read(old, groups), read(new, groups)
        if before is None or after is None:
            continue
        found = paired_cluster_bootstrap(after, before, groups, level=level)
        if not isinstance(found, Refusal):
            value = score_mean(old)
            return Difference(
                baseline=value, candidate=value + found.difference,
                low=found.interval.low, high=found.interval.high, method=f"{100 * level:g} % {found.interval.method}",
            )  # fmt: skip
        why = found.reason
    return _independent(new, old, level, why, proportion=baseline.metric == "accuracy")


def few_seeds(row: PinnedRow) -> bool:
    """Whether the row's scores say nothing of what another training would give."""
    return 0 < len({cell.seed for cell in row.cells}) < MIN_SEEDS


def _blocks(measured: Measured) -> tuple[float, ...]:
    """Medians of consecutive blocks, of all processes; rates are those of blocks as they are."""
    if measured.unit == RATE:
        return tuple(rate for process in measured.samples for rate in process)
    medians: list[float] = []
    for samples in measured.samples:
        count = BLOCKS if len(samples) >= BLOCKS * MIN_BLOCK else max(1, len(samples) // MIN_BLOCK)
        medians.extend(float(np.median(block)) for block in np.array_split(samples, count))
    return tuple(medians)


def _by_seed(cells: Sequence[Scored]) -> dict[int, list[Scored]] | None:
    """The cells of each seed by fold; ``None`` where a fold lacks a seed."""
    seeds: dict[int, list[Scored]] = {}
    for cell in sorted(cells, key=lambda cell: (cell.seed, cell.fold)):
        seeds.setdefault(cell.seed, []).append(cell)
    layouts = {tuple((cell.fold, cell.clips_sha256) for cell in folds) for folds in seeds.values()}
    return seeds if len(layouts) == 1 else None


def _matrix(cells: Sequence[Scored], _: object = None) -> Floats | None:
    """``(seeds, clips)`` over all folds; ``None`` where a fold lacks a seed or its values per clip."""
    seeds = _by_seed(cells)
    if seeds is None or any(cell.per_clip is None or cell.clips is None for cell in cells):
        return None
    rows = ([unpacked(cell.per_clip or "", cell.clips or 0) for cell in folds] for folds in seeds.values())
    return np.stack([np.concatenate(row) for row in rows])


def _resampled(cells: Sequence[Scored], groups: Sequence[str] | None) -> Resampled | None:
    """A score that is no mean over clips, averaged over folds by their clips; ``None`` where a cell has no draws."""
    seeds = _by_seed(cells)
    if seeds is None or any(cell.drawn is None or cell.clips is None for cell in cells):
        return None
    first = next(iter(seeds.values()))
    sizes = [cell.clips or 1 for cell in first]
    drawn = [[unpacked(cell.drawn or "", DRAWS) for cell in folds] for folds in seeds.values()]
    return Resampled(
        observed=np.array([score_mean(folds) for folds in seeds.values()]),
        drawn=np.average(np.array(drawn), axis=1, weights=sizes),
        clips=sum(sizes),
        groups=sum(sizes) if groups is None else len(set(groups)),
        fraction=all(0 <= cell.value <= 1 for cell in cells),
    )


def _groups(cells: Sequence[Scored]) -> list[str] | None:
    """Group of each clip in the order of :func:`_matrix`; ``None`` where a fold has none."""
    first = min(cell.seed for cell in cells)
    folds = sorted((cell for cell in cells if cell.seed == first), key=lambda cell: cell.fold)
    if any(cell.groups is None for cell in folds):
        return None
    return [group for cell in folds for group in cell.groups or ()]


def _independent(
    new: Sequence[Scored], old: Sequence[Scored], level: float, why: str, *, proportion: bool
) -> Difference:
    """Newcombe's interval (1998, method 10) from two Wilson intervals; clips count once however many seeds ran."""
    (a, clips_a), (b, clips_b) = ((score_mean(cells), _clips(cells)) for cells in (new, old))
    if not proportion or clips_a is None or clips_b is None or not (0 <= a <= 1 and 0 <= b <= 1):
        return Difference(baseline=b, candidate=a, low=None, high=None, method=f"no interval: {why}")
    first, second = wilson(a * clips_a, clips_a, level), wilson(b * clips_b, clips_b, level)
    return Difference(
        baseline=b,
        candidate=a,
        low=a - b - math.hypot(a - first.low, second.high - b),
        high=a - b + math.hypot(first.high - a, b - second.low),
        method=f"{100 * level:g} % over {clips_a} and {clips_b} clips, not paired, over clips only",
    )


def _clips(cells: Sequence[Scored]) -> int | None:
    folds = {cell.fold: cell.clips for cell in cells}
    return None if None in folds.values() else sum(clips or 0 for clips in folds.values())
