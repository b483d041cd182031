"""What clips retrieve, query by query, against scikit-learn and against counting."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from sklearn.metrics import average_precision_score
from sklearn.metrics.pairwise import cosine_similarity

from bench.metrics.retrieval import COLUMNS, NEAREST, retrieved
from bench.metrics.vector_scores import MAP, RECALL_1


def plain(near: np.ndarray, hits: np.ndarray) -> list[float]:
    """The scores of one query in the order of :data:`COLUMNS`, as one would count them."""
    ranked = hits[np.argsort(-near)]
    wanted = int(hits.sum())
    recalls = [float(ranked[:k].any()) for k in NEAREST]
    return [average_precision_score(hits, near), ranked[:wanted].mean(), *recalls]


@pytest.mark.parametrize("seed", range(4))
def test_queries_never_meet_their_own_recording(seed: int) -> None:
    rng = np.random.default_rng(seed)
    targets, groups = np.arange(90) % 6, [f"r{i // 12}-{i % 6}" if i < 80 else "" for i in range(90)]
    vectors = (rng.normal(size=(90, 5)) + 0.8 * rng.normal(size=(6, 5))[targets]).astype(np.float32)
    found, near = retrieved(vectors, targets, groups), cosine_similarity(vectors.astype(np.float64))
    for query in range(90):
        own = [other == query or (groups[other] == groups[query] != "") for other in range(90)]
        gallery = ~np.array(own)
        expected = plain(near[query, gallery], targets[gallery] == targets[query])
        np.testing.assert_allclose(found[query, : len(COLUMNS)], expected)
    mean = found[:, : len(COLUMNS)].mean(axis=0)
    assert MAP.compute(found, targets) == pytest.approx(mean[0])
    assert (mean > MAP.chance(found, targets)).all()


def test_chance_is_the_mean_over_all_orders() -> None:
    targets = np.array([0, 0, 0, 1, 1, 1])
    found = retrieved(np.eye(6, dtype=np.float32), targets, [""] * 6)
    hits = targets[1:] == targets[0]
    orders = [plain(-np.array(order, dtype=float), hits) for order in itertools.permutations(range(5))]
    np.testing.assert_allclose(found[0, len(COLUMNS) :], np.mean(orders, axis=0))


def test_equal_vectors_earn_nothing_and_a_query_with_nothing_to_find_is_left_out() -> None:
    targets, groups = np.array([0, 0, 1, 1, 2]), ["", "", "", "", ""]
    found = retrieved(np.ones((5, 3), dtype=np.float32), targets, groups)
    assert RECALL_1.compute(found, targets) == 0
    assert np.isnan(found[4]).all()
    values = MAP.per_clip(found, targets)
    assert values[4] == 0
    assert values.mean() == pytest.approx(MAP.compute(found, targets)) == pytest.approx(found[:4, 0].mean())
    alone = retrieved(np.ones((2, 3), dtype=np.float32), np.array([0, 1]), ["", ""])
    assert MAP.compute(alone, targets[:2]) is None
    assert MAP.chance(alone, targets[:2]) is None
