"""Figures of clusters against books and another implementation."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from bench.metrics.clusters import adjusted_rand, purity


def test_purity_follows_the_book() -> None:
    # Manning et al., figure 16.4: three clusters of 6, 6 and 5 with majorities 5, 4 and 3.
    targets = np.array([0, 0, 0, 0, 0, 1, 0, 1, 1, 1, 1, 2, 0, 0, 2, 2, 2])
    clusters = np.repeat([0, 1, 2], [6, 6, 5])
    assert purity(clusters, targets) == pytest.approx(12 / 17)


@pytest.mark.parametrize("seed", range(20))
def test_adjusted_rand_agrees_with_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    clips = int(rng.integers(1, 60))
    clusters, targets = rng.integers(0, 1 + seed % 6, clips), rng.integers(0, 4, clips) + 7
    assert adjusted_rand(clusters, targets) == pytest.approx(adjusted_rand_score(targets, clusters))
