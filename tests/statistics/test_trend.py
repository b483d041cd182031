"""Drift within a process."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bench.statistics.results import Refusal
from bench.statistics.trend import Trend, trend_test


def series(*levels: tuple[float, int], spread: float = 0.02, seed: int = 0) -> np.ndarray:
    clean = np.concatenate([np.full(count, level) for level, count in levels])
    return clean * np.exp(spread * np.random.default_rng(seed).standard_normal(clean.size))


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
