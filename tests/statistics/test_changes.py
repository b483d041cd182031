"""Steps, creep and what is not resolvable yet in a stored history."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.statistics.changes import Changes, detect_changes, partition
from bench.statistics.results import Refusal


def found(values: object, **kwargs: object) -> Changes:
    result = detect_changes(values, **kwargs)  # type: ignore[arg-type]
    assert not isinstance(result, Refusal)
    return result


def noisy(clean: object, spread: float, seed: int = 0) -> np.ndarray:
    values = np.asarray(clean, dtype=np.float64)
    return values * np.exp(spread * np.random.default_rng(seed).standard_normal(values.size))


@pytest.mark.parametrize(
    ("values", "places"),
    [
        ([1.0] * 30 + [2.0] * 3, [30]),
        ([1.0] * 20 + [2.0] * 9 + [1.0] * 20, [20, 29]),
        ([2.0] * 3 + [1.0] * 30, [3]),
        ([0.0] * 20 + [3.0] * 20, [20]),
        ([-1.0] * 20 + [1.0] * 20, [20]),
        ([1.0] * 20 + [1.5] * 20 + [2.0] * 3 + [1.0] * 20, [20, 40, 43]),
        ([1.0] * 60, []),
        ([0.0] * 60, []),
    ],
)
def test_constructed_histories(values, places):
    result = found(values)
    assert [step.index for step in result.steps] == places
    assert [(step.earliest, step.latest) for step in result.steps] == [(place, place) for place in places]
    levels = [(step.before, step.after) for step in result.steps]
    assert levels == [pytest.approx((values[place - 1], values[place])) for place in places]
    assert result.creeps == ()
    assert result.unresolved is None


def test_a_rise_from_zero_has_no_ratio():
    (step,) = found([0.0] * 20 + [3.0] * 20).steps
    assert step.ratio is None
    (step,) = found([2.0] * 20 + [3.0] * 20).steps
    assert step.ratio == pytest.approx(1.5)


@pytest.mark.parametrize("last", [1, 2])
def test_last_runs_that_are_too_few_are_named_and_no_run_before_them_is_accused(last):
    result = found([1.0] * 30 + [2.0] * last)
    assert (result.steps, result.unresolved) == ((), 30)
    assert [step.index for step in found([1.0] * 30 + [2.0] * last, exact=True).steps] == [30]


def test_too_few_runs_before_are_not_resolvable_by_shuffling_but_by_the_noise():
    assert [step.index for step in found([1.0] * 5 + [2.0] * 3).steps] == [5]
    result = found(noisy([1.0] * 5 + [1.2] * 3, 0.02, seed=3))
    assert (result.steps, result.unresolved) == ((), 5)


@pytest.mark.parametrize("place", [0, 14, 29])
def test_one_outlier_is_no_step(place):
    values = noisy([10.0] * 30, 0.02, seed=3)
    values[place] *= 5
    result = found(values)
    assert result.steps == ()
    assert result.unresolved == (29 if place == 29 else None)


@pytest.mark.parametrize("spread", [0.0, 0.02, 0.05])
@pytest.mark.parametrize("rate", [1.01, 1.05])
def test_creep_is_one_line_and_no_staircase(rate, spread):
    result = found(noisy(rate ** np.arange(60), spread))
    assert result.steps == ()
    (creep,) = result.creeps
    assert (creep.start, creep.stop) == (0, 60)
    assert creep.ratio == pytest.approx(rate**59, rel=0.1)


def test_a_step_within_creep():
    clean = 1.01 ** np.arange(60) * np.where(np.arange(60) < 30, 1, 1.5)
    result = found(noisy(clean, 0.01))
    assert [step.index for step in result.steps] == [30]
    assert result.steps[0].ratio == pytest.approx(1.5, rel=0.03)
    assert [(creep.start, creep.stop) for creep in result.creeps] == [(0, 30), (30, 60)]


@pytest.mark.parametrize("spread", [0.02, 0.05])
def test_where_a_step_lies(spread):
    right = within = 0
    for seed in range(40):
        steps = found(noisy([1.0] * 20 + [1.2] * 9 + [1.0] * 20, spread, seed)).steps
        right += len(steps) == 2 and all(abs(one.index - at) <= 1 for one, at in zip(steps, (20, 29), strict=True))
        within += len(steps) == 2 and all(
            one.earliest <= at <= one.latest for one, at in zip(steps, (20, 29), strict=True)
        )
    assert right >= 34
    assert within >= 36


def test_level_histories_are_left_alone():
    rng = np.random.default_rng(1)
    shapes = (rng.standard_normal, lambda n: rng.standard_t(3, n))
    accused = [found(np.exp(0.03 * shape(60))) for shape in shapes for _ in range(100)]
    assert sum(bool(one.steps or one.creeps) for one in accused) <= 5


@given(st.integers(0, 1000), st.floats(1e-6, 1e6))
@settings(max_examples=10, deadline=None)
def test_the_unit_does_not_matter(seed, unit):
    values = noisy([10.0] * 12 + [12.0] * 12, 0.02, seed)
    one, other = found(values), found(values * unit)
    assert [step.index for step in one.steps] == [step.index for step in other.steps]


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_the_cut_is_the_cheapest_one(values):
    points = np.array(values)
    price = 4.0 * np.log(max(len(values), 3))

    def cost(edges):
        total = price * (len(edges) - 2)
        for start, stop in pairwise(edges):
            part = points[start:stop]
            level = ((part - part.mean()) ** 2).sum()
            if part.size >= 8:
                time = np.arange(part.size)
                line = ((part - np.polyval(np.polyfit(time, part, 1), time)) ** 2).sum() + 12.0
                level = min(level, line)
            total += level
        return total

    cut = [0, *(stop for _, stop in partition(points))]
    every = range(2 ** (len(values) - 1))
    edges = ([0, *(i + 1 for i in range(len(values) - 1) if mask >> i & 1), len(values)] for mask in every)
    assert cost(cut) <= min(map(cost, edges)) * (1 + 1e-6) + 1e-3


def test_small_jumps_are_tolerated():
    values = noisy([10.0] * 30 + [10.5] * 30, 0.001)
    assert len(found(values).steps) == 1
    assert found(values, tolerance=0.06).steps == ()


def test_too_few_runs_and_wrong_settings():
    refusal = detect_changes([1.0] * 5)
    assert isinstance(refusal, Refusal)
    assert (refusal.have, refusal.need) == (5, 6)
    assert isinstance(detect_changes([1.0], exact=True), Refusal)
    with pytest.raises(ValueError, match="alpha"):
        detect_changes([1.0] * 20, alpha=0.0)
    with pytest.raises(ValueError, match="finite"):
        detect_changes([1.0] * 20 + [float("nan")])
