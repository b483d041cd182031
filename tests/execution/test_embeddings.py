"""Maps and cluster figures of embeddings."""

from __future__ import annotations

import numpy as np
import pytest

from bench.execution.embeddings import cluster_figures, describe_embeddings, purity, tsne_map


def blobs(clips: int = 120, classes: int = 4, apart: float = 12.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    targets = np.arange(clips) % classes
    centres = rng.normal(size=(classes, 16)) * apart
    return (centres[targets] + rng.normal(size=(clips, 16))).astype(np.float32), targets


def test_separate_classes_are_found_and_noise_is_not() -> None:
    values, targets = blobs()
    clear = cluster_figures(values, targets)
    assert clear == {"clusters": 4, "purity": 1.0, "adjusted_rand": 1.0}
    noise = cluster_figures(np.random.default_rng(0).normal(size=(400, 16)).astype(np.float32), np.arange(400) % 4)
    assert abs(noise["adjusted_rand"]) < 0.05
    assert 0.25 <= noise["purity"] < 0.45


def test_purity_follows_the_book() -> None:
    # Manning et al., figure 16.4: three clusters of 6, 6 and 5 with majorities 5, 4 and 3.
    targets = np.array([0, 0, 0, 0, 0, 1, 0, 1, 1, 1, 1, 2, 0, 0, 2, 2, 2])
    clusters = np.repeat([0, 1, 2], [6, 6, 5])
    assert purity(clusters, targets) == pytest.approx(12 / 17)


def test_the_map_keeps_neighbours_and_repeats() -> None:
    values, targets = blobs()
    points = tsne_map(values)
    assert points.shape == (120, 2)
    assert points.dtype == np.float32
    assert np.array_equal(points, tsne_map(values))
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    assert (targets[distances.argmin(axis=1)] == targets).mean() == 1.0


def test_what_cannot_be_drawn_says_why() -> None:
    values, targets = blobs(10)
    maps, figures = describe_embeddings({"": values}, targets)
    assert maps == {}
    assert figures["embedding"]["reason"].startswith("10 test clips")
    values, targets = blobs(60)
    values[3, 2] = np.nan
    assert describe_embeddings({"audio": values}, targets)[1]["audio"]["reason"] == "nan or infinite"
    several = np.zeros((60, 4), dtype=np.float32)
    assert describe_embeddings({"audio": blobs(60)[0]}, several)[1]["audio"]["reason"] == "clips have several labels"


def test_constant_embeddings_are_one_cluster() -> None:
    maps, figures = describe_embeddings({"image": np.ones((40, 8), dtype=np.float32)}, np.arange(40) % 4)
    assert figures["image"]["purity"] == 0.25
    assert figures["image"]["adjusted_rand"] == 0.0
    assert maps["embed_map_image"].shape == (40, 2)
