"""What a check says: passed, failed or skipped, why, and the number it measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from bench.plugins.sources import describe

Status = Literal["passed", "failed", "skipped"]
Kind = Literal["model", "dataset", "frontend", "metric"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of one check before it is filed under its subject.

    Attributes:
        status: What came out.
        message: Why, with the values; for a failure also what to do.
        measured: The number behind it; ``None`` where a check measures none.
    """

    status: Status
    message: str
    measured: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """One check of one subject.

    Attributes:
        kind: ``model``, ``dataset``, ``frontend`` or ``metric``.
        subject: Name of the model, data set, ...
        name: Name of the check.
        status: ``passed``, ``failed`` or ``skipped``.
        message: Why, with the values.
        measured: The number behind it; ``None`` where a check measures none.
        seconds: Time it took.
    """

    kind: Kind
    subject: str
    name: str
    status: Status
    message: str
    measured: float | None
    seconds: float

    def __str__(self) -> str:
        return f"{self.status}: {self.kind} {self.subject}: {self.name}: {self.message}"


Check = Callable[[], Verdict]
OnResult = Callable[[CheckResult], None]


def passed(message: str, measured: float | None = None) -> Verdict:
    """The contract is kept."""
    return Verdict("passed", message, measured)


def failed(message: str, measured: float | None = None) -> Verdict:
    """The contract is broken."""
    return Verdict("failed", message, measured)


def skipped(reason: str, measured: float | None = None) -> Verdict:
    """The check could not or need not run; the reason says why and how to run it."""
    return Verdict("skipped", reason, measured)


def judge(good: bool, message: str, advice: str, measured: float | None = None) -> Verdict:  # noqa: FBT001
    """``message`` either way; a failure carries the advice too."""
    return passed(message, measured) if good else failed(f"{message}; {advice}", measured)


@dataclass(frozen=True, slots=True)
class Bench:
    """Runs the checks of one subject and keeps their results in order.

    Attributes:
        kind: Of the subject.
        subject: Its name.
        on_result: Told each result when it is there.
    """

    kind: Kind
    subject: str
    on_result: OnResult = lambda _result: None

    def run(self, checks: Mapping[str, Check]) -> tuple[CheckResult, ...]:
        """Every check in order. What a plugin raises is that check's failure, with the file and line."""
        return tuple(self._one(name, check) for name, check in checks.items())

    def _one(self, name: str, check: Check) -> CheckResult:
        start = time.perf_counter()
        try:
            verdict = check()
        except Exception as error:  # noqa: BLE001  a plugin may raise anything; it becomes the failure's message
            verdict = failed(describe(error))
        result = CheckResult(
            kind=self.kind, subject=self.subject, name=name, status=verdict.status, message=verdict.message,
            measured=verdict.measured, seconds=time.perf_counter() - start,
        )  # fmt: skip
        self.on_result(result)
        return result
