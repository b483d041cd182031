"""Two revisions in turns: what each look says, never against its own interval, and how often it errs."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.gate.looks import Series, judge_look
from bench.gate.policy import AGAINST, Rule, parse_policy
from bench.statistics.sequential import planned_looks


def series(rng, rounds, ratio=1.0, noise=0.02, quantity="latency", row="m", own=1.0):
    times = np.exp(noise * rng.standard_normal((3, rounds)))
    better = quantity.endswith("throughput")
    return Series(
        row=row, quantity=quantity, unit="s", higher_is_better=better, base=times[:2] * [[1.0], [own]],
        candidate=times[2] * ratio,
    )  # fmt: skip


def cut(one, rounds):
    return replace(one, base=one.base[:, :rounds], candidate=one.candidate[:rounds])


def gate(everything, policy=AGAINST):
    """What becomes of whole series, look by look."""
    most, decided = everything[0].candidate.size, {}
    looks = planned_looks(most)
    for count, rounds in enumerate(looks, 1):
        left = [cut(one, rounds) for one in everything if one.key not in decided]
        shares = tuple(look / most for look in looks[:count])
        decided |= judge_look(left, policy, shares, decided, tests=len(everything), last=rounds == most)
    return decided


def statuses(ratio, rounds, count, **more):
    found = [gate([series(np.random.default_rng(seed), rounds, ratio, **more)]) for seed in range(count)]
    return [one.status for (one,) in (decided.values() for decided in found)]


def test_a_slowdown_is_blamed_and_equal_code_is_not():
    assert statuses(1.05, 40, 40).count("regression") >= 38
    assert statuses(1.02, 60, 40).count("regression") >= 20
    equal = statuses(1.0, 60, 40)
    assert equal.count("regression") == equal.count("improved") == 0
    assert equal.count("ok") >= 34


def test_a_job_of_many_quantities_blames_equal_code_no_more_often():
    blamed = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        decided = gate([series(rng, 12, row=f"m{number}", noise=0.03) for number in range(30)])
        assert len(decided) == 30
        blamed += any(one.status in ("regression", "improved") for one in decided.values())
    assert blamed <= 3


def test_the_direction_is_that_of_the_quantity():
    rng = np.random.default_rng(0)
    slower, faster = (gate([series(rng, 30, ratio, 0.01, "infer_throughput")]) for ratio in (0.9, 1.1))
    assert [one.status for one in (*slower.values(), *faster.values())] == ["regression", "improved"]


def test_what_the_base_differs_from_itself_twice_is_not_blamed_and_does_not_pass_either():
    rng = np.random.default_rng(0)
    (one,) = gate([series(rng, 30, 1.06, 0.005, own=1.04)]).values()
    assert (one.status, one.tolerance) == ("not_resolvable", 0.015)
    assert "base against itself" in one.reason
    (one,) = gate([series(rng, 30, 1.2, 0.005, own=1.04)]).values()
    assert one.status == "regression"
    assert one.tolerance == pytest.approx(0.08, abs=0.01)


def test_disturbed_processes_let_no_slowdown_pass():
    passed = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        one = series(rng, 30, 1.05, 0.01)
        disturbed = [1 + 0.3 * rng.exponential(size=values.shape) * (rng.random(values.shape) < 0.1)
                     for values in (one.base, one.candidate)]  # fmt: skip
        (found,) = gate([replace(one, base=one.base * disturbed[0], candidate=one.candidate * disturbed[1])]).values()
        passed += found.status == "ok"
    assert passed <= 2


def test_noise_that_time_does_not_resolve_is_said_to_be_so():
    (one,) = gate([series(np.random.default_rng(1), 10, 1.03, 0.1)]).values()
    assert one.status == "not_resolvable"
    assert one.high > one.tolerance


def test_values_without_scatter_need_no_more_than_the_first_look():
    equal = Series(row="m", quantity="host_memory", unit="MiB", higher_is_better=False,
                   base=np.full((2, 8), 400.0), candidate=np.full(8, 400.0))  # fmt: skip
    fatter = replace(equal, candidate=np.full(8, 404.0))
    found = [judge_look([one], AGAINST, (0.2,), {}, tests=1, last=False)[one.key].status for one in (equal, fatter)]
    assert found == ["ok", "regression"]


def test_too_few_rounds_are_not_resolvable_with_the_reason():
    one = series(np.random.default_rng(0), 5)
    (found,) = judge_look([one], AGAINST, (1.0,), {}, tests=1, last=True).values()
    assert (found.status, found.low) == ("not_resolvable", None)
    assert "5 rounds" in found.reason


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10_000), rounds=st.integers(8, 60), ratio=st.floats(0.8, 1.25),
    noise=st.sampled_from([0.0, 0.003, 0.02, 0.2]), last=st.booleans(), tests=st.integers(1, 50),
    quantity=st.sampled_from(["latency", "infer_throughput", "host_memory"]),
    rule=st.builds(
        Rule, relative=st.sampled_from([0.0, 0.01, 0.1]), evidence=st.sampled_from(["band", "change", "estimate"]),
        better=st.sampled_from([None, "neither"]), level=st.sampled_from([0.8, 0.95]),
    ),
)  # fmt: skip
def test_no_verdict_contradicts_its_own_interval(seed, rounds, ratio, noise, last, tests, quantity, rule):
    policy = {**AGAINST, "latency": rule, "throughput": rule, "host_memory": rule}
    one = series(np.random.default_rng(seed), rounds, ratio, noise, quantity)
    found = judge_look([one], policy, (0.5, 1.0), {}, tests=tests, last=last)
    assert not last or found
    for finding in found.values():
        low, high, band = finding.low, finding.high, finding.tolerance
        if rule.evidence == "estimate":
            assert (low, high) == (None, None)
            low = high = finding.change
        assert low <= finding.change <= high
        if one.higher_is_better:
            low, high = -high, -low
        if rule.better == "neither":
            low, high = max(low, -high, 0.0), max(high, -low)
        needed = band if rule.evidence == "band" else 0
        match finding.status:
            case "regression":
                assert low > needed
                assert high > band
            case "improved":
                assert high < -needed
                assert low < -band
            case "ok":
                assert high <= band
            case "not_resolvable":
                assert last
                assert high > band == rule.tolerance


def test_a_policy_file_changes_the_rules_for_turns():
    policy = parse_policy("[latency]\nrelative = 0.1", "gate.toml", AGAINST)
    assert policy["latency"] == replace(AGAINST["latency"], relative=0.1)
    assert policy["throughput"] == AGAINST["throughput"]


def test_an_early_look_at_a_long_gate_is_as_sure_as_numbers_can_be():
    """Eight of 200 rounds, among twenty quantities: nearly no error may be spent, yet there is a level below 1."""
    one = cut(series(np.random.default_rng(0), 200, 1.2), 8)
    (finding,) = judge_look([one], AGAINST, (8 / 200,), {}, tests=20, last=True).values()
    assert finding.status in ("regression", "not_resolvable")
    assert finding.low < finding.change < finding.high
