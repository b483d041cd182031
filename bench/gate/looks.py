"""Two revisions measured in turns, judged at each look: clear, or to be measured further."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bench.gate.comparison import judge, least
from bench.gate.intervals import Difference
from bench.gate.policy import Policy, Rule, family
from bench.gate.verdict import Finding
from bench.statistics.results import Refusal
from bench.statistics.rounds import effect_of_rounds, mann_whitney
from bench.statistics.sequential import look_levels

CLEAR_ALPHA = 0.1
"""Two-sided error of the interval that must lie within the band; each end has half of it."""
NOISE_FACTOR = 2.0
"""Nothing is blamed that is not beyond this many times what the base differs from itself."""

MOVED = ("regression", "improved")

Key = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Series:
    """One quantity of one row over rounds.

    Attributes:
        base: Its two processes of each round, ``(2, rounds)``.
        candidate: ``(rounds,)``.
    """

    row: str
    quantity: str
    unit: str
    higher_is_better: bool
    base: npt.NDArray[np.float64]
    candidate: npt.NDArray[np.float64]

    @property
    def key(self) -> Key:
        """Row and quantity."""
        return self.row, self.quantity


def judge_look(
    series: Sequence[Series],
    policy: Policy,
    shares: tuple[float, ...],
    decided: Mapping[Key, Finding],
    *,
    tests: int,
    last: bool,
) -> dict[Key, Finding]:
    """What is clear at a look; at the last one, all that is left.

    What is blamed or praised stands beside its interval by Holm's rule over all quantities of the job, at this look's
    part of the error, nearly all of which is kept for the end; what is within the band, which blames nobody, beside
    one of its own level.

    Args:
        series: What is still open, with all rounds so far.
        policy: What is tolerated.
        shares: Part of all rounds at each look up to this one.
        decided: What earlier looks have found.
        tests: How many quantities with an interval the job has.
        last: Whether nothing more will be measured.

    Returns:
        Findings by row and quantity; without those that are not clear unless it is the ``last`` look.
    """
    open_ = {one.key: _Judged(one, policy[family(one.quantity)]) for one in series}
    found: dict[Key, Finding] = {}
    moved = sum(one.status in MOVED for one in decided.values())
    while True:
        ways = {key: one.moved(shares, max(1, tests - moved)) for key, one in open_.items() if key not in found}
        new = {key: finding for key, finding in ways.items() if finding.status in MOVED}
        if not new:
            break
        found |= new
        moved += len(new)
    for key, finding in ways.items():
        if (within := open_[key].within(shares, max(1, tests - moved))) is not None:
            found[key] = within
        elif last:
            found[key] = finding
    return found


class _Judged:
    """One series with its rule: blame needs more than it tolerates, and more than the noise."""

    def __init__(self, series: Series, rule: Rule) -> None:
        self.series, self.base = series, float(np.median(series.base))
        self.effect = effect_of_rounds(series.candidate, series.base)
        own = effect_of_rounds(series.base[1], series.base[0])
        floor = 0.0 if isinstance(own, Refusal) else abs(math.expm1(own.log))
        self.stated = rule.tolerance if rule.relative is not None else rule.tolerance / self.base
        self.rule = replace(rule, relative=max(self.stated, NOISE_FACTOR * floor), absolute=None)
        ranks = mann_whitney(series.candidate, series.base.ravel())
        self._note = f"base against itself {100 * floor:.2g} %; Mann-Whitney p {ranks:.2g}"

    def moved(self, shares: tuple[float, ...], among: int) -> Finding:
        """Worse or better than tolerated by the evidence that the rule asks for, or not resolvable."""
        found = self._finding(look_levels(shares, (1 - self.rule.level) / among, "late")[-1])
        return found if found.status in MOVED else replace(found, status="not_resolvable", tolerance=self.stated)

    def within(self, shares: tuple[float, ...], among: int) -> Finding | None:
        """Whether the interval ends before the stated tolerance does: noise makes nothing pass."""
        blame = look_levels(shares, (1 - self.rule.level) / among, "late")[-1]
        found = self._finding(max(blame, look_levels(shares, CLEAR_ALPHA, "even")[-1]))
        if found.change is None:
            return None
        low, high = (found.change if end is None else end for end in (found.low, found.high))
        direction = self.rule.better or ("higher" if self.series.higher_is_better else "lower")
        most, _ = least(high, low, direction)
        return replace(found, status="ok", tolerance=self.stated) if most <= self.stated + 1e-9 else None

    def _finding(self, miss: float) -> Finding:
        """What :func:`judge` says of an interval that leaves out the truth with the probability ``miss``."""
        one, effect = self.series, self.effect
        if isinstance(effect, Refusal):
            return Finding(
                row=one.row, quantity=one.quantity, unit=one.unit, status="not_resolvable", baseline=self.base,
                candidate=float(np.median(one.candidate)), tolerance=self.rule.tolerance, reason=effect.reason,
            )  # fmt: skip
        interval = effect.interval(miss)
        shown = "over 99.99" if miss < 1e-4 else f"{100 - 100 * miss:.4g}"
        difference = Difference(
            baseline=self.base, candidate=self.base * interval.estimate, low=self.base * (interval.low - 1),
            high=self.base * (interval.high - 1), method=f"{shown} %, {effect.method}; {self._note}",
        )  # fmt: skip
        return judge(
            one.row, one.quantity, difference, self.rule, unit=one.unit, higher_is_better=one.higher_is_better
        )  # fmt: skip
