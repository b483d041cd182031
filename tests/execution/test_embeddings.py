"""Maps and cluster figures of embeddings."""

from __future__ import annotations

import numpy as np

from bench.execution.embeddings import clusters_of, describe_embeddings, tsne_map
from bench.metrics.clusters import cluster_figures


def blobs(clips: int = 120, classes: int = 4, apart: float = 12.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    targets = np.arange(clips) % classes
    centres = rng.normal(size=(classes, 16)) * apart
    return (centres[targets] + rng.normal(size=(clips, 16))).astype(np.float32), targets


def test_separate_classes_are_found_and_noise_is_not() -> None:
    values, targets = blobs()
    clear = cluster_figures(clusters_of(values, 4), targets)
    assert clear == {"purity": 1.0, "adjusted_rand": 1.0}
    noise = np.random.default_rng(0).normal(size=(400, 16)).astype(np.float32)
    found = cluster_figures(clusters_of(noise, 4), np.arange(400) % 4)
    assert abs(found["adjusted_rand"]) < 0.05
    assert 0.25 <= found["purity"] < 0.45


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
    values, _ = blobs(10)
    maps, figures = describe_embeddings({"": values}, 4)
    assert maps == {}
    assert figures["embedding"]["reason"].startswith("10 test clips")
    values, _ = blobs(60)
    values[3, 2] = np.nan
    assert describe_embeddings({"audio": values}, 4)[1]["audio"]["reason"] == "nan or infinite"
    _, figures = describe_embeddings({"audio": blobs(60)[0]}, 4, multi_label=True)
    assert figures["audio"]["reason"] == "clips have several labels"


def test_constant_embeddings_are_one_cluster() -> None:
    arrays, figures = describe_embeddings({"image": np.ones((40, 8), dtype=np.float32)}, 4)
    assert figures["image"] == {"dim": 8, "clusters": 4}
    found = cluster_figures(arrays["clusters_image"], np.arange(40) % 4)
    assert found == {"purity": 0.25, "adjusted_rand": 0.0}
    assert arrays["embed_map_image"].shape == (40, 2)
