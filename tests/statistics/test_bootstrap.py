"""The bootstrap over groups against scipy, full enumeration, and what must not matter."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bench.statistics.bootstrap import cluster_bootstrap, score_interval, sorted_quantiles, stretch, wilson
from bench.statistics.draws import Draws, draw_scores, group_weights
from bench.statistics.results import Interval, Refusal


def interval_of(*args: object, **kwargs: object) -> Interval:
    result = cluster_bootstrap(*args, **kwargs)  # type: ignore[arg-type]
    assert isinstance(result, Interval)
    return result


def drawn_of(values: np.ndarray, groups: np.ndarray | None, draws: int, seed: int = 0) -> Draws:
    result = draw_scores([values], groups, draws=draws, seed=seed)
    assert isinstance(result, Draws)
    return result


def grouped(groups: int, size: int, accuracy: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    chance = rng.beta(2 * accuracy, 2 * (1 - accuracy), groups).repeat(size)
    return (rng.random(groups * size) < chance).astype(int), np.arange(groups).repeat(size)


def test_draws_match_full_enumeration() -> None:
    """Five groups of unequal size: all 5**4 resamples of four groups have known moments and quantiles."""
    sizes, sums = np.array([1, 2, 3, 1, 4]), np.array([1, 0, 2, 1, 3])
    labels = np.arange(5).repeat(sizes)
    correct = np.concatenate([[1] * s + [0] * (n - s) for s, n in zip(sums, sizes, strict=True)])
    every = [sums[list(i)].sum() / sizes[list(i)].sum() for i in itertools.product(range(5), repeat=4)]
    drawn = drawn_of(correct, labels, 200_000, seed=1).drawn[:, 0]
    assert drawn.mean() == pytest.approx(np.mean(every), abs=0.001)
    assert drawn.var() == pytest.approx(np.var(every), rel=0.01)
    assert set(np.round(drawn, 9)) == set(np.round(every, 9))


def test_variance_of_draws_is_unbiased_for_equal_groups() -> None:
    correct, labels = grouped(60, 4, 0.7)
    scores = drawn_of(correct, labels, 40_000)
    drawn = scores.drawn[:, 0]
    means = correct.reshape(60, 4).mean(1)
    assert drawn.var() == pytest.approx(means.var(ddof=1) / 60, rel=0.03)
    assert scores.covariance[0, 0] == pytest.approx(means.var(ddof=1) / 60)


@pytest.mark.parametrize("accuracy", [0.5, 0.9, 0.96])
def test_agrees_with_scipys_bca_on_groups(accuracy: float) -> None:
    """Equal groups: the accuracy is the mean of group means, which scipy resamples too (G draws, normal quantile)."""
    correct, labels = grouped(150, 4, accuracy)
    ours = interval_of(correct, labels, draws=20_000)
    means = correct.reshape(150, 4).mean(1)
    theirs = stats.bootstrap(
        (means,), np.mean, n_resamples=20_000, method="BCa", rng=np.random.default_rng(0)
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.06 * ours.width)
    assert ours.estimate == pytest.approx(correct.mean())


def test_a_high_accuracy_reaches_further_down_than_up() -> None:
    """Plain percentiles of so few errors lie almost evenly around the estimate, and miss the truth from above."""
    correct = np.repeat([1, 0], [190, 10])
    result, reference = interval_of(correct, None, draws=20_000), wilson(190, 200)
    asymmetry = (result.estimate - result.low) / (result.high - result.estimate)
    assert asymmetry == pytest.approx((0.95 - reference.low) / (reference.high - 0.95), rel=0.2)


def test_ends_of_high_accuracies_lie_at_wilsons_on_average() -> None:
    """Over a range of error counts, since one count alone sits on the grid of possible accuracies."""
    counts = range(12, 32)
    ours = [interval_of(np.arange(300) >= errors, None, draws=8000) for errors in counts]
    theirs = [wilson(300 - errors, 300) for errors in counts]
    assert np.mean([i.low for i in ours]) == pytest.approx(np.mean([i.low for i in theirs]), abs=0.0015)
    assert np.mean([i.high for i in ours]) == pytest.approx(np.mean([i.high for i in theirs]), abs=0.0025)


@pytest.mark.parametrize("groups", [6, 12])
def test_few_groups_are_as_wide_as_students_t(groups: int) -> None:
    """Averaged over data sets: with the normal quantile six groups would come out 24 % too narrow."""
    ratios = []
    for seed in range(30):
        correct = np.random.default_rng(seed).random((groups, 50)) < 0.5
        ends = stats.ttest_1samp(correct.mean(1), 0).confidence_interval(0.95)
        ours = interval_of(correct.ravel(), np.arange(groups).repeat(50))
        ratios.append(ours.width / (ends.high - ends.low))
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.05)


def test_lone_clips_agree_with_wilson() -> None:
    correct = np.repeat([1, 0], [1800, 200])
    ours, reference = interval_of(correct, None, draws=20_000), wilson(1800, 2000)
    assert (ours.low, ours.high) == pytest.approx((reference.low, reference.high), abs=0.0015)


def test_groups_that_agree_widen_the_interval() -> None:
    correct, labels = grouped(200, 8, 0.8)
    together, alone = interval_of(correct, labels), interval_of(correct, None)
    assert together.width > 1.5 * alone.width


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_order_of_clips_and_names_of_groups_do_not_matter(seed: int) -> None:
    correct, labels = grouped(30, 3, 0.7, seed)
    order = np.random.default_rng(seed).permutation(correct.size)
    names = np.array([f"recording-{label:03d}" for label in labels])
    assert interval_of(correct, labels, draws=200) == interval_of(correct[order], names[order], draws=200)


def test_a_clip_counted_twice_in_its_group_adds_nothing() -> None:
    correct, labels = grouped(80, 1, 0.7)
    assert interval_of(correct.repeat(2), labels.repeat(2)) == interval_of(correct, labels)


def test_same_seed_same_interval_other_seed_close() -> None:
    correct, labels = grouped(100, 4, 0.7)
    first, again, other = (interval_of(correct, labels, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first != other
    assert first.low == pytest.approx(other.low, abs=0.1 * first.width)


def test_all_right_is_not_certainty() -> None:
    result = interval_of(np.ones(80), np.arange(40).repeat(2))
    assert (result.estimate, result.high) == (1.0, 1.0)
    assert result.low == pytest.approx(wilson(40, 40).low)
    assert "Wilson" in result.method


def test_too_few_groups_is_a_refusal_with_counts() -> None:
    result = cluster_bootstrap([1, 0, 1, 1], ["a", "a", "b", "c"])
    assert isinstance(result, Refusal)
    assert (result.have, result.need) == (3, 5)
    assert "3 groups" in result.reason


def test_few_groups_take_students_quantile() -> None:
    assert stretch(np.array(4.0), 0.95) == pytest.approx(stats.t.ppf(0.975, 4) / stats.norm.ppf(0.975))
    assert stretch(np.array(1e6), 0.95) == pytest.approx(1.0, abs=1e-5)


class TestSeeds:
    def test_the_estimate_is_the_mean_over_seeds(self) -> None:
        correct = np.stack([grouped(50, 4, 0.7, seed)[0] for seed in range(3)])
        result = interval_of(correct, np.arange(50).repeat(4))
        assert result.estimate == pytest.approx(correct.mean())

    def test_copies_of_one_seed_are_one_seed(self) -> None:
        correct, labels = grouped(50, 4, 0.7)
        alone, copied = interval_of(correct, labels), interval_of(np.stack([correct] * 3), labels)
        assert (copied.low, copied.high) == pytest.approx((alone.low, alone.high), abs=1e-9)

    def test_seeds_are_not_counted_as_clips(self) -> None:
        """Nine seeds that agree on most clips must not shrink the interval by a factor of three."""
        rng = np.random.default_rng(0)
        easy = rng.random(400) < 0.7
        correct = np.stack([np.where(rng.random(400) < 0.05, ~easy, easy) for _ in range(9)])
        assert interval_of(correct, None).width > 0.85 * interval_of(correct[0], None).width

    def test_seeds_that_move_everything_widen(self) -> None:
        rng = np.random.default_rng(0)
        steady = rng.random((3, 2000)) < 0.8
        moved = rng.random((3, 2000)) < np.array([[0.7], [0.8], [0.9]])
        assert interval_of(moved, None).width > 4 * interval_of(steady, None).width

    def test_seed_variance_is_the_component_of_a_two_way_model(self) -> None:
        """On average over simulations the estimate equals the variances that were put in."""
        rng = np.random.default_rng(0)
        found = []
        for _ in range(300):
            shift = 0.05 * rng.standard_normal((5, 1))
            correct = (rng.random((5, 400)) < 0.6 + shift).astype(float)
            drawn = drawn_of(correct, None, 1)
            found.append([5 * drawn.seed_variance[0], 5 * drawn.interaction[0]])
        assert np.mean(found, axis=0) == pytest.approx([0.05**2 + 0.24 / 400, 0.24 / 400], rel=0.15)

    def test_seeds_have_students_quantile_of_their_own(self) -> None:
        """Nothing but seeds differs: the interval is that of the t test over three scores."""
        scores = np.array([0.70, 0.74, 0.81])
        clips = np.repeat([0.01, -0.01], 500)
        ends = stats.ttest_1samp(scores, 0).confidence_interval(0.95)
        ours = interval_of(scores[:, None] + clips, None)
        assert (ours.low, ours.high) == pytest.approx((ends.low, ends.high), abs=2e-3)
        assert ours.method.endswith("and 3 seeds (t)")

    @pytest.mark.parametrize("seeds", [1, 2])
    def test_below_three_seeds_the_interval_is_named_over_clips_only(self, seeds: int) -> None:
        correct = np.stack([grouped(50, 4, 0.7, seed)[0] for seed in range(seeds)])
        assert interval_of(correct, np.arange(50).repeat(4)).method.endswith("over clips only")
        assert interval_of(np.ones((seeds, 40)), None).method.endswith("over clips only")


@pytest.mark.parametrize(
    ("correct", "groups", "match"),
    [
        ([1, 0, 1], [0, 1], "groups has shape"),
        ([], None, "shape"),
        ([[[1]]], None, "shape"),
        ([1, float("nan")], None, "not all finite"),
    ],
)
def test_wrong_calls(correct: list[float], groups: list[int] | None, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        cluster_bootstrap(correct, groups)


class TestAnyValue:
    """A loss per clip: no proportion, so no bound at 0 or 1 and no Wilson."""

    def test_agrees_with_scipys_bca(self) -> None:
        losses = np.random.default_rng(0).exponential(2.0, 400)
        ours = interval_of(losses, None, draws=20_000)
        theirs = stats.bootstrap(
            (losses,), np.mean, n_resamples=20_000, method="BCa", rng=np.random.default_rng(0)
        ).confidence_interval
        assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.06 * ours.width)
        assert ours.low > 1

    def test_a_constant_has_no_interval(self) -> None:
        result = cluster_bootstrap(np.full(60, 1.5), None)
        assert isinstance(result, Refusal)
        assert "no draw" in result.reason

    @given(st.integers(0, 1000))
    @settings(max_examples=20, deadline=None)
    def test_an_interval_moves_and_stretches_with_its_unit(self, seed: int) -> None:
        losses, groups = np.random.default_rng(seed).exponential(1.0, 90), np.arange(30).repeat(3)
        one, other = interval_of(losses, groups), interval_of(3 * losses - 7, groups)
        assert (other.low, other.high) == pytest.approx((3 * one.low - 7, 3 * one.high - 7))


def test_one_seed_on_lone_clips_has_wilsons_interval() -> None:
    correct = np.repeat([1, 0], [90, 10])
    assert score_interval(correct, None) == dataclasses.replace(wilson(90, 100), method="Wilson, over clips only")
    assert score_interval(correct, np.arange(50).repeat(2)) == cluster_bootstrap(correct, np.arange(50).repeat(2))
    assert score_interval([1, 0], None).high == wilson(1, 2).high


def test_wrong_level() -> None:
    with pytest.raises(ValueError, match="level is 95"):
        cluster_bootstrap([1, 0], None, level=95)


@given(st.integers(2, 300), st.lists(st.floats(0.0, 1.0), min_size=1, max_size=4), st.integers(0, 99))
def test_quantiles_of_sorted_draws_are_numpys_to_the_last_bit(draws: int, levels: list[float], seed: int) -> None:
    rows = np.sort(np.random.default_rng(seed).normal(size=(3, draws)).round(2), axis=1)
    expected = np.quantile(rows, levels, axis=1, method="weibull").T
    assert np.array_equal(sorted_quantiles(rows, np.array(levels)), expected)


def test_groups_drawn_once_are_those_drawn_anew() -> None:
    (kept,) = group_weights(7, 20, 3)
    (again,), (anew,) = group_weights(7, 20, 3), group_weights(7, 20, np.random.default_rng(3))
    assert again is kept
    assert np.array_equal(kept, anew)
