"""The verdict of a gate, and its forms: table, JSON values, Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from bench import escaping

Status = Literal["ok", "improved", "unresolved", "not_resolvable", "regression", "vanished", "new", "not_compared"]
Outcome = Literal["passed", "not_resolvable", "regression", "vanished"]

_ORDER: tuple[Status, ...] = (
    "regression", "vanished", "unresolved", "not_resolvable", "improved", "new", "not_compared", "ok",
)  # fmt: skip
_WORDS = {
    "unresolved": "over tolerance, not resolved",
    "not_resolvable": "not resolvable in the time given",
    "not_compared": "not compared",
}
HEADER = ("verdict", "row", "quantity", "baseline", "candidate", "change", "interval", "tolerated", "note")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What became of one quantity of one row.

    Attributes:
        quantity: Name of a score or quantity (``latency``, ...); ``all`` for a row that is gone.
        status: ``unresolved`` = worse than tolerated, but not by the evidence that the rule asks for;
            ``not_resolvable`` = measured in turns for the time given, and neither that nor within the band.
        baseline: Value of the baseline, in the quantity's unit.
        candidate: Value of the candidate.
        change: Relative or absolute, candidate against baseline; ``None`` where it is not defined.
        low: Lower end of the interval of ``change``, which ends at ``high``; ``None`` where there is none.
        tolerance: Tolerated worsening.
        relative: Whether ``change`` and ``tolerance`` are fractions of the baseline.
        reason: How the interval was made, or what is missing.
    """

    row: str
    quantity: str
    status: Status
    unit: str = ""
    baseline: float | None = None
    candidate: float | None = None
    change: float | None = None
    low: float | None = None
    high: float | None = None
    tolerance: float | None = None
    relative: bool = True
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a gate found, in the order of the baseline's rows, and notes for people."""

    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()

    @property
    def outcome(self) -> Outcome:
        """The gravest: a regression, then what vanished (also if nothing was compared), then what is not resolved."""
        found = {finding.status for finding in self.findings}
        if "regression" in found:
            return "regression"
        if "vanished" in found or not found - {"new", "not_compared"}:
            return "vanished"
        return "not_resolvable" if "not_resolvable" in found else "passed"

    @property
    def summary(self) -> str:
        """One line: the outcome and how many findings there are of each kind."""
        counts = [(status, sum(f.status == status for f in self.findings)) for status in _ORDER]
        parts = [f"{count} {_WORDS.get(status, status)}" for status, count in counts if count]
        return f"{_WORDS.get(self.outcome, self.outcome)}: {', '.join(parts) or 'nothing was compared'}"

    def ordered(self) -> list[Finding]:
        """The findings, the gravest first."""
        return sorted(self.findings, key=lambda finding: _ORDER.index(finding.status))

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        findings = [asdict(finding) for finding in self.ordered()]
        return {"outcome": self.outcome, "summary": self.summary, "findings": findings, "notes": list(self.notes)}


def table(findings: Sequence[Finding]) -> list[list[str]]:
    """Rows under :data:`HEADER`."""
    return [
        [
            _WORDS.get(f.status, f.status), f.row, f.quantity, value(f.unit, f.baseline),
            value(f.unit, f.candidate), _change(f, f.change),
            "-" if f.low is None else f"[{_change(f, f.low)}, {_change(f, f.high)}]",
            _change(f, f.tolerance).replace("+", ""), f.reason,
        ]
        for f in findings
    ]  # fmt: skip


def markdown(verdict: Verdict) -> str:
    """A job summary: what needs attention, then everything else folded away."""
    grave = [f for f in verdict.ordered() if f.status not in {"ok", "not_compared"}]
    rest = [f for f in verdict.ordered() if f.status in {"ok", "not_compared"}]
    parts = [f"## Gate {verdict.summary}", *([_markdown_table(grave)] if grave else [])]
    if rest:
        parts.append(f"<details><summary>{len(rest)} more</summary>\n\n{_markdown_table(rest)}\n\n</details>")
    if verdict.notes:
        parts.append("\n".join(f"- {escaping.markdown(note)}" for note in verdict.notes))
    return "\n\n".join(parts) + "\n"


def value(unit: str, number: float | None) -> str:
    """A value with its unit.

    >>> value("fraction", 0.825), value("s", 0.0123), value("", 1903204.0), value("nats", 0.5), value("s", None)
    ('82.50 %', '12.3 ms', '1903204', '0.5 nats', '-')
    """
    if number is None:
        return "-"
    if unit == "fraction":
        return f"{100 * number:.2f} %"
    if unit == "s":
        scale, unit = next(
            (pair for pair in ((1, "s"), (1e3, "ms"), (1e6, "us")) if number * pair[0] >= 1), (1e9, "ns")
        )
        return f"{number * scale:.3g} {unit}" if number * scale < 1000 else f"{number * scale:.0f} {unit}"
    if unit in ("clips/s", "MiB"):
        return f"{number:.1f} {unit}"
    return f"{number:.0f} {unit}".rstrip() if number == int(number) else f"{number:.4g} {unit}".rstrip()


def _change(finding: Finding, number: float | None) -> str:
    if number is None:
        return "-"
    if finding.relative:
        return f"{100 * number:+.1f} %"
    return f"{100 * number:+.2f} points" if finding.unit == "fraction" else f"{number:+.4g} {finding.unit}".rstrip()


def _markdown_table(findings: Sequence[Finding]) -> str:
    lines = [" | ".join(HEADER), " | ".join("---" for _ in HEADER)]
    lines += [" | ".join(map(escaping.cell, row)) for row in table(findings)]
    return "\n".join(f"| {line} |" for line in lines)
