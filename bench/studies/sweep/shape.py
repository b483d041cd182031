"""The curve around its best point: which values do not differ significantly from it, and how much the score moves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

DECADE = 10.0
"""Width of the window around the best value, as a factor."""

Point = Mapping[str, Any]


def steepness(points: Sequence[Point], key: str, best: int) -> dict[str, Any]:
    """What the values of one key say, the other keys held at the best point.

    Returns:
        ``order`` (indices along the key), ``alike`` (indices that form one run around the best without a value that
        differs significantly from it), ``alike_elsewhere`` (others that do not either), ``edge`` (the best is the first
        or last value), ``sensitivity``.
    """
    order = along(points, key, best)
    place = order.index(best)
    against = [points[index]["against_best"] for index in order]
    tied = [i == best or (bool(one) and not one["resolved"]) for i, one in zip(order, against, strict=True)]
    low, high = around(tied, place)
    run = order[low : high + 1]
    flat = len({points[i]["score"] for i in order if points[i]["complete"]}) == 1 < len(order)
    compared = all(points[i]["against_best"] is not None for i in order if i != best and points[i]["complete"])
    return {
        "order": order,
        "compared": compared and sum(bool(points[i]["complete"]) for i in order) > 1,
        "alike": run,
        "alike_elsewhere": [index for index, same in zip(order, tied, strict=True) if same and index not in run],
        "edge": numeric([points[i]["values"][key] for i in order]) and place in (0, len(order) - 1) and not flat,
        "sensitivity": sensitivity([points[i] for i in order], key, place),
    }


def around(flags: Sequence[bool], place: int) -> tuple[int, int]:
    """First and last of the run of true flags that ``place`` lies in."""
    before = next((i for i in range(place - 1, -1, -1) if not flags[i]), -1)
    return before + 1, next((i for i in range(place + 1, len(flags)) if not flags[i]), len(flags)) - 1


def along(points: Sequence[Point], key: str, best: int) -> list[int]:
    """Indices of the points that differ from ``best`` in ``key`` at most; ascending where values are numbers."""
    others = {name: text for name, text in points[best]["texts"].items() if name != key}
    same = [i for i, point in enumerate(points) if all(point["texts"][name] == text for name, text in others.items())]
    if not numeric([points[i]["values"][key] for i in same]):
        return same
    return sorted(same, key=lambda i: points[i]["values"][key])


def numeric(values: Sequence[Any]) -> bool:
    """Whether all values are numbers, so that they have an order."""
    return all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)


def sensitivity(line: Sequence[Point], key: str, place: int) -> dict[str, Any]:
    """Highest minus lowest score while the value changes tenfold around the best.

    The window runs from the best value over the square root of ten to the best times that root; between measured
    values the score is taken as linear in the logarithm. It ends where a value has no complete result.

    Args:
        line: Points along one key, ascending where they are numbers.
        key: That key.
        place: Position of the best.

    Returns:
        ``range`` (a fraction), ``low`` and ``high`` (values at the ends of what is covered), ``factor`` (their
        ratio, at most 10), ``lost`` (texts of values in the full window without a complete result). Where values
        have no logarithm, the range over all complete values, with ``factor`` ``None``.
    """
    values = [point["values"][key] for point in line]
    scores = [point["score"] for point in line]
    done = [bool(point["complete"]) for point in line]
    if not numeric(values) or min(values) <= 0:
        known = [score for score, ok in zip(scores, done, strict=True) if ok]
        lost = [point["texts"][key] for point, ok in zip(line, done, strict=True) if not ok]
        return {"range": max(known) - min(known), "low": None, "high": None, "factor": None, "lost": lost}
    first, last = around(done, place)
    logs = np.log10(np.asarray(values, dtype=np.float64))
    half = math.log10(DECADE) / 2
    low, high = max(logs[first], logs[place] - half), min(logs[last], logs[place] + half)
    inside = [scores[i] for i in range(first, last + 1) if low <= logs[i] <= high]
    ends = np.interp([low, high], logs[first : last + 1], np.asarray(scores[first : last + 1], dtype=np.float64))
    reached = [*inside, *ends.tolist()]
    near = [abs(log - logs[place]) <= half + 1e-9 for log in logs]
    return {
        "range": float(max(reached) - min(reached)),
        "low": float(10**low),
        "high": float(10**high),
        "factor": float(10 ** (high - low)),
        "lost": [line[i]["texts"][key] for i in range(len(line)) if near[i] and not done[i]],
    }
