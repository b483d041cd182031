"""Figures of clusters against books and another implementation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import entropy
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score, v_measure_score
from sklearn.metrics.cluster import contingency_matrix, expected_mutual_information

from bench.metrics.clusters import (
    adjusted_rand,
    chance_v_measure,
    drawn_adjusted_rand,
    drawn_v_measure,
    purity,
    v_measure,
)


def test_purity_follows_the_book() -> None:
    # Manning et al., figure 16.4: three clusters of 6, 6 and 5 with majorities 5, 4 and 3.
    targets = np.array([0, 0, 0, 0, 0, 1, 0, 1, 1, 1, 1, 2, 0, 0, 2, 2, 2])
    clusters = np.repeat([0, 1, 2], [6, 6, 5])
    assert purity(clusters, targets) == pytest.approx(12 / 17)


@pytest.mark.parametrize("seed", range(20))
def test_figures_agree_with_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    clips = int(rng.integers(1, 60))
    clusters, targets = rng.integers(0, 1 + seed % 6, clips), rng.integers(0, 4, clips) + 7
    assert adjusted_rand(clusters, targets) == pytest.approx(adjusted_rand_score(targets, clusters))
    assert v_measure(clusters, targets) == pytest.approx(v_measure_score(targets, clusters), abs=1e-12)
    assert v_measure(clusters, targets) == pytest.approx(normalized_mutual_info_score(targets, clusters), abs=1e-12)


def test_a_draw_is_the_score_of_its_clips() -> None:
    rng = np.random.default_rng(0)
    clusters, targets = rng.integers(0, 5, 60), rng.integers(0, 4, 60)
    weights = rng.multinomial(60, [1 / 60] * 60, 6)
    drawn = [np.repeat(np.arange(60), row) for row in weights]
    expected = [v_measure_score(targets[rows], clusters[rows]) for rows in drawn]
    np.testing.assert_allclose(drawn_v_measure(clusters, targets, weights), expected)
    # Copies of one clip always agree: with them as pairs clusters without any sense would seem to be of some.
    pairs = [[(i, j) for i in rows for j in rows if i < j] for rows in drawn]
    together = [np.array([[clusters[i] == clusters[j], targets[i] == targets[j]] for i, j in one]) for one in pairs]
    both, (cluster, label) = (np.array([x.all(1).sum() for x in together]), np.array([x.sum(0) for x in together]).T)
    chance = cluster * label / [len(x) for x in together]
    expected = (both - chance) / ((cluster + label) / 2 - chance)
    np.testing.assert_allclose(drawn_adjusted_rand(clusters, targets, weights), expected)


def test_chance_of_the_v_measure_is_that_of_clusters_at_random() -> None:
    rng = np.random.default_rng(0)
    clusters, targets = rng.integers(0, 10, 80), np.arange(80) % 10
    table = contingency_matrix(targets, clusters)
    both = sum(entropy(np.bincount(labels)) for labels in (targets, clusters))
    expected = 2 * expected_mutual_information(table, 80) / both
    assert chance_v_measure(clusters, targets) == pytest.approx(expected, abs=0.01)
