"""Ratios over rounds: coverage, drift that drops out, and the rank test against SciPy's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from bench.statistics.results import Refusal
from bench.statistics.rounds import effect_of_rounds, mann_whitney

positive = st.floats(0.01, 100)


@pytest.mark.parametrize("rounds", [8, 14, 20, 40])
@pytest.mark.parametrize("tailed", [False, True])
def test_nominal_error_is_kept_few_rounds_or_many(rounds, tailed):
    rng = np.random.default_rng(rounds)
    draw = rng.standard_t(3, (300, 3, rounds)) if tailed else rng.standard_normal((300, 3, rounds))
    times = np.exp(0.02 * draw)
    found = [effect_of_rounds(one[0], one[1:]) for one in times]
    assert np.mean([not one.interval(0.05).covers(1) for one in found]) == pytest.approx(0.05, abs=0.03)
    assert np.mean([not one.interval(0.005).covers(1) for one in found]) <= 0.02


@pytest.mark.parametrize("rounds", [8, 19, 20, 50])
def test_a_drift_of_the_whole_machine_drops_out(rounds):
    drift = np.exp(np.linspace(0, 1.5, rounds))
    found = effect_of_rounds(1.05 * drift, np.stack([drift, drift]))
    interval = found.interval(1e-4)
    assert (interval.low, interval.estimate, interval.high) == pytest.approx((1.05, 1.05, 1.05))


@pytest.mark.parametrize("rounds", [12, 30])
def test_equal_sides_have_no_effect_and_no_error(rounds):
    found = effect_of_rounds(np.full(rounds, 3.0), np.full((2, rounds), 3.0))
    assert (found.log, found.error) == (0.0, 0.0)


def test_single_disturbed_rounds_do_not_move_the_estimate_of_many():
    rng = np.random.default_rng(0)
    base, new = np.exp(0.01 * rng.standard_normal((2, 30))), np.exp(0.01 * rng.standard_normal(30))
    new[[3, 17]] *= 4
    assert abs(effect_of_rounds(new, base).log) < 0.01


def test_seven_rounds_are_too_few():
    found = effect_of_rounds(np.ones(7), np.ones(7))
    assert isinstance(found, Refusal)
    assert (found.have, found.need) == (7, 8)


def test_sides_of_other_lengths_are_an_error_of_the_caller():
    with pytest.raises(ValueError, match="8 rounds, the candidate 9"):
        effect_of_rounds(np.ones(9), np.ones(8))


@settings(deadline=None)
@given(values=st.lists(st.tuples(positive, positive, positive), min_size=8, max_size=30), miss=st.floats(1e-30, 0.5))
def test_an_interval_holds_its_estimate_and_one_that_may_miss_less_is_wider(values, miss):
    new, *old = np.array(values).T
    found = effect_of_rounds(new, old)
    narrow, wide = found.interval(miss), found.interval(miss / 2)
    assert wide.low <= narrow.low <= narrow.estimate <= narrow.high <= wide.high


@settings(deadline=None)
@given(
    new=st.lists(st.integers(0, 6), min_size=2, max_size=20), old=st.lists(st.integers(0, 6), min_size=2, max_size=20)
)
def test_the_rank_test_is_scipys(new, old):
    if len(set(new + old)) == 1:
        assert mann_whitney(new, old) == 1
        return
    assert mann_whitney(new, old) == pytest.approx(mannwhitneyu(new, old, method="asymptotic").pvalue, abs=1e-9)
