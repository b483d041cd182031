"""One accuracy: the score interval of Wilson, and the smallest difference a test set can show."""

from __future__ import annotations

import math

from scipy import special

from bench.statistics._checks import check_level
from bench.statistics.results import Interval, Refusal

POWER_FACTOR = 2.8
"""Sum of the normal quantiles for a two-sided 5 % test (1.96) and for 80 % power (0.84)."""


def wilson(successes: float, n: int, level: float = 0.95) -> Interval:
    """Score interval of a proportion whose trials are independent.

    Args:
        successes: Clips that were right, 0 to ``n``.
        n: Clips, at least 1.
        level: Nominal coverage.

    Returns:
        The interval as fractions. With several clips per recording it is too narrow:
        use :func:`bench.statistics.cluster_bootstrap`.

    Raises:
        ValueError: If there is no clip or ``successes`` is not among them.

    Source: Wilson (1927), without continuity correction.
    """
    check_level(level)
    if n < 1:
        raise ValueError(f"n is {n}; an accuracy needs at least one clip")
    if not 0 <= successes <= n:
        raise ValueError(f"successes is {successes}; it must lie between 0 and n = {n}")
    z = float(special.ndtri(0.5 + level / 2))
    share = successes / n
    scale = 1 + z * z / n
    centre = (share + z * z / (2 * n)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return Interval(estimate=share, low=low, high=high, level=level, method="Wilson")


def minimum_detectable_difference(discordance: float, n: int) -> float | Refusal:
    """Smallest accuracy difference that a paired test on ``n`` clips finds in four of five cases.

    Args:
        discordance: Fraction of clips on which exactly one of the two models is right, 0 to 1.
        n: Shared clips, at least 1.

    Returns:
        ``2.8 * sqrt(discordance / n)`` as a fraction (two-sided 5 % test, 80 % power, independent clips), or a
        refusal where no clip was discordant, so that the rate is unknown.

    Raises:
        ValueError: If the rate is no fraction or there is no clip.
    """
    if not 0 <= discordance <= 1:
        raise ValueError(f"discordance is {discordance}; it must be a fraction between 0 and 1")
    if n < 1:
        raise ValueError(f"n is {n}; a comparison needs at least one shared clip")
    if discordance == 0:
        return Refusal(reason="no clip on which exactly one model is right: the discordance is unknown", have=0, need=1)
    return POWER_FACTOR * math.sqrt(discordance / n)
