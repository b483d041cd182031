"""How much is checked, and what a check says: passed, failed or skipped, why, and the number it measured."""

from __future__ import annotations

import functools
import time
import traceback
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from bench.clips import Clips
from bench.plugins.sources import describe

Status = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """What a check counted beside its verdict: ``count`` of ``what``, the first of them by name."""

    what: str
    count: int
    first: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """One check of one subject.

    Attributes:
        kind: ``model``, ``dataset``, ``frontend``, ``metric``, ...; empty until it is filed under its subject.
        subject: Name of the model, data set, ...
        name: Name of the check.
        status: ``passed``, ``failed`` or ``skipped``.
        message: Why, with the values; for a failure also what to do.
        measured: The number behind it; ``None`` where a check measures none.
        seconds: Time it took.
        listed: What it found in clips or pairs of clips.
        traceback: Of what a plugin raised, empty where nothing was.
    """

    kind: str = ""
    subject: str = ""
    name: str = ""
    status: Status
    message: str
    measured: float | None = None
    seconds: float = 0.0
    listed: tuple[Listed, ...] = ()
    traceback: str = ""

    def __str__(self) -> str:
        return f"{self.status}: {self.kind} {self.subject}: {self.name}: {self.message}"


Check = Callable[[], CheckResult]
OnResult = Callable[[CheckResult], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much is checked.

    ``slow`` overfits large networks too and builds them on every front end; ``only`` names checks (empty = all);
    ``overfit_clips`` are learnt by heart instead of 32 synthetic ones; ``augmentations`` measures on a data set, in
    about two minutes, which of them hurt; ``weights`` is what ``--weights`` gives, ``weights_prefix`` as its option.
    """

    slow: bool = False
    only: Collection[str] = ()
    overfit_clips: Clips | None = None
    augmentations: bool = False
    weights: Path | None = None
    weights_prefix: str = ""

    def chosen(self, checks: Mapping[str, Check]) -> dict[str, Check]:
        """The checks that were asked for."""
        return {name: check for name, check in checks.items() if not self.only or name in self.only}


def passed(message: str, measured: float | None = None) -> CheckResult:
    """The contract is kept."""
    return CheckResult(status="passed", message=message, measured=measured)


def failed(message: str, measured: float | None = None) -> CheckResult:
    """The contract is broken."""
    return CheckResult(status="failed", message=message, measured=measured)


def skipped(reason: str, measured: float | None = None) -> CheckResult:
    """The check could not or need not run; the reason says why and how to run it."""
    return CheckResult(status="skipped", message=reason, measured=measured)


def judge(good: bool, message: str, advice: str, measured: float | None = None) -> CheckResult:  # noqa: FBT001
    """``message`` either way; a failure carries the advice too."""
    return passed(message, measured) if good else failed(f"{message}; {advice}", measured)


def change(found: Any, expected: Any) -> float:
    """Largest difference of two arrays or tensors, in standard deviations of ``expected``."""
    return float(abs(found - expected).max()) / max(float(expected.std()), 1e-12)


def twice(forward: Callable[[], Any], advice: str) -> CheckResult:
    """Whether two passes from different states of torch's generator are equal to the last bit."""
    import torch

    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        found.append(forward())
    difference = float((found[0] - found[1]).abs().max())
    return judge(torch.equal(*found), f"two passes differ by {difference:.3g}", advice, difference)


def checks_of(case: Any, *functions: Callable[[Any], CheckResult]) -> dict[str, Check]:
    """The checks of one case, each under its function's name, in order."""
    return {function.__name__: functools.partial(function, case) for function in functions}


@dataclass(frozen=True, slots=True)
class Bench:
    """Runs the checks of one subject and keeps their results in order; ``on_result`` is told each when it is there."""

    kind: str
    subject: str
    on_result: OnResult | None = None

    def run(self, checks: Mapping[str, Check]) -> tuple[CheckResult, ...]:
        """Every check in order. What a plugin raises is that check's failure, with the file and line."""
        return tuple(self._one(name, check) for name, check in checks.items())

    def build(
        self, make: Callable[[], Any], checks: Callable[[Any], Mapping[str, Check]], name: str = "build"
    ) -> tuple[CheckResult, ...]:
        """Say whether ``make`` gives a case, or a result that says why there is none; run its checks if so."""
        made: list[Any] = []

        def check() -> CheckResult:
            case = make()
            if isinstance(case, CheckResult):
                return case
            made.append(case)
            return passed("it is here and consistent" if name == "load" else "it can be built")

        results = self.run({name: check})
        return results + (self.run(checks(made[0])) if made else ())

    def _one(self, name: str, check: Check) -> CheckResult:
        start = time.perf_counter()
        try:
            result = check()
        except Exception as error:  # noqa: BLE001  a plugin may raise anything; it becomes the failure's message
            result = replace(failed(describe(error)), traceback="".join(traceback.format_exception(error)))
        seconds = time.perf_counter() - start
        result = replace(result, kind=self.kind, subject=self.subject, name=name, seconds=seconds)
        if self.on_result is not None:
            self.on_result(result)
        return result
