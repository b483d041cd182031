"""Times: sample sizes, intervals over processes, ratios."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bench.statistics.results import Interval, Refusal
from bench.statistics.timing import compare_times, percentile, process_interval, samples_needed


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
    def compare(*args: object, **kwargs: object) -> Interval:
        result = compare_times(*args, **kwargs)  # type: ignore[arg-type]
        assert isinstance(result, Interval)
        return result

    def test_welch_below_twenty(self) -> None:
        new, old = times(10, typical=10.5, seed=1), times(14, spread=0.06, seed=2)
        result = self.compare(new, old)
        ends = stats.ttest_ind(np.log(new), np.log(old), equal_var=False).confidence_interval()
        assert (result.low, result.high) == pytest.approx((np.exp(ends.low), np.exp(ends.high)))
        assert result.estimate == pytest.approx(stats.gmean(new) / stats.gmean(old))

    def test_bootstrap_from_twenty(self) -> None:
        new, old = times(30, typical=10.5, seed=1), times(30, seed=2)
        result = self.compare(new, old)
        assert result.estimate == np.median(new) / np.median(old)
        reference = stats.bootstrap(
            (new, old),
            lambda x, y, axis: np.median(x, axis=axis) / np.median(y, axis=axis),
            n_resamples=20_000,
            method="percentile",
            vectorized=True,
            rng=np.random.default_rng(3),
        ).confidence_interval
        assert (result.low, result.high) == pytest.approx((reference.low, reference.high), abs=0.004)

    def test_swapping_sides_inverts(self) -> None:
        new, old = times(10, seed=1), times(10, seed=2)
        there, back = self.compare(new, old), self.compare(old, new)
        assert there.low == pytest.approx(1 / back.high)

    def test_a_program_differs_from_itself_as_seldom_as_the_level_says(self) -> None:
        """Ten processes of ten values, 1 % from process to process and 0.3 % within: the values are no hundred."""
        rng = np.random.default_rng(0)
        sides = 0.01 * (1 + 0.01 * rng.standard_normal((400, 2, 10, 1)) + 0.003 * rng.standard_normal((400, 2, 10, 10)))
        told = [self.compare(*np.median(trial, axis=2)) for trial in sides]
        assert np.mean([not result.low <= 1 <= result.high for result in told]) < 0.08

    def test_constant_times(self) -> None:
        result = self.compare([2.0] * 9, [1.0] * 9)
        assert (result.estimate, result.low, result.high) == pytest.approx((2.0, 2.0, 2.0))

    def test_below_eight_a_side_is_refused(self) -> None:
        refusal = compare_times(times(7), times(9))
        assert isinstance(refusal, Refusal)
        assert (refusal.have, refusal.need) == (7, 8)
        assert isinstance(compare_times([], [1.0]), Refusal)
