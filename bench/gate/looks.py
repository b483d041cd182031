"""Two revisions measured in turns, judged at each look: clear, or to be measured further."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.gate.comparison import least
from bench.gate.policy import Policy, Rule, family
from bench.gate.verdict import Finding, Status
from bench.statistics.results import Refusal
from bench.statistics.rounds import Effect, effect_of_rounds, mann_whitney
from bench.statistics.sequential import look_levels

CLEAR_ALPHA = 0.1
"""Two-sided error of the interval that must lie within the band; each end has half of it."""
NOISE_FACTOR = 2.0
"""Nothing is blamed that is not beyond this many times what the base differs from itself."""

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
    moved = sum(one.status in ("regression", "improved") for one in decided.values())
    while True:
        ways = {key: one.moved(shares, max(1, tests - moved)) for key, one in open_.items() if key not in found}
        new = {key: finding for key, finding in ways.items() if finding.status in ("regression", "improved")}
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
    """One series with its rule."""

    def __init__(self, series: Series, rule: Rule) -> None:
        self.series, self.rule = series, rule
        self.direction = rule.better or ("higher" if series.higher_is_better else "lower")
        self.base = float(np.median(series.base))
        self.effect = effect_of_rounds(series.candidate, series.base)
        own = effect_of_rounds(series.base[1], series.base[0])
        self.floor = 0.0 if isinstance(own, Refusal) else abs(math.expm1(own.log))
        stated = rule.tolerance if rule.relative is not None else rule.tolerance / self.base
        self.band = max(stated, NOISE_FACTOR * self.floor)

    def moved(self, shares: tuple[float, ...], among: int) -> Finding:
        """Worse or better than tolerated by the evidence that the rule asks for, or not resolvable."""
        if isinstance(self.effect, Refusal):
            return self._finding("not_resolvable", None, self.effect.reason)
        miss = look_levels(shares, (1 - self.rule.level) / among, "late")[-1]
        change, low, high = self._ends(self.effect, miss)
        needed = self.band if self.rule.evidence == "band" else 0.0
        worse, better = least(change, change, self.direction)
        sure_worse, sure_better = least(low, high, self.direction)
        if worse > self.band and sure_worse > needed:
            return self._finding("regression", miss)
        if better > self.band and sure_better > needed:
            return self._finding("improved", miss)
        return self._finding("not_resolvable", miss)

    def within(self, shares: tuple[float, ...], among: int) -> Finding | None:
        """Whether the interval ends before the band does."""
        if isinstance(self.effect, Refusal):
            return None
        blame = look_levels(shares, (1 - self.rule.level) / among, "late")[-1]
        miss = max(blame, look_levels(shares, CLEAR_ALPHA, "even")[-1])
        _, low, high = self._ends(self.effect, miss)
        most = {"lower": high, "higher": -low}.get(self.direction, max(high, -low))
        return self._finding("ok", miss) if most <= self.band else None

    def _ends(self, effect: Effect, miss: float) -> tuple[float, float, float]:
        interval = effect.interval(miss)
        if self.rule.evidence == "estimate":
            return (interval.estimate - 1,) * 3
        return interval.estimate - 1, interval.low - 1, interval.high - 1

    def _finding(self, status: Status, miss: float | None, reason: str = "") -> Finding:
        one, effect = self.series, self.effect
        change = low = high = None
        if miss is not None and not isinstance(effect, Refusal):
            change, low, high = self._ends(effect, miss)
            said = f"{'over 99.99' if miss < 1e-4 else f'{100 - 100 * miss:.4g}'} %, {effect.method}"
            if self.rule.evidence == "estimate":
                low = high = None
                said = "the estimate alone decides (policy)"
            p = mann_whitney(one.candidate, one.base.ravel())
            reason = f"{said}; base against itself {100 * self.floor:.2g} %; Mann-Whitney p {p:.2g}"
        return Finding(
            row=one.row, quantity=one.quantity, unit=one.unit, status=status, baseline=self.base,
            candidate=float(np.median(one.candidate)), change=change, low=low, high=high, tolerance=self.band,
            reason=reason,
        )  # fmt: skip
