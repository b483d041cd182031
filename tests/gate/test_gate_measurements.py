"""What a plugin measures is pinned and gated by the direction and unit that its record states."""

from __future__ import annotations

import pytest

from bench.errors import SelectionError
from bench.gate.baseline import Baseline, parse_baseline
from bench.gate.policy import parse_policy
from bench.gate.verdict import markdown
from bench.results.store import Store


@pytest.fixture
def measured(runs):
    """A run whose profile cells hold a plugin's measurement, as ``bench_add_measurements`` leaves it there."""

    def run(value: float | None, reason: str = "", *, higher_is_better: bool = False, **changes) -> Store:
        store = runs(**changes)
        entry = {"value": value, "unit": "g", "higher_is_better": higher_is_better, "title": "gCO2/clip"}
        entry |= {"reasons": {"value": reason}} if reason else {}
        for record in store.records()[0]:
            if record.cell.kind == "profile":
                timing = {**record.timing, "measurements": {"carbon_g": entry}}
                store.write(record.model_copy(update={"timing": timing}), store.predictions(record))
        return store

    return run


def finding_of(verdict, quantity: str = "carbon_g"):
    (finding,) = [one for one in verdict.findings if one.quantity == quantity]
    return finding


@pytest.mark.parametrize(
    ("value", "higher_is_better", "status", "outcome"),
    [
        (2.5, False, "regression", "regression"),
        (2.2, False, "ok", "passed"),
        (1.5, False, "improved", "passed"),
        (2.5, True, "improved", "passed"),
        (1.5, True, "regression", "regression"),
    ],
)
def test_it_is_gated_by_its_own_direction(measured, gated, value, higher_is_better, status, outcome):
    verdict = gated(
        measured(value, higher_is_better=higher_is_better), measured(2.0, higher_is_better=higher_is_better)
    )
    finding = finding_of(verdict)
    assert (finding.status, verdict.outcome, finding.unit, finding.tolerance) == (status, outcome, "g", 0.15)
    assert finding.change == pytest.approx(value / 2.0 - 1)
    assert f"2 g | {value:g} g" in markdown(verdict)


def test_a_policy_names_it_by_its_family(measured, gated):
    strict = parse_policy("[measurement]\nrelative = 0.05", "gate.toml")
    assert finding_of(gated(measured(2.2), measured(2.0), strict)).status == "regression"
    without = gated(measured(9.0), measured(2.0), parse_policy("measurement.skip = true", "gate.toml"))
    assert "carbon_g" not in {one.quantity for one in without.findings}


def test_it_survives_the_baseline_file(measured, collected):
    rows = collected(measured(2.0, higher_is_better=True)).rows
    read = parse_baseline(Baseline(pinned_at="x", rows=rows).to_json(), "base.json")
    (found,) = [row.quantities["carbon_g"] for row in read.rows if "carbon_g" in row.quantities]
    assert (found.unit, found.higher_is_better, found.processes) == ("g", True, (2.0,))


def test_eight_processes_give_it_an_interval(measured, gated):
    finding = finding_of(gated(measured(3.0, processes=8), measured(2.0, processes=8)))
    assert (finding.status, finding.reason) == ("regression", "8 and 8 processes")
    assert finding.low == pytest.approx(0.5)


def test_where_it_could_not_be_measured_it_vanishes_with_the_reason(measured, gated, runs):
    finding = finding_of(gated(measured(None, "no meter"), measured(2.0)))
    assert (finding.status, finding.baseline, finding.reason) == ("vanished", 2.0, "no meter")
    assert finding_of(gated(runs(), measured(2.0))).reason == "not in the record"
    assert finding_of(gated(measured(2.0), runs())).status == "new"


def test_another_machine_is_no_comparison(measured, gated):
    candidate, baseline = measured(9.0, hardware="beef"), measured(2.0)
    with pytest.raises(SelectionError, match="beef"):
        gated(candidate, baseline)
    assert finding_of(gated(candidate, baseline, cross_hardware=True)).status == "not_compared"


def test_counters_are_gated_almost_exactly_and_instructions_on_the_same_hardware_only(runs, gated) -> None:
    def counted(operators: int, instructions: int, **changes):
        store = runs(folds=(), **changes)
        step = {"operators": operators, "kernels": 50, "instructions": instructions}
        for record in store.records()[0]:
            timing = {**record.timing, "counters": {"infer": step, "train": None, "instructions_by": "perf"}}
            store.write(record.model_copy(update={"timing": timing}), dict(store.predictions(record)))
        return store

    def found(verdict):
        names = ("infer_operators", "infer_kernels", "infer_instructions")
        return [one.status for name in names for one in verdict.findings if one.quantity == name]

    base = counted(1000, 10_000_000)
    assert found(gated(counted(1005, 10_050_000), base)) == ["ok", "ok", "ok"]
    assert found(gated(counted(1020, 10_200_000), base)) == ["regression", "ok", "regression"]
    elsewhere = gated(counted(1020, 10_200_000, hardware="beef"), base, cross_hardware=True)
    assert found(elsewhere) == ["regression", "ok", "not_compared"]
