"""Many comparisons at once: adjusted p values."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from bench.statistics._checks import Floats, finite_vector


def holm(p_values: ArrayLike) -> Floats:
    """Holm's step-down adjustment, for comparisons planned beforehand.

    Args:
        p_values: ``(tests,)``, each in [0, 1].

    Returns:
        Adjusted p values in the same order; rejecting those below alpha keeps the chance of any false one below it.

    Raises:
        ValueError: If a value is no probability.

    Source: Holm (1979).
    """
    p = _probabilities(p_values)
    order = np.argsort(p, kind="stable")
    scaled = p[order] * np.arange(p.size, 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(scaled))
    return adjusted


def benjamini_hochberg(p_values: ArrayLike) -> Floats:
    """Benjamini and Hochberg's step-up adjustment, for all pairs of a board.

    Args:
        p_values: ``(tests,)``, each in [0, 1].

    Returns:
        Adjusted p values in the same order; rejecting those below q keeps the expected share of false ones below it.

    Raises:
        ValueError: If a value is no probability.

    Source: Benjamini & Hochberg (1995).
    """
    p = _probabilities(p_values)
    order = np.argsort(p, kind="stable")
    scaled = p[order] * p.size / np.arange(1, p.size + 1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, np.minimum.accumulate(scaled[::-1])[::-1])
    return adjusted


def _probabilities(p_values: ArrayLike) -> Floats:
    p = finite_vector(p_values, "p_values")
    if p.size and (p.min() < 0 or p.max() > 1):
        raise ValueError(f"p_values span {p.min()} to {p.max()}; each must lie between 0 and 1")
    return p
