"""Times: sample sizes, intervals over processes, ratios."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.statistics import (
    Interval,
    RatioComparison,
    Refusal,
    TimingSummary,
    compare_times,
    percentile,
    process_interval,
    samples_needed,
    summarise,
)


def times(processes: int, *, typical: float = 10.0, spread: float = 0.03, seed: int = 0) -> np.ndarray:
    return typical * np.exp(spread * np.random.default_rng(seed).standard_normal(processes))


@pytest.mark.parametrize(
    ("q", "needed"), [(50, 11), (90, 64), (95, 130), (99, 662), (10, 64), (5, 130), (1, 662), (99.9, 6636)]
)
def test_mlperf_sample_sizes(q: float, needed: int) -> None:
    assert samples_needed(q) == needed
    beyond = min(q, 100 - q) / 100
    assert stats.binom.cdf(1, needed, beyond) <= 0.01 < stats.binom.cdf(1, needed - 1, beyond)


@pytest.mark.parametrize(("q", "needed"), [(50, 11), (90, 64), (95, 130), (99, 662)])
def test_percentiles_are_refused_one_sample_short(q: float, needed: int) -> None:
    samples = times(needed)
    assert percentile(samples, q) == pytest.approx(np.percentile(samples, q))
    refusal = percentile(samples[:-1], q)
    assert isinstance(refusal, Refusal)
    assert (refusal.have, refusal.need) == (needed - 1, needed)


@pytest.mark.parametrize("q", [0, 100, -1, float("nan")])
def test_no_such_percentile(q: float) -> None:
    with pytest.raises(ValueError, match="percentile"):
        percentile([1.0], q)


@given(st.lists(st.floats(0.001, 1e3), min_size=1, max_size=200))
def test_summary_agrees_with_scipy(samples: list[float]) -> None:
    result = summarise(samples)
    assert isinstance(result, TimingSummary)
    assert result.median == pytest.approx(np.median(samples))
    assert result.mad == pytest.approx(stats.median_abs_deviation(samples))
    assert result.minimum == min(samples)
    assert isinstance(result.p95, Refusal) == (len(samples) < 130)
    assert isinstance(result.p5, Refusal) == (len(samples) < 130)


def test_no_sample() -> None:
    assert isinstance(summarise([]), Refusal)


class TestProcessInterval:
    def test_below_eight_is_refused(self) -> None:
        refusal = process_interval(times(7))
        assert isinstance(refusal, Refusal)
        assert (refusal.have, refusal.need) == (7, 8)

    def test_t_on_logarithms_below_twenty(self) -> None:
        medians = times(12)
        result = process_interval(medians)
        assert isinstance(result, Interval)
        ends = stats.ttest_1samp(np.log(medians), 0).confidence_interval()
        assert (result.low, result.high) == pytest.approx((np.exp(ends.low), np.exp(ends.high)))
        assert result.estimate == pytest.approx(stats.gmean(medians))

    def test_bootstrap_of_the_median_from_twenty(self) -> None:
        medians = times(25)
        result = process_interval(medians)
        assert isinstance(result, Interval)
        reference = stats.bootstrap(
            (medians,), np.median, n_resamples=20_000, method="percentile", rng=np.random.default_rng(3)
        ).confidence_interval
        assert (result.low, result.high) == pytest.approx((reference.low, reference.high), rel=0.004)
        assert result.estimate == np.median(medians)

    @pytest.mark.parametrize("processes", [8, 19, 20, 40])
    def test_covers(self, processes: int) -> None:
        held = 0
        for seed in range(400):
            result = process_interval(times(processes, seed=seed), draws=500)
            assert isinstance(result, Interval)
            held += result.covers(10.0)
        assert 0.91 <= held / 400 <= 0.99

    @pytest.mark.parametrize("wrong", [[1.0] * 9 + [0.0], [1.0] * 9 + [np.nan], [[1.0] * 9]])
    def test_wrong_calls(self, wrong: list[object]) -> None:
        with pytest.raises(ValueError, match="medians"):
            process_interval(wrong)  # type: ignore[arg-type]


class TestCompareTimes:
    @staticmethod
    def compare(*args: object, **kwargs: object) -> RatioComparison:
        result = compare_times(*args, **kwargs)  # type: ignore[arg-type]
        assert isinstance(result, RatioComparison)
        return result

    def test_welch_below_twenty(self) -> None:
        new, old = times(10, typical=10.5, seed=1), times(14, spread=0.06, seed=2)
        result = self.compare(new, old)
        assert isinstance(result.interval, Interval)
        ends = stats.ttest_ind(np.log(new), np.log(old), equal_var=False).confidence_interval()
        assert (result.interval.low, result.interval.high) == pytest.approx((np.exp(ends.low), np.exp(ends.high)))
        assert result.ratio == pytest.approx(stats.gmean(new) / stats.gmean(old))
        assert result.mann_whitney_p == pytest.approx(stats.mannwhitneyu(new, old).pvalue)
        assert result.processes == (10, 14)

    def test_bootstrap_from_twenty(self) -> None:
        new, old = times(30, typical=10.5, seed=1), times(30, seed=2)
        result = self.compare(new, old)
        assert isinstance(result.interval, Interval)
        assert result.ratio == np.median(new) / np.median(old)
        reference = stats.bootstrap(
            (new, old),
            lambda x, y, axis: np.median(x, axis=axis) / np.median(y, axis=axis),
            n_resamples=20_000,
            method="percentile",
            vectorized=True,
            rng=np.random.default_rng(3),
        ).confidence_interval
        assert (result.interval.low, result.interval.high) == pytest.approx((reference.low, reference.high), abs=0.004)

    def test_rank_test_needs_seven_and_can_then_be_sure(self) -> None:
        six = self.compare(times(6), times(9))
        assert isinstance(six.mann_whitney_p, Refusal)
        assert isinstance(six.interval, Refusal)
        seven = self.compare(times(7, typical=20), times(7))
        assert seven.mann_whitney_p == pytest.approx(2 / 3432)
        assert isinstance(seven.interval, Refusal)

    def test_swapping_sides_inverts(self) -> None:
        new, old = times(10, seed=1), times(10, seed=2)
        there, back = self.compare(new, old), self.compare(old, new)
        assert isinstance(there.interval, Interval)
        assert isinstance(back.interval, Interval)
        assert there.interval.low == pytest.approx(1 / back.interval.high)

    def test_constant_times(self) -> None:
        result = self.compare([2.0] * 9, [1.0] * 9)
        assert isinstance(result.interval, Interval)
        assert (result.ratio, result.interval.low, result.interval.high) == pytest.approx((2.0, 2.0, 2.0))

    def test_empty_side(self) -> None:
        assert isinstance(compare_times([], [1.0]), Refusal)
