"""The declarations: they resolve, carry the right direction, and cost no numpy."""

from __future__ import annotations

import importlib
import operator
import subprocess
import sys

import numpy as np
import pytest

from bench.metrics.specs import METRICS
from bench.plugins.specs import MetricSpec


def resolve(spec: MetricSpec) -> object:
    module, _, name = spec.compute.partition(":")
    return operator.attrgetter(name)(importlib.import_module(module))


def case(task: str, *, good: bool) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(200, 8))
    if task == "single_label":
        targets = np.arange(200) % 8
        logits[np.arange(200), targets] += 2.0 if good else -2.0
        return logits, targets
    indicators = (np.arange(200)[:, None] % 8 == np.arange(8)) | (rng.random((200, 8)) < 0.2)
    return logits + (3.0 if good else -3.0) * (indicators - 0.5), indicators.astype(int)


def test_names_are_unique_and_accuracy_stands_first() -> None:
    names = [spec.name for spec in METRICS]
    assert len(set(names)) == len(names)
    assert names[0] == "accuracy"
    assert all(spec.description and not spec.description.endswith(".") for spec in METRICS)


@pytest.mark.parametrize(
    ("spec", "task"),
    [(spec, task) for spec in METRICS for task in spec.task_types if spec.reads == "logits"],
    ids=lambda value: str(value)[:40],
)
def test_direction_and_range(spec: MetricSpec, task: str) -> None:
    compute = resolve(spec)
    better, worse = (compute(*case(task, good=good)) for good in (True, False))  # type: ignore[operator]
    assert type(better) is float
    assert (better > worse) == spec.higher_is_better
    if spec.unit == "fraction":
        assert 0 <= worse <= 1
        assert 0 <= better <= 1


def test_listing_imports_no_numpy() -> None:
    code = "import sys, bench.metrics.specs; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
