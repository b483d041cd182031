"""Ranks, ties and what a board may claim."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bench.statistics.bootstrap import cluster_bootstrap
from bench.statistics.paired import Comparison, paired_cluster_bootstrap
from bench.statistics.ranking import Ranking, holm, rank_intervals, ranking, tie_groups, tie_letter
from bench.statistics.results import Refusal


def board(accuracies: dict[str, float], clips: int = 2000, seeds: int = 3) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shared = rng.random(clips // 4).repeat(4)
    return {name: 0.5 * shared + 0.5 * rng.random((seeds, clips)) < p for name, p in accuracies.items()}


def ranked(*args: object, **kwargs: object) -> Ranking:
    result = ranking(*args, **kwargs)  # type: ignore[arg-type]
    assert isinstance(result, Ranking)
    return result


GROUPS = np.arange(500).repeat(4)


def ranks(model) -> tuple[int, int]:
    return model.rank_low, model.rank_high


def test_clear_winner_and_a_tie() -> None:
    result = ranked(board({"low": 0.3, "twin1": 0.6, "twin2": 0.601, "best": 0.8}), GROUPS)
    by_name = {model.name: model for model in result.models}
    assert result.models[0].name == "best"
    assert (ranks(by_name["best"]), by_name["best"].letters) == ((1, 1), "a")
    assert {ranks(by_name["twin1"]), ranks(by_name["twin2"])} == {(2, 3)}
    assert by_name["twin1"].letters == by_name["twin2"].letters == "b"
    assert (ranks(by_name["low"]), by_name["low"].letters) == ((4, 4), "c")
    assert (result.clips, result.groups, by_name["low"].seeds) == (2000, 500, 3)


def test_order_of_models_does_not_matter() -> None:
    correct = board({"a": 0.4, "b": 0.6, "c": 0.5})
    backwards = dict(reversed(correct.items()))
    assert ranked(correct, GROUPS).models == ranked(backwards, GROUPS).models


def test_equal_models_share_ranks_and_go_by_name() -> None:
    correct = board({"x": 0.6})["x"]
    result = ranked({"z": correct, "y": correct}, GROUPS)
    assert [(m.name, ranks(m), m.letters) for m in result.models] == [("y", (1, 2), "a"), ("z", (1, 2), "a")]


def test_agrees_with_the_paired_comparison_and_the_single_interval() -> None:
    correct = board({"a": 0.60, "b": 0.57, "c": 0.5})
    result = ranked(correct, GROUPS)
    raw = []
    for first, second in (("a", "b"), ("a", "c"), ("b", "c")):
        pair = paired_cluster_bootstrap(correct[first], correct[second], GROUPS)
        assert isinstance(pair, Comparison)
        raw.append(pair)
    names = [m.name for m in result.models]
    places = [(names.index(first), names.index(second)) for first, second in (("a", "b"), ("a", "c"), ("b", "c"))]
    for at, pair, value in zip(places, raw, holm([pair.p_value for pair in raw]), strict=True):
        assert result.p_values[at] == pytest.approx(value, rel=1e-6)
        assert result.unadjusted[at] == pytest.approx(pair.p_value, rel=1e-6)
        assert result.resolutions[at] == pytest.approx(pair.resolution)
        ends = pair.interval.low, pair.interval.high
        assert result.intervals[at] == pytest.approx(ends)
        assert result.intervals[at[::-1]] == pytest.approx((-ends[1], -ends[0]))
    alone = cluster_bootstrap(correct["a"], GROUPS, draws=4000)
    within = result.models[names.index("a")].interval
    assert (within.low, within.high, within.method) == (*map(pytest.approx, (alone.low, alone.high)), alone.method)


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_negating_the_direction_reverses_the_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    losses = {f"m{i}": rng.exponential(1 + i, (3, 120)) for i in range(4)}
    groups = np.arange(40).repeat(3)
    low = ranked(losses, groups, higher_is_better=False)
    high = ranked(losses, groups)
    negated = ranked({name: -values for name, values in losses.items()}, groups)
    best = min(losses, key=lambda name: losses[name].mean())
    assert low.models[0].name == high.models[-1].name == negated.models[0].name == best
    assert [model.name for model in low.models] == [model.name for model in reversed(high.models)]
    assert [(model.name, ranks(model)) for model in low.models] == [(m.name, ranks(m)) for m in negated.models]
    assert low.differences == pytest.approx(-negated.differences)
    assert [5 - model.rank_high for model in reversed(high.models)] == [model.rank_low for model in low.models]


def test_pairs_are_adjusted_by_holm_over_all_of_them() -> None:
    result = ranked(board({f"m{i}": 0.5 + 0.01 * i for i in range(6)}), GROUPS)
    upper = np.triu_indices(6, 1)
    assert result.p_values[upper] == pytest.approx(holm(result.unadjusted[upper]))
    assert (result.unadjusted[upper] < 0.05).sum() > (result.p_values[upper] < 0.05).sum() > 0


@pytest.mark.parametrize("seeds", [1, 2])
def test_below_three_seeds_there_is_no_rank(seeds: int) -> None:
    correct = board({"good": 0.9, "poor": 0.3})
    correct["poor"] = correct["poor"][:seeds]
    result = ranking(correct, GROUPS)
    assert isinstance(result, Refusal)
    assert (result.have, result.need) == (seeds, 3)
    assert "a rank needs at least 3" in result.reason


def test_smallest_difference_is_that_of_neighbours() -> None:
    """The best and the worst, on whose clips the pair of extremes disagrees most, are no neighbours."""
    result = ranked(board({"a": 0.9, "b": 0.85, "c": 0.2, "d": 0.15}), GROUPS)
    neighbours = [result.resolutions[i, i + 1] for i in range(3)]
    assert result.resolution == (min(neighbours), max(neighbours))


def test_one_model() -> None:
    result = ranked(board({"only": 0.5}), GROUPS)
    assert (ranks(result.models[0]), result.models[0].letters) == ((1, 1), "a")
    assert isinstance(result.resolution, Refusal)


def test_refusal_and_wrong_calls() -> None:
    assert isinstance(ranking({"a": [[1, 0]] * 3}, [0, 1]), Refusal)
    with pytest.raises(ValueError, match="empty"):
        ranking({}, None)
    with pytest.raises(ValueError, match="same clips"):
        ranking({"a": [1, 0, 1], "b": [1, 0]}, None)


def test_false_winners_among_equal_models_are_rare() -> None:
    """Two clusters of four equal models whose seeds scatter by 1.5 points: a false pair on one board in twenty.

    Benjamini and Hochberg's adjustment gives one on 11 of these 60 boards. ``benchmarks/coverage`` has more.
    """
    rng = np.random.default_rng(5)
    labels = np.arange(100).repeat(4)
    same = np.arange(8)[:, None] // 4 == np.arange(8) // 4
    blamed = 0
    for _ in range(60):
        shared = rng.random(100).repeat(4)
        level = {f"m{i}": 0.8 - 0.3 * (i // 4) + 0.015 * rng.standard_normal((3, 1)) for i in range(8)}
        made = ranked({n: 0.5 * shared + 0.5 * rng.random((3, 400)) < p for n, p in level.items()}, labels, draws=1000)
        order = [int(model.name[1:]) for model in made.models]
        blamed += bool((made.p_values[same[np.ix_(order, order)]] < 0.05).any())
    assert blamed <= 6


def test_forty_models_are_quick() -> None:
    correct = board({f"m{i:02d}": 0.3 + 0.01 * i for i in range(40)})
    started = time.process_time()
    result = ranked(correct, GROUPS)
    assert time.process_time() - started < 60  # below one on an idle machine
    assert len(result.models) == 40


matrices = st.integers(1, 12).flatmap(lambda n: hnp.arrays(bool, (n, n)))


@given(matrices)
@settings(deadline=None)
def test_models_share_a_letter_exactly_when_unresolved(matrix: np.ndarray) -> None:
    resolved = np.triu(matrix, 1)
    resolved = resolved | resolved.T
    groups = tie_groups(resolved)
    for i, mine in enumerate(groups):
        assert mine
        assert mine == tuple(sorted(mine))
        for j, theirs in enumerate(groups):
            assert bool(set(mine) & set(theirs)) == (i == j or not resolved[i, j])
    numbers = {number for mine in groups for number in mine}
    assert numbers == set(range(len(numbers)))
    assert 0 in groups[0]


@given(matrices)
@settings(deadline=None)
def test_rank_intervals_hold_the_observed_rank(matrix: np.ndarray) -> None:
    resolved = np.triu(matrix, 1)
    resolved = resolved | resolved.T
    models = len(resolved)
    accuracy = np.linspace(0.9, 0.1, models)
    lows, highs = rank_intervals(accuracy[:, None] - accuracy, resolved)
    for place, (low, high) in enumerate(zip(lows, highs, strict=True), start=1):
        assert 1 <= low <= place <= high <= models


def test_letters_run_on() -> None:
    assert [tie_letter(n) for n in (0, 25, 26, 51, 52)] == ["a", "z", "A", "Z", "(53)"]
