"""Does a series of samples drift?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bench.statistics.results import Refusal, finite_vector, too_few

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
