"""Paired comparisons against scipy, statsmodels and full enumeration."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar

from bench.statistics.draws import Draws, draw_scores
from bench.statistics.paired import Comparison, compare_pairs, mcnemar_exact, paired_cluster_bootstrap
from bench.statistics.results import Refusal


def pair_from_counts(both: int, only_a: int, only_b: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    a = np.repeat([1, 1, 0, 0], [both, only_a, only_b, neither])
    b = np.repeat([1, 0, 1, 0], [both, only_a, only_b, neither])
    return a, b


def compare(*args: object, **kwargs: object) -> Comparison:
    result = paired_cluster_bootstrap(*args, **kwargs)  # type: ignore[arg-type]
    assert isinstance(result, Comparison)
    return result


class TestMcNemar:
    @given(*[st.integers(0, 60)] * 4)
    @settings(deadline=None)
    def test_agrees_with_statsmodels_and_the_binomial_test(self, n11: int, n10: int, n01: int, n00: int) -> None:
        if n11 + n10 + n01 + n00 == 0:
            return
        result = mcnemar_exact(*pair_from_counts(n11, n10, n01, n00))
        assert (result.both, result.only_a, result.only_b, result.neither) == (n11, n10, n01, n00)
        assert result.p_value == pytest.approx(mcnemar([[n11, n10], [n01, n00]], exact=True).pvalue, rel=1e-9)
        if n10 + n01:
            assert result.p_value == pytest.approx(stats.binomtest(n10, n10 + n01).pvalue, rel=1e-9)

    def test_agresti_approval_ratings(self) -> None:
        """Agresti, Categorical Data Analysis: 86 against 150 changed their mind, z**2 = 17.36."""
        result = mcnemar_exact(*pair_from_counts(794, 86, 150, 570))
        assert result.p_value == pytest.approx(stats.chi2.sf(17.36, 1), rel=0.25)

    def test_fagerland_lydersen_laake_published_value(self) -> None:
        """Statistical Analysis of Contingency Tables (2017), chapter 8 (R package contingencytables): P = 0.052479.

        Complete response before and after consolidation therapy (Cavo et al. 2012): 6 against 16 of 161 patients.
        """
        result = mcnemar_exact(*pair_from_counts(59, 6, 16, 80))
        assert result.p_value == pytest.approx(0.052479, abs=5e-7)

    def test_mlxtends_published_value(self) -> None:
        """The test suite of mlxtend (Raschka 2018): 121 against 59 clips, exact p = 4.4344492637555101e-06."""
        result = mcnemar_exact(*pair_from_counts(101, 121, 59, 33))
        assert result.p_value == pytest.approx(4.4344492637555101e-06, rel=1e-9)

    def test_no_discordant_clip(self) -> None:
        assert mcnemar_exact([1, 0, 1], [1, 0, 1]).p_value == 1.0

    @pytest.mark.parametrize(
        ("a", "b"), [([1, 0], [1]), ([], []), ([0.5, 1], [1, 1]), ([[1, 0], [1, 1]], [[1, 0], [1, 1]])]
    )
    def test_wrong_calls(self, a: list[float], b: list[float]) -> None:
        with pytest.raises(ValueError, match="a and b"):
            mcnemar_exact(a, b)


class TestPairedBootstrap:
    def test_agrees_with_scipys_bootstrap(self) -> None:
        rng = np.random.default_rng(0)
        base = rng.random(600)
        a, b = (base < 0.7).astype(int), (np.where(rng.random(600) < 0.3, rng.random(600), base) < 0.66).astype(int)
        ours = compare(a, b, None, draws=20_000)
        theirs = stats.bootstrap(
            ((a - b).astype(float),), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1)
        ).confidence_interval
        assert (ours.interval.low, ours.interval.high) == pytest.approx((theirs.low, theirs.high), abs=0.002)
        assert ours.difference == pytest.approx(a.mean() - b.mean())

    def test_agrees_with_the_t_test_on_equal_groups(self) -> None:
        rng = np.random.default_rng(2)
        a = rng.random((80, 5)) < rng.beta(4, 2, (80, 1))
        b = rng.random((80, 5)) < rng.beta(4, 2.6, (80, 1))
        ours = compare(a.ravel(), b.ravel(), np.arange(80).repeat(5), draws=20_000)
        theirs = stats.ttest_rel(a.mean(1), b.mean(1))
        ends = theirs.confidence_interval(0.95)
        assert (ours.interval.low, ours.interval.high) == pytest.approx((ends.low, ends.high), abs=0.004)
        assert ours.p_value == pytest.approx(theirs.pvalue, rel=0.2)

    @pytest.mark.parametrize("groups", [6, 10, 20])
    def test_few_groups_are_as_wide_as_students_t(self, groups: int) -> None:
        """Averaged over data sets: with the normal quantile six groups would come out 24 % too narrow."""
        ratios = []
        for seed in range(30):
            rng = np.random.default_rng(seed)
            a, b = rng.random((groups, 50)) < 0.6, rng.random((groups, 50)) < 0.5
            ours = compare(a.ravel(), b.ravel(), np.arange(groups).repeat(50))
            ends = stats.ttest_rel(a.mean(1), b.mean(1)).confidence_interval(0.95)
            ratios.append(ours.interval.width / (ends.high - ends.low))
        assert np.mean(ratios) == pytest.approx(1.0, abs=0.04)

    def test_far_tail_of_p_follows_the_t_test(self) -> None:
        rng = np.random.default_rng(2)
        a, b = rng.random((60, 4)) < 0.75, rng.random((60, 4)) < 0.5
        ours = compare(a.ravel(), b.ravel(), np.arange(60).repeat(4))
        theirs = stats.ttest_rel(a.mean(1), b.mean(1)).pvalue
        assert theirs < 1e-4
        assert np.log10(ours.p_value) == pytest.approx(np.log10(theirs), abs=0.7)

    @given(st.integers(0, 10_000))
    @settings(max_examples=25, deadline=None)
    def test_swapping_sides_only_changes_signs(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        a, b = rng.random((2, 90)) < 0.7
        labels = np.arange(30).repeat(3)
        there, back = compare(a, b, labels, draws=300), compare(b, a, labels, draws=300)
        assert there.interval.low == pytest.approx(-back.interval.high, abs=1e-12)
        assert there.interval.high == pytest.approx(-back.interval.low, abs=1e-12)
        assert there.p_value == pytest.approx(back.p_value)
        assert there.discordance == pytest.approx(back.discordance)

    @given(st.integers(0, 10_000), st.floats(0.5, 0.75))
    @settings(max_examples=40, deadline=None)
    def test_p_and_interval_agree(self, seed: int, accuracy: float) -> None:
        rng = np.random.default_rng(seed)
        shift = 0.01 * rng.standard_normal((3, 1))
        a, b = rng.random((3, 300)) < accuracy + shift, rng.random((3, 300)) < 0.6
        result = compare(a, b, None)
        if abs(result.p_value - 0.05) > 1e-4:
            assert result.resolved == (result.p_value < 0.05)

    def test_p_and_interval_agree_where_no_draw_differs(self) -> None:
        result = compare(np.ones((3, 50)), np.zeros((3, 50)), None)
        assert result.resolved
        assert result.p_value < 0.001

    @pytest.mark.parametrize("seeds", [1, 2])
    def test_below_three_seeds_nothing_is_resolved(self, seeds: int) -> None:
        rng = np.random.default_rng(0)
        a, b = rng.random((3, 400)) < 0.9, rng.random((3, 400)) < 0.5
        assert compare(a, b, None).resolved
        few = compare(a[:seeds], b, None)
        assert few.interval.low > 0
        assert not few.resolved
        assert few.interval.method.endswith("over clips only")

    def test_seeds_have_a_quantile_of_their_own(self) -> None:
        """Nothing but seeds differs: the interval of a difference of two means of three is Welch's."""
        a, b = np.array([0.70, 0.74, 0.81]), np.array([0.61, 0.66, 0.62])
        clips = np.repeat([[0.01], [-0.01]], 500, axis=0).ravel()
        ours = compare(a[:, None] + clips, b[:, None] + np.roll(clips, 1), None)
        theirs = stats.ttest_ind(a, b, equal_var=False)
        ends = theirs.confidence_interval(0.95)
        assert (ours.interval.low, ours.interval.high) == pytest.approx((ends.low, ends.high), abs=1e-3)
        assert ours.p_value == pytest.approx(theirs.pvalue, rel=0.02)

    def test_pairing_makes_it_narrow(self) -> None:
        rng = np.random.default_rng(0)
        easy = rng.random(1000) < 0.7
        a = easy.copy()
        a[:20] = True
        result = compare(a, easy, None)
        assert result.interval.width < 0.02
        assert result.clips == result.groups == 1000

    def test_seeds_are_averaged_not_pooled(self) -> None:
        rng = np.random.default_rng(0)
        a = rng.random(400) < 0.72
        b = rng.random(400) < 0.66
        once = compare(a, b, None)
        nine = compare(np.stack([a] * 9), np.stack([b] * 9), None)
        assert nine.interval.width == pytest.approx(once.interval.width, rel=1e-6)
        assert nine.p_value == pytest.approx(once.p_value)
        assert nine.seeds == (9, 9)
        assert nine.clips == 400

    def test_seed_counts_may_differ(self) -> None:
        rng = np.random.default_rng(0)
        result = compare(rng.random((3, 200)) < 0.7, rng.random((5, 200)) < 0.6, None)
        assert result.seeds == (3, 5)

    def test_unstable_seeds_leave_a_difference_open(self) -> None:
        """Ten points apart on average, but every training of A lands somewhere else."""
        rng = np.random.default_rng(0)
        b = rng.random((3, 2000)) < 0.6
        a = rng.random((3, 2000)) < np.array([[0.5], [0.7], [0.9]])
        assert not compare(a, b, None).resolved
        assert compare(a[1], b[1], None).interval.low > 0

    def test_discordance_averages_over_pairs_of_seeds(self) -> None:
        a, b = np.array([[1, 1, 0, 0, 1], [1, 0, 0, 0, 1]]), np.array([[1, 0, 1, 0, 1], [1, 1, 1, 0, 0]])
        expected = np.mean([(x != y).mean() for x in a for y in b])
        assert compare(a, b, None).discordance == pytest.approx(expected)

    def test_equal_models_are_not_known_to_be_equal(self) -> None:
        a = np.repeat([1, 0], 50)
        result = compare(a, a, None)
        assert (result.difference, result.p_value) == (0.0, 1.0)
        assert result.interval.low < -0.03 < 0.03 < result.interval.high
        assert isinstance(result.resolution, Refusal)

    @pytest.mark.parametrize(("clips", "discordance"), [(100, 0.2), (2000, 0.1)])
    def test_resolution_is_the_formula(self, clips: int, discordance: float) -> None:
        """Of independent clips; 2.0 points at 10 % discordance and 2000 clips."""
        only = round(clips * discordance / 2)
        result = compare(*pair_from_counts(clips // 2, only, only, clips // 2 - 2 * only), None)
        assert result.resolution == pytest.approx(2.8 * np.sqrt(discordance / clips), rel=0.02)

    def test_groups_that_agree_make_the_smallest_difference_larger(self) -> None:
        a, b = pair_from_counts(60, 12, 8, 20)
        alone, together = compare(a, b, None), compare(a.repeat(4), b.repeat(4), np.arange(100).repeat(4))
        assert together.resolution == pytest.approx(alone.resolution)

    def test_too_few_groups(self) -> None:
        result = paired_cluster_bootstrap([1, 0, 1, 1], [1, 1, 1, 0], [0, 0, 1, 1])
        assert isinstance(result, Refusal)
        assert result.have == 2

    def test_other_clips_are_a_wrong_call(self) -> None:
        with pytest.raises(ValueError, match="same clips"):
            paired_cluster_bootstrap([1, 0, 1], [1, 0], None)


def test_pairs_taken_together_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    models = [(rng.random((3, 60)) < 0.5 + model / 20).astype(float) for model in range(5)]
    drawn = draw_scores(models, None, draws=300)
    assert isinstance(drawn, Draws)
    whole, ends = compare_pairs(drawn, 0.95)
    monkeypatch.setattr("bench.statistics.paired._MOST_DRAWS", 700)
    again = compare_pairs(drawn, 0.95)
    assert np.array_equal(whole, again[0])
    assert np.array_equal(ends, again[1], equal_nan=True)
    for a, b in zip(*np.triu_indices(5, 1), strict=True):
        two = draw_scores([models[a], models[b]], None, draws=300)
        assert isinstance(two, Draws)
        p_values, own = compare_pairs(two, 0.95)
        assert p_values[0, 1] == pytest.approx(whole[a, b], rel=1e-9)
        assert own[0, 1] == pytest.approx(ends[a, b], rel=1e-9)
        assert own[1, 0] == pytest.approx(-ends[a, b, ::-1], rel=1e-9)
