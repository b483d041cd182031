"""Drift within a process and steps in a history."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bench.statistics.history import Step, Trend, detect_steps, trend_test
from bench.statistics.results import Refusal


def series(*levels: tuple[float, int], spread: float = 0.02, seed: int = 0) -> np.ndarray:
    clean = np.concatenate([np.full(count, level) for level, count in levels])
    return clean * np.exp(spread * np.random.default_rng(seed).standard_normal(clean.size))


def steps_of(values: np.ndarray, **kwargs: object) -> tuple[Step, ...]:
    result = detect_steps(values, **kwargs)  # type: ignore[arg-type]
    assert not isinstance(result, Refusal)
    return result


class TestTrend:
    def test_p_and_slope_agree_with_scipy(self) -> None:
        values = series((10.0, 60)) * np.linspace(1, 1.05, 60)
        result = trend_test(values)
        assert isinstance(result, Trend)
        assert result.p_value == pytest.approx(stats.kendalltau(np.arange(60), values).pvalue)
        slope = stats.theilslopes(values).slope
        assert result.drift == pytest.approx(slope * 59 / np.median(values))
        assert result.unsteady

    def test_noise_is_steady(self) -> None:
        flagged = 0
        for seed in range(200):
            result = trend_test(series((10.0, 50), seed=seed))
            assert isinstance(result, Trend)
            flagged += result.unsteady
        assert flagged <= 6

    def test_a_real_but_tiny_drift_is_steady(self) -> None:
        result = trend_test(np.linspace(10, 10.05, 200))
        assert isinstance(result, Trend)
        assert result.p_value < 1e-6
        assert not result.unsteady

    def test_many_samples_are_reduced_to_blocks(self) -> None:
        result = trend_test(series((10.0, 20_000)) * np.linspace(1.1, 1, 20_000))
        assert isinstance(result, Trend)
        assert result.unsteady
        assert result.drift == pytest.approx(-0.095, abs=0.01)

    def test_constant_and_too_few(self) -> None:
        constant = trend_test([1.0] * 20)
        assert constant == Trend(unsteady=False, p_value=1.0, drift=0.0)
        refusal = trend_test([1.0] * 10)
        assert isinstance(refusal, Refusal)
        assert (refusal.have, refusal.need) == (10, 11)

    def test_times_are_positive(self) -> None:
        with pytest.raises(ValueError, match="above 0"):
            trend_test([1.0] * 10 + [-1.0])


class TestSteps:
    def test_one_step_is_found_where_it_is(self) -> None:
        (step,) = steps_of(series((10.0, 20), (11.0, 15)))
        assert abs(step.index - 20) <= 1
        assert step.ratio == pytest.approx(1.1, abs=0.02)
        assert step.p_value <= 0.01

    def test_up_and_down(self) -> None:
        found = steps_of(series((10.0, 20), (12.0, 20), (10.0, 20)))
        assert [abs(step.index - place) <= 2 for step, place in zip(found, (20, 40), strict=True)] == [True, True]
        assert found[0].ratio > 1 > found[1].ratio

    def test_level_histories_rarely_step(self) -> None:
        assert sum(bool(steps_of(series((10.0, 30), seed=seed))) for seed in range(60)) <= 4

    @pytest.mark.parametrize("place", [0, 14, 29])
    def test_one_outlier_is_no_step(self, place: int) -> None:
        values = series((10.0, 30), seed=3)
        values[place] *= 5
        assert steps_of(values) == ()

    @given(st.integers(0, 1000))
    @settings(max_examples=10, deadline=None)
    def test_the_unit_does_not_matter(self, seed: int) -> None:
        values = series((10.0, 12), (10.6, 12), seed=seed)
        assert [s.index for s in steps_of(values)] == [s.index for s in steps_of(values * 1000)]

    def test_small_jumps_are_tolerated(self) -> None:
        values = series((10.0, 30), (10.5, 30), spread=0.001)
        assert len(steps_of(values)) == 1
        assert steps_of(values, tolerance=0.06) == ()

    def test_too_few_runs(self) -> None:
        refusal = detect_steps([1.0] * 9)
        assert isinstance(refusal, Refusal)
        assert (refusal.have, refusal.need) == (9, 10)

    @pytest.mark.parametrize("wrong", [{"least": 1}, {"alpha": 0.0}, {"alpha": 1.0}])
    def test_wrong_settings(self, wrong: dict[str, float]) -> None:
        with pytest.raises(ValueError, match=next(iter(wrong))):
            detect_steps([1.0] * 20, **wrong)  # type: ignore[arg-type]
