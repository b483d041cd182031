"""The gate on simulated trainings: an unchanged model is left alone, five points are found."""

from __future__ import annotations

import functools
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from bench.gate import intervals

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gate_scores.py"


@pytest.fixture(scope="module")
def simulated() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_gate_scores", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def _fewer_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    fast = functools.partial(intervals.paired_cluster_bootstrap, draws=200)
    monkeypatch.setattr(intervals, "paired_cluster_bootstrap", fast)


def test_three_seeds_leave_an_unchanged_model_alone_and_catch_five_points(simulated: ModuleType) -> None:
    training = simulated.Training(change=0.05, scatter=0.005)
    assert simulated.blamed(training, 3, 0.0, gates=50) == 0
    assert simulated.blamed(training, 3, 0.05, gates=30) > 0.9


def test_one_seed_is_judged_by_a_wider_interval(simulated: ModuleType) -> None:
    training = simulated.Training(change=0.05, scatter=0.0)
    assert simulated.blamed(training, 1, 0.0, gates=80) < 0.03
    assert simulated.blamed(training, 1, 0.05, gates=30) > 0.9
