"""Looks: the error that each may spend, against published values and simulated streams."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from bench.statistics.sequential import look_levels, planned_looks, spent

EVEN = (0.2, 0.4, 0.6, 0.8, 1.0)


@pytest.mark.parametrize(
    ("spending", "published"),
    [("late", (4.8769, 3.3569, 2.6803, 2.2898, 2.0310)), ("even", (2.438, 2.427, 2.410, 2.397, 2.386))],
)
def test_critical_values_are_the_published_ones(spending, published):
    found = -special.ndtri(np.array(look_levels(EVEN, 0.05, spending)) / 2)
    assert found == pytest.approx(published, abs=1e-3)


def test_one_look_at_all_data_has_all_of_the_error():
    assert look_levels((1.0,), 0.05) == pytest.approx((0.05,))


@settings(max_examples=25, deadline=None)
@given(
    looks=st.lists(st.integers(1, 400), min_size=1, max_size=8, unique=True).map(sorted),
    alpha=st.floats(1e-4, 0.2),
    spending=st.sampled_from(["late", "even"]),
)
def test_no_look_has_more_than_all_of_the_error_and_none_has_nothing(looks, alpha, spending):
    shares = tuple(look / looks[-1] for look in looks)
    found = look_levels(shares, alpha, spending)
    assert all(0 < level <= alpha * (1 + 1e-4) for level in found)
    assert spent(shares[0], alpha, spending) <= alpha * (1 + 1e-9)


@pytest.mark.parametrize("spending", ["late", "even"])
def test_streams_without_an_effect_are_blamed_as_often_as_permitted(spending):
    looks, alpha = planned_looks(40), 0.05
    levels = look_levels(tuple(look / 40 for look in looks), alpha, spending)
    sums = np.cumsum(np.random.default_rng(3).standard_normal((20_000, 40)), axis=1)[:, np.array(looks) - 1]
    scores = np.abs(sums) / np.sqrt(looks)
    blamed = (scores > -special.ndtri(np.array(levels) / 2)).any(axis=1).mean()
    assert blamed == pytest.approx(alpha, abs=0.006)


@given(most=st.integers(0, 3000))
def test_looks_begin_with_eight_rounds_rise_and_end_with_the_last(most):
    looks = planned_looks(most)
    assert (looks == ()) is (most < 8)
    if looks:
        assert looks[0] >= 8
        assert looks[-1] == most
        assert list(looks) == sorted(set(looks))


@pytest.mark.parametrize("shares", [(), (0.5, 0.5), (0.5, 0.2), (0.0, 1.0)])
def test_shares_that_do_not_rise_are_an_error_of_the_caller(shares):
    with pytest.raises(ValueError, match="rise"):
        look_levels(shares, 0.05)


@pytest.mark.parametrize(("share", "alpha"), [(1.5, 0.05), (-0.1, 0.05), (0.5, 0.0), (0.5, 1.0)])
def test_what_is_no_share_or_error_is_refused(share, alpha):
    with pytest.raises(ValueError, match="between 0 and 1"):
        spent(share, alpha)
