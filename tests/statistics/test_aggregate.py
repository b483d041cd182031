"""One number over several data sets: by hand, and how often its interval covers the truth."""

from __future__ import annotations

import numpy as np
import pytest

from bench.statistics.aggregate import aggregate, combined
from bench.statistics.draws import draw_scores

SCORES = np.array([[0.9, 0.8, 0.8], [0.4, 0.6, 0.5]])
"""Three models on two data sets."""


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
    assert combined(SCORES, (1, 3), way, signs) == pytest.approx(expected, abs=1e-12)
    assert combined(np.stack([SCORES, SCORES]), (2, 6), way, signs).tolist() == [pytest.approx(expected)] * 2


def parts(rng, rates, clips=(150, 60), seeds=3, spread=0.03):
    """Right and wrong of models on data sets, in groups of two; each training has a rate of its own."""
    made = []
    for size, own in zip(clips, rates, strict=True):
        hard = np.repeat(rng.uniform(-0.25, 0.25, size // 2), 2)
        shifts = rng.normal(0, spread, (len(own), seeds, 1))
        seen = [
            (rng.random((seeds, size)) < rate + shift + hard) * 1.0 for rate, shift in zip(own, shifts, strict=True)
        ]
        made.append(draw_scores(seen, np.arange(size) // 2, draws=1000, seed=rng))
    return made


@pytest.mark.parametrize("way", ["mean", "borda"])
def test_intervals_cover_the_truth_and_equal_models_are_not_told_apart(way):
    rates = np.array([[0.7, 0.7, 0.45], [0.6, 0.6, 0.3]])
    truth = combined(rates, (1, 1), way, (1, 1))
    covered, apart, found, runs = 0, 0, 0, 60
    for number in range(runs):
        made = aggregate(parts(np.random.default_rng(number), rates), (1, 1), way, (1, 1))
        covered += sum(one.covers(value) for one, value in zip(made.intervals, truth, strict=True))
        apart += not {*made.ties[0]} & {*made.ties[1]}
        found += not {*made.ties[0]} & {*made.ties[2]}
    assert covered / (3 * runs) >= 0.93
    assert apart / runs <= 0.05
    assert found / runs >= (0.9 if way == "mean" else 0.4)
