"""Wilson's interval and the resolution of a test set against published and independent values."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.proportion import proportion_confint

from bench.statistics.bootstrap import minimum_detectable_difference, wilson
from bench.statistics.results import Refusal


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_newcombe_1998_table_i(successes: int, n: int, low: float, high: float) -> None:
    interval = wilson(successes, n)
    assert (round(interval.low, 4), round(interval.high, 4)) == (low, high)


@given(st.integers(1, 5000), st.floats(0, 1), st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_agrees_with_statsmodels_and_scipy(n: int, share: float, level: float) -> None:
    successes = round(share * n)
    interval = wilson(successes, n, level)
    low, high = proportion_confint(successes, n, alpha=1 - level, method="wilson")
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-12)
    other = stats.binomtest(successes, n).proportion_ci(level, method="wilson")
    assert (interval.low, interval.high) == pytest.approx((other.low, other.high), abs=1e-12)
    assert interval.covers(interval.estimate)
    assert interval.estimate == successes / n


@pytest.mark.parametrize(("successes", "n", "level"), [(1, 0, 0.95), (-1, 5, 0.95), (6, 5, 0.95), (1, 5, 1.0)])
def test_wilson_refuses_wrong_calls(successes: int, n: int, level: float) -> None:
    with pytest.raises(ValueError, match="is"):
        wilson(successes, n, level)


def test_two_points_at_ten_percent_discordance() -> None:
    value = minimum_detectable_difference(0.10, 2000)
    assert value == pytest.approx(0.0198, abs=5e-5)


def test_the_factor_is_that_of_a_power_calculation() -> None:
    value = minimum_detectable_difference(0.2, 500)
    assert isinstance(value, float)
    effect = value / math.sqrt(0.2)
    power = NormalIndPower(ddof=0).power(effect, 500, 0.05, ratio=0)
    assert power == pytest.approx(0.80, abs=0.005)


def test_no_discordant_clip_is_unknown_not_zero() -> None:
    refusal = minimum_detectable_difference(0.0, 100)
    assert isinstance(refusal, Refusal)
    assert "unknown" in refusal.reason


@pytest.mark.parametrize(("discordance", "n"), [(-0.1, 10), (1.1, 10), (0.1, 0)])
def test_resolution_refuses_wrong_calls(discordance: float, n: int) -> None:
    with pytest.raises(ValueError, match="is"):
        minimum_detectable_difference(discordance, n)
