"""One number over several data sets: by hand, and how often its interval covers the truth."""

from __future__ import annotations

import numpy as np
import pytest

from bench.statistics.aggregate import aggregate
from bench.statistics.draws import Resampled
from bench.statistics.ranking import ranking
from bench.statistics.results import Refusal

RIGHT = [[18, 16, 16], [8, 12, 10]]
"""Of 20 clips, by three models on two data sets."""


def made(way, signs, weights=(1, 3)):
    answers = [[(np.arange(20) < count) * 1.0 for count in models] for models in RIGHT]
    return aggregate(answers, [None, None], weights, way, signs)


@pytest.mark.parametrize(
    ("way", "signs", "expected"),
    [
        ("mean", (1, 1), [(0.9 + 3 * 0.4) / 4, (0.8 + 3 * 0.6) / 4, (0.8 + 3 * 0.5) / 4]),
        ("rank", (1, 1), [(1 + 3 * 3) / 4, (2.5 + 3 * 1) / 4, (2.5 + 3 * 2) / 4]),
        ("borda", (1, 1), [(2 + 3 * 0) / 4, (0.5 + 3 * 2) / 4, (0.5 + 3 * 1) / 4]),
        ("rank", (1, -1), [(1 + 3 * 1) / 4, (2.5 + 3 * 3) / 4, (2.5 + 3 * 2) / 4]),
    ],
)
def test_aggregates_by_hand(way, signs, expected):
    for weights in ((1, 3), (2, 6)):
        assert [float(one.observed.mean()) for one in made(way, signs, weights)] == pytest.approx(expected, abs=1e-12)


def test_draws_are_the_same_for_all_models_and_others_on_each_data_set():
    first, second = (made("mean", (1, 1), weights) for weights in ((1, 1e-9), (1e-9, 1)))
    assert abs(np.corrcoef(first[1].drawn[0], first[2].drawn[0])[0, 1]) > 0.99
    assert abs(np.corrcoef(first[1].drawn[0], second[1].drawn[0])[0, 1]) < 0.2


def test_more_seeds_on_one_data_set_leave_the_mean_that_of_all():
    rng = np.random.default_rng(0)
    few, many = (rng.random((seeds, 20)) for seeds in (3, 5))
    (one,) = aggregate([[few], [many]], [None, None], (1, 1), "mean", (1, 1))
    assert one.observed.shape == (3,)
    assert one.observed.mean() == pytest.approx((few.mean() + many.mean()) / 2)


def test_few_groups_are_refused_and_scores_under_resampling_taken_as_they_are():
    assert isinstance(aggregate([[np.ones(4)]], [None], (1,), "mean", (1,)), Refusal)
    drawn = Resampled(observed=np.array([0.5]), drawn=np.linspace(0.4, 0.6, 200)[None], clips=50, groups=9)
    (one,) = aggregate([[drawn], [np.arange(20) % 2]], [None, None], (1, 1), "mean", (1, 1))
    assert (float(one.observed[0]), one.clips, one.groups) == (0.5, 70, 9)


def parts(rng, rates, clips=(150, 60), seeds=3, spread=0.02):
    """Right and wrong of models on data sets, in groups of two; each training has a rate of its own."""
    for size, own in zip(clips, rates, strict=True):
        hard = np.repeat(rng.uniform(-0.25, 0.25, size // 2), 2)
        yield [(rng.random((seeds, size)) < rate + rng.normal(0, spread, (seeds, 1)) + hard) * 1.0 for rate in own]


@pytest.mark.parametrize(("way", "truth"), [("mean", (0.65, 0.65, 0.3)), ("borda", (1.5, 1.5, 0.0))])
def test_intervals_cover_the_truth_and_equal_models_are_not_told_apart(way, truth):
    rates = [[0.7, 0.7, 0.3], [0.6, 0.6, 0.3]]
    covered, apart, found, runs = 0, 0, 0, 60
    for number in range(runs):
        answers = list(parts(np.random.default_rng(number), rates))
        scores = aggregate(answers, [np.arange(size) // 2 for size in (150, 60)], (1, 1), way, (1, 1))
        ranked = ranking(dict(zip("abc", scores, strict=True)), None)
        places = {one.name: one for one in ranked.models}
        covered += sum(places[name].interval.covers(value) for name, value in zip("abc", truth, strict=True))
        apart += not {*places["a"].ties} & {*places["b"].ties}
        found += not {*places["a"].ties} & {*places["c"].ties}
    assert covered / (3 * runs) >= 0.92
    assert apart / runs <= 0.08
    assert found / runs >= 0.7
