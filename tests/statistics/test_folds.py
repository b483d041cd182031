"""The corrected t test and the variance components against published and independent values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.datasets import make_moons
from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score
from sklearn.svm import SVC

from bench.statistics.folds import FoldTest, corrected_fold_t, correction_factor
from bench.statistics.results import Refusal


def fold_test(*args: object, **kwargs: object) -> FoldTest:
    result = corrected_fold_t(*args, **kwargs)  # type: ignore[arg-type]
    assert isinstance(result, FoldTest)
    return result


def test_factors_of_the_two_protocols() -> None:
    assert correction_factor(5, 1 / 4) == pytest.approx(1.50)
    assert correction_factor(5, 1 / 3) == pytest.approx(1.63, abs=0.005)


def test_nadeau_bengio_fifteen_splits() -> None:
    """The paper's recommended setting: 15 splits, test a tenth of the data, variance (1/15 + 1/9) s**2."""
    differences = np.linspace(-0.02, 0.05, 15)
    result = fold_test(differences, 1 / 9)
    expected = differences.mean() / math.sqrt((1 / 15 + 1 / 9) * differences.var(ddof=1))
    assert result.statistic == pytest.approx(expected)
    assert result.freedom == 14


def test_scikit_learns_published_example() -> None:
    """The user guide's comparison of two support vector machines prints t = 0.750 and one-sided p = 0.227."""
    x, y = make_moons(noise=0.352, random_state=1, n_samples=100)
    splits = RepeatedStratifiedKFold(n_splits=10, n_repeats=10, random_state=0)
    rbf, linear = (
        cross_val_score(SVC(kernel=kernel, random_state=0), x, y, scoring="roc_auc", cv=splits)
        for kernel in ("rbf", "linear")
    )
    result = fold_test(rbf - linear, 10 / 90)
    assert result.statistic == pytest.approx(0.750, abs=5e-4)
    assert result.p_value / 2 == pytest.approx(0.227, abs=5e-4)


@given(st.lists(st.floats(-1, 1), min_size=3, max_size=20))
def test_without_overlap_it_is_the_t_test(differences: list[float]) -> None:
    if np.std(differences) < 1e-6:
        return
    result = fold_test(differences, 1e-12)
    plain = stats.ttest_1samp(differences, 0)
    assert result.p_value == pytest.approx(plain.pvalue, abs=1e-6)
    ends = plain.confidence_interval()
    assert (result.interval.low, result.interval.high) == pytest.approx((ends.low, ends.high), abs=1e-6)


def test_correction_widens_by_the_factor() -> None:
    differences = [0.01, 0.03, 0.02, 0.05, -0.01]
    plain = stats.ttest_1samp(differences, 0).confidence_interval()
    result = fold_test(differences, 0.25)
    assert result.interval.width == pytest.approx(1.5 * (plain.high - plain.low))


def test_refusals() -> None:
    for differences, word in (([0.02], "1 folds"), ([], "0 folds"), ([0.02] * 5, "same amount")):
        result = corrected_fold_t(differences, 0.25)
        assert isinstance(result, Refusal)
        assert word in result.reason


@pytest.mark.parametrize(("differences", "ratio"), [([0.1, np.nan], 0.25), ([0.1, 0.2], 0.0), ([[0.1]], 0.25)])
def test_wrong_calls(differences: list[float], ratio: float) -> None:
    with pytest.raises(ValueError, match=r"differences|test_to_train"):
        corrected_fold_t(differences, ratio)


def test_correction_needs_a_fold() -> None:
    with pytest.raises(ValueError, match="folds is 0"):
        correction_factor(0, 0.25)
