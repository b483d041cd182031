"""Looks at data while they come in: how much of the permitted error each may spend, and which level it then has."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

import numpy as np
from scipy import optimize, special

from bench.statistics.results import Floats

Spending = Literal["late", "even"]

FIRST = 8
"""Rounds before the first look: fewer give no interval."""
STEP = 1.4
"""Each look comes after this many times the rounds of the one before."""
_CELLS = 400
_FARTHEST = 12.0
_LEAST = 1e-12
"""A nominal error below it gives a level that is 1 in floating point."""


def _late(share: float, alpha: float) -> float:
    return 4 * float(special.ndtr(special.ndtri(alpha / 4) / math.sqrt(share)))


def _even(share: float, alpha: float) -> float:
    return alpha * math.log1p((math.e - 1) * share)


_SPENT: Mapping[str, Callable[[float, float], float]] = MappingProxyType({"late": _late, "even": _even})


def spent(share: float, alpha: float, spending: Spending = "late") -> float:
    """Two-sided error that may be spent once a ``share`` of the data is there.

    Args:
        share: From 0 to 1.
        alpha: All of it.
        spending: ``late`` keeps nearly all for the end (O'Brien-Fleming's type), ``even`` does not (Pocock's type).

    Raises:
        ValueError: If ``share`` is none, or ``alpha`` no error rate.

    Source: Lan and DeMets (1983).

    >>> round(spent(0.5, 0.05), 5), round(spent(0.5, 0.05, "even"), 4), round(spent(1.0, 0.05), 4)
    (0.00305, 0.031, 0.05)
    """
    if not 0 <= share <= 1 or not 0 < alpha < 1:
        raise ValueError(f"share is {share}, alpha {alpha}; both lie between 0 and 1")
    return _SPENT[spending](share, alpha) if share else 0.0


def planned_looks(most: int) -> tuple[int, ...]:
    """After how many rounds to look, where there will be ``most``: fixed before the first value is there.

    >>> planned_looks(40), planned_looks(9), planned_looks(7)
    ((8, 11, 15, 21, 30, 40), (9,), ())
    """
    looks, due = [], float(FIRST)
    while due * math.sqrt(STEP) < most:
        looks.append(int(due))
        due *= STEP
    return (*looks, most) if most >= FIRST else ()


@functools.lru_cache(maxsize=4096)
def look_levels(shares: tuple[float, ...], alpha: float, spending: Spending = "late") -> tuple[float, ...]:
    """Two-sided nominal error of each look, so that all looks together err as often as was :func:`spent` by then.

    Args:
        shares: Part of all data that is there at each look, rising, above 0 and at most 1.
        alpha: Permitted error of all looks.
        spending: See :func:`spent`.

    Returns:
        One nominal error for each look. An interval of level ``1 - nominal`` leaves out the truth at any of the looks
        with a probability of at most ``alpha``, for an estimate whose errors are normal with independent increments.

    Raises:
        ValueError: If the shares do not rise from above 0 to at most 1.

    Source: Armitage, McPherson and Rowe (1969), by numerical integration. Five even looks at 0.05 have the critical
    values 4.877, 3.357, 2.680, 2.290 and 2.031 (Lan and DeMets 1983).
    """
    if not shares or any(after <= before for before, after in zip((0.0, *shares), shares, strict=False)):
        raise ValueError(f"shares are {shares}; they rise from above 0")
    nominal: list[float] = []
    grid: Floats = np.zeros(0)
    density: Floats = np.zeros(0)
    before = 0.0
    for share in shares:
        more = spent(share, alpha, spending) - (spent(before, alpha, spending) if before else 0.0)
        cut = _cut(grid, density, before, share, more)
        nominal.append(max(_LEAST, 2 * float(special.ndtr(-cut))))
        reach = cut * math.sqrt(share)
        finer = np.linspace(-reach, reach, _CELLS + 1)
        if before:
            step = math.sqrt(share - before)
            kernel = np.exp(-0.5 * ((finer[:, None] - grid) / step) ** 2) / (step * math.sqrt(2 * math.pi))
            density = np.asarray(np.trapezoid(kernel * density, grid, axis=1))
        else:
            density = np.exp(-0.5 * finer**2 / share) / math.sqrt(2 * math.pi * share)
        grid, before = finer, share
    return tuple(nominal)


def _cut(grid: Floats, density: Floats, before: float, share: float, more: float) -> float:
    """The critical value at a look, where those before it left ``density`` of a process on ``grid``."""
    if not before:
        return min(_FARTHEST, float(-special.ndtri(more / 2)))
    step, scale = math.sqrt(share - before), math.sqrt(share)

    def excess(cut: float) -> float:
        beyond = special.ndtr((grid - cut * scale) / step) + special.ndtr((-cut * scale - grid) / step)
        return float(np.trapezoid(beyond * density, grid)) - more

    return float(optimize.brentq(excess, 0.0, _FARTHEST)) if excess(_FARTHEST) < 0 else _FARTHEST
