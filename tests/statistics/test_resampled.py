"""The bootstrap of mean average precision: against scipy, and the intervals and ranks of accuracies."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bench.metrics import weighted
from bench.metrics.scores import mean_average_precision
from bench.statistics.bootstrap import cluster_bootstrap
from bench.statistics.draws import Resampled, clip_weights
from bench.statistics.paired import paired_cluster_bootstrap
from bench.statistics.ranking import ranking
from bench.statistics.results import Refusal


def clips_of(rng, clips, classes=5, separation=1.5):
    true = rng.random((clips, classes)) < 0.2
    true[:2] = [[True] * classes, [False] * classes]
    return np.round(rng.normal(size=(clips, classes)) + separation * true, 1), true.astype(np.float32)


def interval_of(score):
    return cluster_bootstrap(score, None)


def compare(a, b):
    return paired_cluster_bootstrap(a, b, None)


def made_of(observed, drawn, groups):
    return Resampled(observed=observed, drawn=drawn, clips=200, groups=groups)


def resampled(logits, targets, weights, groups):
    observed = np.array([mean_average_precision(one, targets) for one in logits])
    drawn = np.stack([weighted.mean_average_precision(one, targets, weights) for one in logits])
    return Resampled(observed=observed, drawn=drawn, clips=len(targets), groups=groups)


class TestInterval:
    def test_weights_count_whole_groups(self):
        weights, groups = clip_weights(np.repeat(np.arange(10), 3), 30, draws=50)
        assert groups == 10
        assert weights.shape == (50, 30)
        assert np.array_equal(weights[:, 0::3], weights[:, 1::3])
        assert set(weights[:, ::3].sum(axis=1)) == {9.0}

    def test_an_accuracy_has_the_interval_of_the_cluster_bootstrap(self):
        rng = np.random.default_rng(0)
        names = np.repeat(np.arange(100), 2)
        correct = (rng.random((3, 200)) < 0.7).astype(float)
        weights, groups = clip_weights(names, 200, draws=4000)
        score = made_of(correct.mean(axis=1), correct @ weights.T / weights.sum(axis=1), groups)
        made, expected = interval_of(score), cluster_bootstrap(correct, names, draws=4000)
        assert (made.low, made.high) == pytest.approx((expected.low, expected.high), abs=0.008)
        other = (rng.random((3, 200)) < 0.6).astype(float)
        pair = made_of(other.mean(axis=1), other @ weights.T / weights.sum(axis=1), groups)
        found = compare(score, pair)
        known = paired_cluster_bootstrap(correct, other, names, draws=4000)
        assert found.difference == pytest.approx(known.difference)
        assert (found.interval.low, found.interval.high) == pytest.approx(
            (known.interval.low, known.interval.high), abs=0.012
        )
        assert found.p_value == pytest.approx(known.p_value, abs=0.02)

    def test_spread_agrees_with_scipys_bootstrap(self):
        rng = np.random.default_rng(1)
        logits, targets = clips_of(rng, 150)
        weights, groups = clip_weights(None, 150)
        made = interval_of(resampled([logits], targets, weights, groups))
        theirs = stats.bootstrap(
            (np.arange(150),), lambda at: mean_average_precision(logits[at], targets[at]), vectorized=False,
            n_resamples=1000, method="percentile", rng=np.random.default_rng(2),
        )  # fmt: skip
        width = theirs.confidence_interval.high - theirs.confidence_interval.low
        assert made.width == pytest.approx(width, rel=0.12)
        assert made.estimate == pytest.approx(mean_average_precision(logits, targets))

    def test_coverage_of_the_score_expected_on_so_many_clips(self):
        rng = np.random.default_rng(4)
        expected = np.mean([mean_average_precision(*clips_of(rng, 200)) for _ in range(400)])
        covered = 0
        for at in range(150):
            logits, targets = clips_of(rng, 200)
            weights, groups = clip_weights(None, 200, draws=200, seed=at)
            covered += interval_of(resampled([logits], targets, weights, groups)).covers(expected)
        assert 0.89 <= covered / 150 <= 0.99

    def test_seeds_that_move_everything_widen(self):
        groups = 50
        base = np.random.default_rng(5).normal(0.5, 0.05, 500)
        calm = made_of(np.array([0.5, 0.5, 0.5]), np.tile(base, (3, 1)), groups)
        torn = made_of(np.array([0.3, 0.5, 0.7]), np.stack([base - 0.2, base, base + 0.2]), groups)
        assert calm.seed_variances == pytest.approx((0, 0))
        assert torn.seed_variances == pytest.approx((0.04 / 3, 0))
        assert interval_of(torn).width > 2 * interval_of(calm).width

    def test_better_ranking_is_found(self):
        rng = np.random.default_rng(6)
        good, targets = clips_of(rng, 300, separation=3.0)
        bad = good + rng.normal(0, 2, good.shape)
        weights, groups = clip_weights(None, 300)
        verdict = compare(*(resampled([logits] * 3, targets, weights, groups) for logits in (good, bad)))
        assert verdict.resolved
        assert verdict.difference > 0
        assert verdict.p_value < 0.01
        half = verdict.interval.width / 2
        assert verdict.resolution == pytest.approx(2.8 / 1.96 * half, rel=0.15)

    def test_refusals(self):
        assert isinstance(clip_weights(["a", "b", "a"], 3), Refusal)
        flat = made_of(np.array([1.0]), np.ones((1, 100)), 50)
        assert isinstance(interval_of(flat), Refusal)
        assert isinstance(compare(flat, flat), Refusal)

    def test_wrong_calls(self):
        one = made_of(np.array([0.5]), np.random.default_rng(0).random((1, 20)), 10)
        with pytest.raises(ValueError, match="same weights"):
            compare(one, made_of(np.array([0.5]), np.ones((1, 30)), 10))
        with pytest.raises(ValueError, match="one per seed"):
            made_of(np.array([0.5]), np.ones((2, 30)), 10)
        with pytest.raises(ValueError, match="not finite"):
            made_of(np.array([np.nan]), np.ones((1, 30)), 10)
        with pytest.raises(ValueError, match="level"):
            cluster_bootstrap(one, None, level=95)


class TestRanking:
    def scores(self, noises, clips=200, seeds=3):
        rng = np.random.default_rng(4)
        true = (rng.random((clips, 4)) < 0.4).astype(np.float32)
        groups = np.repeat(np.arange(clips // 2), 2)
        weights, count = clip_weights(groups, clips)
        made = {}
        for name, noise in noises.items():
            logits = 2 * true - 1 + np.random.default_rng(len(made)).normal(0, noise, (seeds, clips, 4))
            made[name] = resampled(logits, true, weights, count)
        return made

    def test_two_models_are_resolved_as_their_comparison_is(self):
        scores = self.scores({"a": 1.0, "b": 2.0})
        found = ranking(scores, None)
        pair = compare(scores["a"], scores["b"])
        assert [model.name for model in found.models] == ["a", "b"]
        assert found.p_values[0, 1] == pair.p_value
        assert found.differences[0, 1] == pytest.approx(pair.difference)
        assert found.resolution == pytest.approx((pair.resolution, pair.resolution))
        assert [(model.rank_low, model.rank_high) for model in found.models] == [(1, 1), (2, 2)]
        assert [model.letters for model in found.models] == ["a", "b"]
        assert found.models[0].interval.low == pytest.approx(interval_of(scores["a"]).low)

    def test_what_the_draws_do_not_tell_apart_is_tied(self):
        scores = self.scores({"a": 0.8, "b": 2.4, "c": 2.4})
        scores["d"] = scores["c"]  # the same predictions twice: no draw changes the difference
        found = ranking(scores, None)
        ranks = {model.name: (model.rank_low, model.rank_high) for model in found.models}
        assert ranks == {"a": (1, 1), "b": (2, 4), "c": (2, 4), "d": (2, 4)}
        assert len({model.letters for model in found.models[1:]}) == 1
        assert [model.seeds for model in found.models] == [3, 3, 3, 3]

    def test_on_accuracy_it_agrees_with_the_ranking_of_right_and_wrong(self):
        rng = np.random.default_rng(9)
        clips, groups = 300, np.repeat(np.arange(100), 3)
        levels = {"a": 0.9, "b": 0.7, "c": 0.68, "d": 0.5}
        correct = {name: np.stack([rng.random(clips) < p] * 3) for name, p in levels.items()}
        weights, count = clip_weights(groups, clips, draws=4000)
        scores = {
            name: made_of(value.mean(axis=1), value @ weights.T / weights.sum(axis=1), count)
            for name, value in correct.items()
        }
        found, expected = ranking(scores, None), ranking(correct, groups)
        assert [model.name for model in found.models] == [model.name for model in expected.models]
        assert [(m.rank_low, m.rank_high) for m in found.models] == [(m.rank_low, m.rank_high) for m in expected.models]
        np.testing.assert_allclose(found.p_values, expected.p_values, atol=0.1)
        assert found.resolution == pytest.approx(expected.resolution, rel=0.25)

    def test_no_interval_no_place(self):
        scores = self.scores({"a": 1.0})
        flat = made_of(np.full(3, 0.5), np.full((3, 1000), 0.5), scores["a"].groups)
        assert isinstance(ranking({"flat": flat}, None), Refusal)
        found, alone = ranking({"a": scores["a"], "flat": flat}, None), ranking(scores, None)
        assert [model.interval for model in found.models] == [model.interval for model in alone.models]
        assert isinstance(ranking(scores, None).resolution, Refusal)
        with pytest.raises(ValueError, match="at least one model"):
            ranking({}, None)

    def test_values_per_clip_and_scores_do_not_mix(self):
        with pytest.raises(ValueError, match="different metrics"):
            ranking({"a": self.scores({"a": 1.0})["a"], "b": np.ones(200)}, None)

    def test_a_draw_that_is_undefined_for_one_model_is_left_out_for_all(self):
        scores = self.scores({"a": 1.0, "b": 2.0})
        holes = scores["a"].drawn.copy()
        holes[:, ::2] = np.nan
        broken = Resampled(
            observed=scores["a"].observed, drawn=holes, clips=scores["a"].clips, groups=scores["a"].groups
        )
        found = ranking({"a": broken, "b": scores["b"]}, None)
        assert np.isfinite(found.p_values).all()
        assert found.models[0].interval.width == pytest.approx(interval_of(scores["a"]).width, rel=0.2)
        nothing = Resampled(observed=broken.observed, drawn=np.full((3, 9), np.nan), clips=9, groups=9)
        assert interval_of(nothing).reason.startswith("0 of 9 draws of groups leave the score defined")
        holes[:, 40:] = np.nan
        rare = Resampled(observed=broken.observed, drawn=holes, clips=broken.clips, groups=broken.groups)
        assert interval_of(rare).reason.startswith(f"20 of {holes.shape[1]} draws"), "an interval of a handful is none"
