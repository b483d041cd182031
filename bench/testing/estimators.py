"""What is checked of a model that is an estimator with ``fit`` and ``predict_proba`` or ``decision_function``."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.execution.build import build_model
from bench.execution.estimators import inputs_of, logits_of
from bench.execution.inputs import Inputs
from bench.plugins.registry import Entry
from bench.plugins.specs import ModelSpec
from bench.testing.inputs import hardened
from bench.testing.results import Check, CheckResult, checks_of, failed, judge, passed, skipped
from bench.testing.starts import seeds

Logits = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class EstimatorCase:
    """An estimator with inputs ``x (clips, ...)``, fitted once on the first three quarters of the clips."""

    entry: Entry[ModelSpec]
    data: Inputs
    x: npt.NDArray[np.float32]

    @property
    def train(self) -> Rows:
        """Rows it is fitted on."""
        return np.arange(3 * len(self.x) // 4, dtype=np.int64)

    @property
    def test(self) -> Rows:
        """The other rows."""
        return np.arange(3 * len(self.x) // 4, len(self.x), dtype=np.int64)

    @functools.cached_property
    def fitted(self) -> Any:
        """The estimator fitted on ``train``, the same each time."""
        return self.fit(self.train)

    def fit(self, rows: Rows) -> Any:
        """A new estimator of seed 0, fitted."""
        estimator = build_model(self.entry, self.data.task, 0)
        estimator.fit(self.x[rows], self.data.clips.targets[rows])
        return estimator

    def scores(self, rows: Rows, estimator: Any = None) -> Logits:
        """Logits ``(rows, classes)``, by default of ``fitted``; another shape or nan is an error."""
        return logits_of(self.fitted if estimator is None else estimator, self.x[rows], self.data.task)


def estimator_checks(case: EstimatorCase) -> dict[str, Check]:
    """The checks of one estimator, by name, in order."""
    return checks_of(case, logits, answers, batch_mates, permutation, deterministic, seeds, missing_class)


def logits(case: EstimatorCase) -> CheckResult:
    """It can be fitted, and gives one finite score per clip and class."""
    found = case.scores(case.test)
    return passed(f"{found.shape} after fitting {len(case.train)} clips, all finite", float(found.shape[1]))


def answers(case: EstimatorCase) -> CheckResult:
    """Whether ``predict`` agrees with the largest score; where it does not, its answers are what is scored."""
    if not hasattr(case.fitted, "predict"):
        return skipped("it has no predict: the largest score is its answer")
    largest = case.scores(case.test).argmax(axis=1)
    other = int((np.asarray(case.fitted.predict(case.x[case.test])) != largest).sum())
    return passed(f"predict differs from the largest score for {other} of {len(largest)} clips", float(other))


def batch_mates(case: EstimatorCase) -> CheckResult:
    """A clip alone gets the scores that it gets among others, also beside silence, clicks and clips 100 dB apart."""
    hard, count = hardened(case.data)
    mates = np.concatenate([case.x[case.test], inputs_of(hard, np.arange(count))])

    def scores(x: npt.NDArray[np.float32]) -> Logits:
        return logits_of(case.fitted, x, case.data.task)

    together, alone = scores(mates), np.concatenate([scores(one[None]) for one in mates])
    change = float(np.abs(together - alone).max())
    advice = "predictions must not use statistics of the clips they are made for"
    return judge(change <= 1e-4 * max(1.0, float(together.std())), f"alone differs by {change:.3g}", advice, change)


def permutation(case: EstimatorCase) -> CheckResult:
    """Clips in another order give the same scores in that order."""
    straight = case.scores(case.test)
    change = float(np.abs(straight[::-1] - case.scores(case.test[::-1])).max())
    advice = "predictions must not depend on the order of the clips"
    return judge(change <= 1e-4 * max(1.0, float(straight.std())), f"reversed differs by {change:.3g}", advice, change)


def deterministic(case: EstimatorCase) -> CheckResult:
    """Fitting twice from the same seed gives the same scores."""
    first, again = case.scores(case.test), case.scores(case.test, case.fit(case.train))
    change = float(np.abs(first - again).max())
    advice = "take `seed` as a keyword of the factory and hand it to random_state"
    return judge(change == 0.0, f"two fits from seed 0 differ by {change:.3g}", advice, change)


def missing_class(case: EstimatorCase) -> CheckResult:
    """A class without a training clip keeps its column and is never predicted."""
    absent = 1
    rows = case.train[case.data.clips.targets[case.train] != absent]
    found = case.scores(case.test, case.fit(rows))
    if (found.argmax(axis=1) == absent).any():
        return failed(f"class {absent} had no training clip and was predicted; fill classes_ with the classes seen")
    return passed(f"class {absent} had no training clip: {found.shape[1]} columns, never predicted")
