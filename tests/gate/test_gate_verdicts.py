"""What the gate blames and what it lets pass, on synthetic runs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import SelectionError
from bench.gate.comparison import judge
from bench.gate.intervals import Difference
from bench.gate.policy import DEFAULTS, Rule, family, parse_policy
from bench.results.records import Failure, Score


def statuses(verdict, status):
    return {finding.quantity for finding in verdict.findings if finding.status == status}


def test_an_unchanged_model_passes_ten_times_in_a_row(runs, gated):
    baseline = runs(noise_seed=100)
    for attempt in range(10):
        verdict = gated(runs(noise_seed=attempt), baseline)
        assert verdict.outcome == "passed", verdict.summary
        assert statuses(verdict, "ok") == {
            "accuracy", "latency", "infer_throughput", "host_memory", "parameters", "flops", "storage",
        }  # fmt: skip


@pytest.mark.parametrize("processes", [1, 8, 20])
def test_thirty_percent_slower_is_caught(runs, gated, processes):
    verdict = gated(runs(1, slow=1.3, processes=processes), runs(2, processes=processes))
    assert verdict.outcome == "regression"
    assert statuses(verdict, "regression") == {"latency", "infer_throughput"}
    latency = next(f for f in verdict.findings if f.quantity == "latency")
    assert latency.change == pytest.approx(0.3, abs=0.15)
    assert latency.low <= latency.change <= latency.high
    assert latency.low > 0.15
    assert ("processes" in latency.reason) == (processes >= 8)


def test_five_percent_fatter_is_caught(runs, gated):
    assert statuses(gated(runs(1, fat=1.05), runs(2)), "regression") == {"host_memory"}


def test_five_points_worse_is_caught(runs, gated):
    verdict = gated(runs(1, worse=0.05), runs(2))
    assert statuses(verdict, "regression") == {"accuracy"}
    finding = next(f for f in verdict.findings if f.status == "regression")
    assert finding.change == pytest.approx(-0.05, abs=0.02)
    assert "paired" in finding.reason
    assert finding.high < -0.02


def test_a_drop_below_what_is_tolerated_passes(runs, gated):
    assert gated(runs(1, worse=0.01, slow=1.05, fat=1.01), runs(2)).outcome == "passed"


def test_without_predictions_the_interval_is_wider_and_a_small_drop_is_not_resolved(runs, gated):
    verdict = gated(runs(1, worse=0.03, logits=False), runs(2))
    assert verdict.outcome == "passed"
    (finding,) = [f for f in verdict.findings if f.status == "unresolved"]
    assert finding.quantity == "accuracy"
    assert "not paired" in finding.reason
    assert gated(runs(1, worse=0.15, logits=False), runs(2)).outcome == "regression"


def test_the_independent_interval_agrees_with_statsmodels(runs, gated):
    from statsmodels.stats.proportion import confint_proportions_2indep

    verdict = gated(runs(1, worse=0.05, logits=False), runs(2))
    finding = next(f for f in verdict.findings if f.quantity == "accuracy")
    right = [round(value * 400) for value in (finding.candidate, finding.baseline)]
    low, high = confint_proportions_2indep(right[0], 400, right[1], 400, compare="diff", method="newcomb", alpha=0.02)
    assert (finding.low, finding.high) == pytest.approx((low, high), abs=1e-6)


def test_several_seeds_are_averaged_not_counted_as_clips(runs, gated):
    baseline, candidate = runs(1, seeds=(0, 1, 2)), runs(2, seeds=(0, 1, 2), worse=0.05)
    (finding,) = [f for f in gated(candidate, baseline).findings if f.quantity == "accuracy"]
    assert finding.status == "regression"
    assert "200 groups" in finding.reason


@pytest.mark.parametrize(("seeds", "level", "few"), [((0,), 98, True), ((0, 1), 98, True), ((0, 1, 2), 95, False)])
def test_below_three_seeds_a_verdict_speaks_of_these_trainings(runs, gated, seeds, level, few):
    verdict = gated(runs(2, seeds=seeds, worse=0.05), runs(1, seeds=seeds))
    (finding,) = [f for f in verdict.findings if f.quantity == "accuracy"]
    assert finding.reason.startswith(f"{level} % paired bootstrap")
    assert ("over clips only" in finding.reason) == few
    assert any("--seeds 0,1,2" in note for note in verdict.notes) == few
    unmoved = gated(runs(1, seeds=seeds), runs(1, seeds=seeds))
    assert not any("--seeds" in note for note in unmoved.notes)


def test_more_parameters_and_fewer(runs, gated):
    assert statuses(gated(runs(1, parameters=1001), runs(2)), "regression") == {"parameters"}
    assert statuses(gated(runs(1, parameters=999), runs(2)), "improved") == {"parameters"}
    strict = parse_policy('[parameters]\nbetter = "neither"', "p")
    assert statuses(gated(runs(1, parameters=999), runs(2), strict), "regression") == {"parameters"}


def test_another_machine_is_refused_and_both_are_named(runs, gated):
    baseline, candidate = runs(1), runs(2, hardware="beef")
    with pytest.raises(SelectionError, match=r"f00d/1 threads \(Test CPU.*beef/1 threads.*--cross-hardware"):
        gated(candidate, baseline)
    verdict = gated(candidate, baseline, cross_hardware=True)
    assert verdict.outcome == "passed"
    assert statuses(verdict, "not_compared") == {"latency", "infer_throughput", "host_memory"}
    assert statuses(verdict, "ok") == {"accuracy", "parameters", "flops", "storage"}


def test_other_hardware_still_shows_a_worse_model(runs, gated):
    verdict = gated(runs(1, hardware="beef", worse=0.05), runs(2), cross_hardware=True)
    assert statuses(verdict, "regression") == {"accuracy"}


def test_another_number_of_threads_is_another_machine(runs, gated):
    baseline, candidate = runs(1), runs(2)
    for record in candidate.records()[0]:
        candidate.write(record.model_copy(update={"environment": {**record.environment, "torch": {"threads": 2}}}),
                        candidate.predictions(record))  # fmt: skip
    with pytest.raises(SelectionError, match="f00d/2 threads"):
        gated(candidate, baseline)


def test_hardware_that_is_not_known_is_not_the_same(runs, gated):
    with pytest.raises(SelectionError, match="unknown hardware"):
        gated(runs(1, hardware=""), runs(2, hardware=""))


def test_nothing_of_speed_needs_no_hardware(runs, gated):
    rules = parse_policy("latency.skip = true\nthroughput.skip = true\nhost_memory.skip = true", "p")
    assert gated(runs(1, hardware="beef"), runs(2), rules).outcome == "passed"


def test_a_vanished_row_and_a_vanished_fold(runs, gated):
    baseline = runs(1)
    verdict = gated(runs(2, processes=0), baseline)
    assert verdict.outcome == "vanished"
    assert [(f.quantity, f.reason) for f in verdict.findings if f.status == "vanished"] == [
        ("all", "not in the results")
    ]
    verdict = gated(runs(2, folds=(1,)), baseline)
    (finding,) = [f for f in verdict.findings if f.status == "vanished"]
    assert finding.reason == "no result for fold 2 seed 0"


@pytest.mark.parametrize("status", ["crashed", "over_budget"])
def test_a_cell_that_ended_badly_or_was_skipped_vanishes_with_its_reason(runs, gated, status):
    baseline, candidate = runs(1), runs(2)
    error = Failure(reason="signal", stage="profile", message="killed by signal 9")
    runs.rewrite(candidate, "profile", status=status, error=error, timing={}, memory={}, artifacts={})
    verdict = gated(candidate, baseline)
    assert verdict.outcome == "vanished"
    (finding,) = [f for f in verdict.findings if f.status == "vanished"]
    assert f"{status}: killed by signal 9" in finding.reason


def test_one_process_of_eight_that_crashed_is_missed(runs, gated):
    baseline, candidate = runs(1, processes=8), runs(2, processes=8)
    last = candidate.records()[0][-1]
    error = Failure(reason="signal", stage="profile", message="killed by signal 9")
    candidate.write(last.model_copy(update={"status": "crashed", "error": error, "artifacts": {}}))
    verdict = gated(candidate, baseline)
    assert verdict.outcome == "vanished"
    assert [f.reason for f in verdict.findings if f.status == "vanished"] == ["seed 7 crashed: killed by signal 9"]


@pytest.mark.parametrize("value", [None, math.nan, math.inf, 0.0, True, "fast"])
def test_an_empty_measurement_vanishes(runs, gated, collected, value):
    baseline, candidate = runs(1), runs(2)
    (record,) = [r for r in candidate.records()[0] if r.cell.kind == "profile"]
    broken = {**record.timing, "latency": {"median_ms": value, "reasons": {"median_ms": "the clock stood still"}}}
    from bench.gate.baseline import Baseline
    from bench.gate.collect import collect
    from bench.gate.comparison import compare

    found = collect(
        [r if r.cell.kind == "evaluate" else r.model_copy(update={"timing": broken}) for r in candidate.records()[0]],
        candidate.predictions,
        {},
    )
    pinned = Baseline(pinned_at="x", rows=collected(baseline).rows)
    verdict = compare(pinned, found, DEFAULTS)
    assert verdict.outcome == "vanished"
    assert statuses(verdict, "vanished") == {"latency"}


def test_samples_that_are_not_finite_are_no_measurement(runs, gated):
    baseline, candidate = runs(1), runs(2)
    (record,) = [r for r in candidate.records()[0] if r.cell.kind == "profile"]
    times = candidate.predictions(record)["latency_s"].copy()
    times[7] = np.nan
    candidate.write(record, {"latency_s": times})
    verdict = gated(candidate, baseline)
    (finding,) = [f for f in verdict.findings if f.status == "vanished"]
    assert (finding.quantity, finding.reason) == ("latency", "1 raw samples are not positive and finite")


def test_a_score_that_is_not_defined_vanishes(runs, gated):
    baseline, candidate = runs(1), runs(2)
    runs.rewrite(candidate, "evaluate", scores=(Score(name="accuracy", value=None),), artifacts={})
    verdict = gated(candidate, baseline)
    assert statuses(verdict, "vanished") == {"accuracy"}
    assert "no number for accuracy" in next(f.reason for f in verdict.findings if f.status == "vanished")


def test_other_data_under_the_same_name_are_no_comparison(runs, gated):
    baseline, candidate = runs(1), runs(2)
    for record in candidate.records()[0]:
        if record.cell.kind == "evaluate":
            arrays = candidate.predictions(record)
            changed = {**record.provenance, "protocol": {**record.provenance["protocol"], "hash": "ffff"}}
            candidate.write(record.model_copy(update={"provenance": changed}), arrays)
    (finding,) = [f for f in gated(candidate, baseline).findings if f.status == "vanished"]
    assert "hash ffff, baseline 0123456789ab" in finding.reason


def test_a_gate_that_compared_nothing_does_not_pass(runs, gated):
    nothing = parse_policy("".join(f"{family}.skip = true\n" for family in DEFAULTS), "p")
    assert gated(runs(1), runs(2), nothing).outcome == "vanished"


def test_what_is_new_and_which_libraries_changed_is_noted(runs, gated):
    candidate = runs(2)
    (record,) = [r for r in candidate.records()[0] if r.cell.kind == "profile"]
    environment = {**record.environment, "libraries": {"torch": "2.12.0"}, "contended": True}
    extra = record.model_copy(
        update={"environment": environment, "cell": runs.samples.cell("beta", 0, kind="profile", protocol="profile@1")}
    )
    candidate.write(extra, candidate.predictions(record))
    verdict = gated(candidate, runs(1))
    assert verdict.outcome == "passed"
    assert any("torch is 2.12.0, the baseline was measured with 2.11.0" in note for note in verdict.notes)
    assert any(note.startswith("others used the machine") for note in verdict.notes)
    assert any("1 rows are not in the baseline" in note and "beta" in note for note in verdict.notes)


@pytest.mark.parametrize(
    ("change", "low", "high", "rule", "status"),
    [
        (0.30, 0.20, 0.40, Rule(relative=0.15), "regression"),
        (0.30, 0.10, 0.50, Rule(relative=0.15), "unresolved"),
        (0.30, 0.10, 0.50, Rule(relative=0.15, evidence="change"), "regression"),
        (0.30, -0.10, 0.70, Rule(relative=0.15, evidence="change"), "unresolved"),
        (0.30, None, None, Rule(relative=0.15, evidence="estimate"), "regression"),
        (0.30, None, None, Rule(relative=0.15), "regression"),
        (0.15, 0.15, 0.15, Rule(relative=0.15), "ok"),
        (0.30, 0.20, 0.40, Rule(relative=0.15, better="higher"), "improved"),
        (-0.30, -0.40, -0.20, Rule(relative=0.15, better="higher"), "regression"),
        (-0.30, -0.40, -0.20, Rule(relative=0.15, better="neither"), "regression"),
        (-0.30, -0.40, -0.10, Rule(relative=0.15, better="neither"), "unresolved"),
        (0.30, 0.20, 0.40, Rule(absolute=1.0), "ok"),
        (0.30, 0.20, 0.40, Rule(absolute=0.1), "regression"),
    ],
)
def test_estimate_and_interval_must_both_be_beyond_the_band(change, low, high, rule, status):
    scale = 2.0 if rule.relative is not None else 1.0
    ends = [None if end is None else scale * end for end in (low, high)]
    difference = Difference(baseline=2.0, candidate=2.0 + scale * change, low=ends[0], high=ends[1], method="m")
    finding = judge("row", "latency", difference, rule)
    assert finding.status == status
    assert finding.change == pytest.approx(change)
    assert finding.low is None if low is None else finding.low == pytest.approx(low)


@settings(max_examples=300, deadline=None)
@given(
    change=st.floats(-0.5, 0.5), below=st.floats(0, 0.5), above=st.floats(0, 0.5), tolerance=st.floats(0, 0.3),
    evidence=st.sampled_from(["band", "change", "estimate"]), better=st.sampled_from(["lower", "higher", "neither"]),
)  # fmt: skip
def test_no_verdict_contradicts_the_interval_beside_it(change, below, above, tolerance, evidence, better):
    rule = Rule(absolute=tolerance, evidence=evidence, better=better)
    low, high = change - below, change + above
    found = judge("r", "accuracy", Difference(baseline=0.0, candidate=change, low=low, high=high, method="m"), rule)
    if evidence == "estimate":
        assert found.low is None
        return
    most = tolerance + 1e-6  # rounding
    worse = {"lower": low > 0, "higher": high < 0, "neither": low > 0 or high < 0}[better]
    beyond = {
        "lower": low > most, "higher": high < -most, "neither": low > most or high < -most
    }[better]  # fmt: skip
    if found.status == "regression":
        assert worse
    if found.status == "improved":
        assert {"lower": high < 0, "higher": low > 0, "neither": False}[better]
    if found.status == "unresolved":
        assert not beyond
        assert evidence == "band" or not worse or min(abs(low), abs(high)) < 1e-6
    if found.status == "ok":
        assert not beyond


@pytest.mark.parametrize("quantity", ["accuracy", "macro_f1", "log_loss"])
def test_by_default_ten_points_that_exclude_no_change_are_a_regression(quantity):
    unit = "nats" if quantity == "log_loss" else "fraction"
    rule, sign = DEFAULTS[family(quantity, unit, score=True)], -1 if unit == "fraction" else 1
    low, high = sorted([sign * 0.19, sign * 0.01])
    drop = Difference(baseline=0.8, candidate=0.8 + sign * 0.1, low=low, high=high, method="paired")
    assert judge("r", quantity, drop, rule, unit=unit, higher_is_better=sign < 0).status == "regression"


def test_a_baseline_of_zero_has_no_relative_change():
    finding = judge(
        "r", "storage", Difference(baseline=0, candidate=5, low=5, high=5, method="exact"), Rule(relative=0.1)
    )
    assert (finding.status, finding.change) == ("regression", None)
    same = judge("r", "storage", Difference(baseline=0, candidate=0, low=0, high=0, method="exact"), Rule(relative=0.1))
    assert same.status == "ok"
