"""Steps and drift over pinned baselines."""

from __future__ import annotations

import numpy as np
import pytest

from bench.gate.baseline import Baseline, PinnedRow, Scored
from bench.gate.collect import measured
from bench.gate.history import histories, table


def pinned(latency: float, loss: float = 1.0, hardware: str = "f00d") -> Baseline:
    cells = (Scored(fold=1, seed=0, value=loss, clips=10),)
    rows = (
        PinnedRow(name="a", kind="evaluate", metric="log_loss", unit="nats", higher_is_better=False, cells=cells),
        PinnedRow(name="b", kind="profile", hardware=hardware, quantities={"latency": measured("s", [latency])}),
    )
    return Baseline(pinned_at="2026-01-01T00:00:00+00:00", rows=rows)


def test_a_lasting_step_is_found_where_it_happened():
    noise = np.random.default_rng(0).normal(1, 0.01, 20)
    found = histories([pinned(0.010 * n if i < 12 else 0.013 * n, n) for i, n in enumerate(noise)])
    latency = next(one for one in found if one.quantity == "latency")
    (step,) = latency.steps
    assert (step.index, latency.baselines[step.index]) == (12, 12)
    assert step.ratio == pytest.approx(1.3, abs=0.02)
    shown = {row[1]: row for row in table(found, [f"v{i}.json" for i in range(20)])}
    assert shown["latency"][6].startswith("10 ms -> 12.9 ms")
    assert shown["latency"][6].endswith("from v12.json on")
    assert (shown["log_loss"][3].split()[1], shown["log_loss"][6]) == ("nats", "level")


def test_drift_is_said_without_a_step_and_few_baselines_are_refused():
    (drifting, few) = (
        next(one for one in histories([pinned(0.01 * 1.002**i) for i in range(count)]) if one.quantity == "latency")
        for count in (12, 3)
    )
    assert drifting.trend is not None
    assert drifting.trend.unsteady
    assert "drifts by +2" in table([drifting], [str(i) for i in range(12)])[0][6] or drifting.steps
    assert few.reason == "3 runs: a step needs 5 on each side"


def test_machines_are_kept_apart_and_zeros_are_told():
    found = histories([pinned(0.01, loss=0.0), pinned(0.02, loss=0.0, hardware="beef")])
    assert sorted(one.hardware for one in found if one.quantity == "latency") == ["beef", "f00d"]
    assert next(one for one in found if one.quantity == "log_loss").reason == "a value is not above 0"
