"""Does a series of samples drift, and does a stored history jump?"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from bench.statistics.results import Floats, Refusal, finite_vector, too_few

MIN_TREND_SAMPLES = 11
_MAX_BLOCKS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """Whether timing samples settle.

    Attributes:
        unsteady: The trend is both significant and larger than the tolerance.
        p_value: Two-sided Mann-Kendall test.
        drift: Relative change from the first to the last sample along the Theil-Sen line; positive = slower.
    """

    unsteady: bool
    p_value: float
    drift: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One lasting jump in a history.

    Attributes:
        index: First value after the jump.
        before: Median of the stretch before it.
        after: Median of the stretch after it.
        p_value: Share of shuffled histories with an equally large split.
    """

    index: int
    before: float
    after: float
    p_value: float

    @property
    def ratio(self) -> float:
        """After over before."""
        return self.after / self.before


def trend_test(samples: ArrayLike, *, alpha: float = 0.01, tolerance: float = 0.02) -> Trend | Refusal:
    """Steady-state check on the samples of one process, in the order they were taken.

    Args:
        samples: Raw times ``(samples,)``, above 0; more than 100 are first reduced to medians of 100 equal blocks,
            which also weakens the correlation of neighbours.
        alpha: Below it a trend is significant.
        tolerance: Relative drift that does not matter.

    Returns:
        The trend, or a refusal with fewer than 11 samples.

    Raises:
        ValueError: If a sample is not positive and finite.

    Source: Mann (1945), Kendall (1975); slope by Sen (1968).
    """
    values = finite_vector(samples, "samples", positive=True)
    if values.size < MIN_TREND_SAMPLES:
        return too_few("sample", values.size, MIN_TREND_SAMPLES, "a steady-state check")
    from scipy.stats import kendalltau, theilslopes

    blocks = np.array([np.median(part) for part in np.array_split(values, min(_MAX_BLOCKS, values.size))])
    if np.ptp(blocks) == 0:
        return Trend(unsteady=False, p_value=1.0, drift=0.0)
    p_value = float(kendalltau(np.arange(blocks.size), blocks).pvalue)
    drift = float(theilslopes(blocks).slope) * (blocks.size - 1) / float(np.median(blocks))
    return Trend(unsteady=p_value < alpha and abs(drift) > tolerance, p_value=p_value, drift=drift)


def detect_steps(
    values: ArrayLike, *, alpha: float = 0.01, least: int = 5, tolerance: float = 0.01, seed: int = 0
) -> tuple[Step, ...] | Refusal:
    """Find lasting jumps in a stored history by binary segmentation on ranks.

    At each candidate split the rank sums of both sides are compared (Pettitt's statistic, standardised for the lengths
    of the sides); the largest is judged against the largest of shuffled histories, then both sides are searched again.
    A single outlier moves ranks too little to be a step.

    Args:
        values: One value per run, oldest first ``(runs,)``, above 0.
        alpha: Significance of one split; at least 1 / 1000, the resolution of the shuffles.
        least: Runs on each side of a jump.
        tolerance: Relative jumps up to this size are left out.
        seed: Of the shuffles.

    Returns:
        The steps from old to new, none where the history is level, or a refusal with fewer than ``2 * least`` runs.

    Raises:
        ValueError: If a value is not positive and finite, or a setting is out of range.
    """
    history = finite_vector(values, "values", positive=True)
    if least < 2:
        raise ValueError(f"least is {least}; a stretch needs at least 2 runs")
    if not 0.001 <= alpha < 1:
        raise ValueError(f"alpha is {alpha}; it must lie between 0.001 and 1")
    if history.size < 2 * least:
        reason = f"{history.size} runs: a step needs {least} on each side"
        return Refusal(reason=reason, have=history.size, need=2 * least)
    rng = np.random.default_rng(seed)
    found = _split(history, (0, history.size), (alpha, least), rng)
    edges = [0, *(index for index, _ in found), history.size]
    middles = [float(np.median(history[start:stop])) for start, stop in pairwise(edges)]
    return tuple(
        Step(index=index, before=before, after=after, p_value=p_value)
        for (index, p_value), (before, after) in zip(found, pairwise(middles), strict=True)
        if abs(after / before - 1) > tolerance
    )


def _split(
    history: Floats, within: tuple[int, int], settings: tuple[float, int], rng: np.random.Generator
) -> list[tuple[int, float]]:
    from scipy.stats import rankdata

    (start, stop), (alpha, least) = within, settings
    if stop - start < 2 * least:
        return []
    ranks = rankdata(history[start:stop])
    observed = _split_scores(ranks[None, :], least)[0]
    shuffled = rng.permuted(np.tile(ranks, (999, 1)), axis=1)
    largest = _split_scores(shuffled, least).max(axis=1)
    p_value = float((1 + (largest >= observed.max() - 1e-9).sum()) / 1000)
    if p_value > alpha:
        return []
    index = start + least + int(observed.argmax())
    older = _split(history, (start, index), settings, rng)
    return [*older, (index, p_value), *_split(history, (index, stop), settings, rng)]


def _split_scores(ranks: Floats, least: int) -> Floats:
    """Standardised rank-sum deviation ``(rows, splits)`` of each row's splits ``least`` .. ``n - least``."""
    n = ranks.shape[1]
    before = np.arange(least, n - least + 1)
    sums = ranks.cumsum(axis=1)[:, before - 1]
    scale = np.sqrt(before * (n - before) * (n + 1) / 12)
    scores: Floats = np.abs(sums - before * (n + 1) / 2) / scale
    return scores
