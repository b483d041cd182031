"""Candidate against baseline, row by row and quantity by quantity, under a policy."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from bench.errors import SelectionError
from bench.gate.baseline import Baseline, Measured, PinnedRow
from bench.gate.collect import Collected
from bench.gate.intervals import Difference, few_seeds, measured_difference, score_difference
from bench.gate.policy import Policy, Rule, family
from bench.gate.verdict import Finding, Status, Verdict
from bench.results.quantities import QUANTITIES, REFERENCE
from bench.statistics.draws import MIN_SEEDS

_ROUNDING = 1e-9
_MOVED = ("regression", "unresolved", "improved")
TIMED = ("s", "clips/s")
"""Units of what a slower machine makes worse."""
EXACT = frozenset(one.gated for one in QUANTITIES if one.exact)
"""Counts, which have no scatter."""


def compare(baseline: Baseline, candidate: Collected, policy: Policy, *, cross_hardware: bool = False) -> Verdict:
    """The verdict on a run.

    Args:
        baseline: What it is compared with.
        candidate: What it measured.
        policy: What is tolerated.
        cross_hardware: Compare on other hardware what may be compared there, and leave the rest out.

    Raises:
        SelectionError: The baseline comes from other hardware, and ``cross_hardware`` is off.
    """
    findings: list[Finding] = []
    foreign: list[tuple[PinnedRow, PinnedRow]] = []
    for row in baseline.rows:
        match = _match(row, candidate.rows)
        if isinstance(match, str):
            reason = "; ".join(candidate.lost.get(row.name, ())) or match
            findings.append(Finding(row=row.name, quantity="all", status="vanished", reason=reason))
            continue
        if _bound(row, policy) and not _same_hardware(row, match):
            foreign.append((row, match))
        findings.extend(_row(row, match, policy, candidate))
    if foreign and not cross_hardware:
        raise SelectionError(_refusal(foreign, baseline, candidate))
    return Verdict(findings=tuple(findings), notes=tuple(_notes(baseline, candidate, findings)))


def _match(row: PinnedRow, rows: Iterable[PinnedRow]) -> PinnedRow | str:
    """The candidate's row, preferably of the same hardware, or why there is none."""
    named = [other for other in rows if (other.name, other.kind) == (row.name, row.kind)]
    same = [other for other in named if other.identity == row.identity]
    if named and not same:
        found, pinned = named[0].identity[:12] or "none", row.identity[:12] or "none"
        return f"other data or protocol (hash {found}, baseline {pinned}); pin a new baseline"
    if not same:
        return "not in the results"
    same = [other for other in same if other.metric == row.metric] or same
    return next((other for other in same if _same_hardware(row, other)), same[0])


def _same_hardware(row: PinnedRow, other: PinnedRow) -> bool:
    return row.hardware is not None and row.hardware == other.hardware


def _bound(row: PinnedRow, policy: Policy) -> bool:
    """Whether the baseline's row holds something that may be compared on the same hardware only."""
    rules = [policy[family(quantity)] for quantity in row.quantities]
    return any(rule.same_hardware and not rule.skip for rule in rules)


def _refusal(foreign: Sequence[tuple[PinnedRow, PinnedRow]], baseline: Baseline, candidate: Collected) -> str:
    row, match = foreign[0]
    pinned, found = (
        f"{one.hardware or 'unknown hardware'}{f' ({words})' if (words := machines.get(one.hardware or '')) else ''}"
        for one, machines in ((row, baseline.machines), (match, candidate.machines))
    )
    return (
        f"the baseline was measured on {pinned}, these results on {found}: speed and process memory of {len(foreign)} "
        "rows cannot be compared. Pin a baseline on this machine (`bench baseline pin RESULTS --to FILE`), or give "
        "--cross-hardware to gate only what does not depend on the machine (accuracy, parameters, FLOPs, storage)"
    )


def _row(row: PinnedRow, match: PinnedRow, policy: Policy, candidate: Collected) -> Iterator[Finding]:
    rule = policy[family(row.metric, row.unit, score=True)]
    if row.cells and not rule.skip:
        yield _scores(row, match, rule, candidate)
    told = partial(Finding, row=row.name)
    if row.kind == "profile" and row.name in candidate.lost:
        yield told(quantity="all", status="vanished", reason="; ".join(candidate.lost[row.name]))
    for quantity, pinned in sorted(row.quantities.items()):
        rule = policy[family(quantity)]
        found = match.quantities.get(quantity)
        if rule.skip:
            continue
        if rule.same_hardware and not _same_hardware(row, match):
            where = match.hardware or "unknown hardware"
            yield told(quantity=quantity, status="not_compared", reason=f"measured on {where}")
        elif found is None:
            reason, old = match.missing.get(quantity, "not in the record"), _middle(pinned)
            yield told(quantity=quantity, unit=pinned.unit, status="vanished", baseline=old, reason=reason)
        else:
            yield _beside(_quantity(row, quantity, found, pinned, rule), row, match)
    for quantity in sorted(match.quantities.keys() - row.quantities.keys()):
        new, reason = match.quantities[quantity], "not in the baseline"
        if policy[family(quantity)].skip:
            continue
        yield told(quantity=quantity, unit=new.unit, status="new", candidate=_middle(new), reason=reason)


def _scores(row: PinnedRow, match: PinnedRow, rule: Rule, candidate: Collected) -> Finding:
    there = {(cell.fold, cell.seed) for cell in match.cells}
    gone = [cell for cell in row.cells if (cell.fold, cell.seed) not in there]
    if gone or row.metric != match.metric:
        names = ", ".join(f"fold {cell.fold} seed {cell.seed}" for cell in gone)
        reason = f"no result for {names}" if gone else f"scored by {match.metric}, the baseline by {row.metric}"
        details = [*candidate.lost.get(row.name, ()), *filter(None, [match.missing.get(row.metric)])]
        return Finding(row=row.name, quantity=row.metric, status="vanished", reason="; ".join([reason, *details]))
    found = score_difference(match, row, rule.level)
    return judge(row.name, row.metric, found, rule, unit=row.unit, higher_is_better=row.higher_is_better)


def _quantity(row: PinnedRow, quantity: str, found: Measured, pinned: Measured, rule: Rule) -> Finding:
    if quantity in EXACT:
        old, new = pinned.processes[0], found.processes[0]
        difference = Difference(baseline=old, candidate=new, low=new - old, high=new - old, method="exact")
    else:
        difference = measured_difference(found, pinned, rule.level)
    return judge(row.name, quantity, difference, rule, unit=pinned.unit, higher_is_better=pinned.higher_is_better)


def _beside(found: Finding, row: PinnedRow, match: PinnedRow) -> Finding:
    """A finding of a time or rate with what is left of its change beside that of the reference workload.

    What the machine alone explains is not blamed on the code: it is ``unresolved``.
    """
    before, after = (side.quantities.get(REFERENCE) for side in (row, match))
    if before is None or after is None or found.unit not in TIMED or not found.baseline or found.candidate is None:
        return found
    machine = _middle(after) / _middle(before)
    ratio = found.candidate / found.baseline
    left = (ratio / machine if found.unit == "s" else ratio * machine) - 1
    reason = f"{found.reason}; reference workload {machine - 1:+.1%}, residual {left:+.1%}"
    tolerated = found.tolerance or 0.0
    if found.status == "regression" and found.relative and (left if found.unit == "s" else -left) <= tolerated:
        return replace(found, status="unresolved", reason=f"{reason}: the machine is slower, not the code")
    return replace(found, reason=reason)


def judge(
    row: str, quantity: str, difference: Difference, rule: Rule, *, unit: str = "", higher_is_better: bool = False
) -> Finding:
    """The finding for one quantity.

    Worse = the estimate is beyond the tolerance and so is the evidence that the rule asks for; without the evidence
    it is ``unresolved``. Better is judged the same way.
    """
    old, change = difference.baseline, difference.candidate - difference.baseline
    scale = 1.0 if rule.relative is None else abs(old)
    band = rule.tolerance * scale + _ROUNDING * max(abs(old), abs(difference.candidate))
    low, high = difference.low, difference.high
    method = difference.method
    if rule.evidence == "estimate" and method != "exact":
        low = high = None
        method = "the estimate alone decides (policy)"
    ends = (change, change) if low is None or high is None else (low, high)
    direction = rule.better or ("higher" if higher_is_better else "lower")
    worse, better = least(change, change, direction)
    sure_worse, sure_better = least(*ends, direction)
    needed = band if rule.evidence == "band" else _ROUNDING * abs(old)
    status: Status = "ok"
    if worse > band:
        status = "regression" if sure_worse > needed else "unresolved"
    elif better > band and sure_better > needed:
        status = "improved"
    shown = (None, None) if low is None or high is None or method == "exact" else ends
    change_shown, low_shown, high_shown = (
        end / scale if end is not None and scale else None for end in (change, *shown)
    )
    return Finding(
        row=row, quantity=quantity, unit=unit, status=status, baseline=old, candidate=difference.candidate,
        change=change_shown, low=low_shown, high=high_shown, tolerance=rule.tolerance,
        relative=rule.relative is not None, reason=method,
    )  # fmt: skip


def least(low: float, high: float, better: str) -> tuple[float, float]:
    """The least worsening and the least improvement that an interval of the change allows."""
    if better == "lower":
        return low, -high
    if better == "higher":
        return -high, low
    return max(low, -high), float("-inf")


def _middle(measured: Measured) -> float:
    return statistics.median(measured.processes)


def _notes(baseline: Baseline, candidate: Collected, findings: Sequence[Finding]) -> Iterator[str]:
    for name, version in sorted(baseline.libraries.items()):
        now = candidate.libraries.get(name)
        if name in candidate.libraries and now != version:
            yield f"{name} is {now or 'not installed'}, the baseline was measured with {version or 'none'}"
    if candidate.contended:
        yield f"others used the machine while the speed of {', '.join(candidate.contended)} was measured"
    known = {(row.name, row.kind) for row in baseline.rows}
    new = sorted({row.name for row in candidate.rows if (row.name, row.kind) not in known})
    if new:
        shown = ", ".join(new[:3]) + (", ..." if len(new) > 3 else "")
        yield f"{len(new)} rows are not in the baseline and were not gated: {shown}"
    few = {(row.name, row.metric) for row in baseline.rows if few_seeds(row)}
    if any((one.row, one.quantity) in few and one.status in _MOVED for one in findings):
        yield (
            f"scores of fewer than {MIN_SEEDS} seeds: what moved says that these trained models differ, not that the "
            "code does: training again may do as much. To tell them apart, pin and gate runs with --seeds 0,1,2"
        )
