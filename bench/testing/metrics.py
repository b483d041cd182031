"""What is checked of a metric: defined or ``None``, in range, better for better predictions, blind to their size."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.clips import TaskType
from bench.plugins.factories import load_factory
from bench.plugins.registry import Entry
from bench.plugins.specs import MetricSpec
from bench.testing.results import Check, CheckResult, checks_of, failed, passed, skipped

_CLIPS = 120
_CLASSES = 8
_SURE = 12.0


@dataclass(frozen=True, slots=True)
class MetricCase:
    """A metric with targets and predictions: ``perfect``, ``good``, ``bad`` and ``wrong`` (sure of it).

    ``truth`` is ``(clips,)`` class indices or ``(clips, classes)`` indicators, ``guesses`` ``(clips, classes)`` logits
    or what the metric reads instead.
    """

    spec: MetricSpec
    task_type: TaskType
    compute: Callable[[Any, Any], float | None]
    truth: npt.NDArray[Any]
    guesses: Mapping[str, npt.NDArray[Any]]

    @classmethod
    def of(cls, entry: Entry[MetricSpec], task_type: TaskType) -> MetricCase:
        """Make the predictions for one kind of task."""
        rng = np.random.default_rng(0)
        truth: npt.NDArray[Any] = np.arange(_CLIPS) % _CLASSES
        shown = np.eye(_CLASSES, dtype=np.float32)[truth]
        if task_type == "multi_label":
            truth = shown = np.maximum(shown, rng.random(shown.shape) < 0.2).astype(np.float32)
        sign = 2 * shown - 1
        noise = 2 * rng.standard_normal(shown.shape).astype(np.float32)
        guesses: dict[str, npt.NDArray[Any]] = {
            "perfect": _SURE * sign, "good": 1.5 * sign + noise, "bad": -1.5 * sign + noise, "wrong": -_SURE * sign,
        }  # fmt: skip
        if entry.spec.reads == "retrieval":
            levels = {"perfect": 1.0, "good": 0.7, "bad": 0.3, "wrong": 0.0}
            guesses = {kind: np.full((_CLIPS, 10), level) for kind, level in levels.items()}
        elif entry.spec.reads == "clusters":
            spread = {"perfect": 0.0, "good": 0.2, "bad": 0.7, "wrong": 1.0}  # clips that are in any cluster
            alone = {kind: rng.random(_CLIPS) < share for kind, share in spread.items()}
            guesses = {kind: np.where(lost, rng.permutation(truth), truth) for kind, lost in alone.items()}
        return cls(entry.spec, task_type, load_factory(entry.factory), truth, guesses)

    def score(self, kind: str) -> float | None:
        """The score of some predictions."""
        return self.compute(self.guesses[kind].copy(), self.truth.copy())


def metric_checks(case: MetricCase) -> dict[str, Check]:
    """The checks of one metric on one kind of task, by name, in order."""
    checks = checks_of(case, value, direction, order, large)
    return {f"{name}[{case.task_type}]": check for name, check in checks.items()}


def value(case: MetricCase) -> CheckResult:
    """A finite number, or ``None`` where it is undefined; fractions lie between 0 and 1."""
    for name in case.guesses:
        score = case.score(name)
        if score is None:
            continue
        if not math.isfinite(score):
            return failed(f"{score} for {name} predictions; return None where the score is undefined")
        if case.spec.unit == "fraction" and not -1e-9 <= score <= 1 + 1e-9:
            return failed(f"{score:g} for {name} predictions, but the unit is a fraction, 0 to 1; declare another unit")
    shown = case.score("good")
    if shown is None:
        return failed("None for predictions that are right more often than not, over all classes")
    return passed(f"{shown:.4g} {case.spec.unit} for good predictions".replace("  ", " "), float(shown))


def direction(case: MetricCase) -> CheckResult:
    """Better predictions score at least as well, in the declared direction."""
    told = []
    for better, worse in (("perfect", "wrong"), ("good", "bad")):
        high, low = case.score(better), case.score(worse)
        if high is None or low is None or not math.isfinite(high) or not math.isfinite(low):
            continue
        told.append(f"{better} {high:.4g}, {worse} {low:.4g}")
        if (high < low) if case.spec.higher_is_better else (high > low):
            return failed(f"{told[-1]}, but higher_is_better={case.spec.higher_is_better}; turn it round")
    return passed("; ".join(told)) if told else failed("no number for every pair of predictions tried")


def order(case: MetricCase) -> CheckResult:
    """The order of the clips does not matter."""
    order_ = np.random.default_rng(1).permutation(_CLIPS)
    straight, mixed = case.score("good"), case.compute(case.guesses["good"][order_], case.truth[order_])
    if straight is None or mixed is None:
        return failed(f"{straight} in one order and {mixed} in another")
    if not math.isfinite(straight):
        return failed(f"{straight} is no score, in whatever order; return None where it is undefined")
    if not math.isclose(straight, mixed, rel_tol=1e-6, abs_tol=1e-9):
        return failed(f"{straight!r} in one order and {mixed!r} in another; a score must not depend on it")
    return passed("the same for the clips in another order", abs(straight - mixed))


def large(case: MetricCase) -> CheckResult:
    """A score that 1 more on every logit leaves alone is left alone by 40 more: what ranks clips ranks large logits."""
    if case.spec.reads != "logits":
        return skipped(f"reads {case.spec.reads}, no logits")
    good = case.guesses["good"]
    straight, more, most = (case.compute(good + np.float32(added), case.truth.copy()) for added in (0, 1, 40))
    if straight is None or more is None or not math.isclose(straight, more, rel_tol=1e-3, abs_tol=1e-3):
        return skipped("it stands on the size of a logit")
    if most is None or not math.isclose(straight, most, rel_tol=1e-3, abs_tol=1e-3):
        return failed(
            f"{straight} with and without 1 added to every logit, {most} with 40: cosines times 100 are as large, and "
            "a sigmoid in float32 is 1 from 17 on; compare logits as they are"
        )
    return passed("the same with 40 added to every logit", abs(straight - most))
