"""How well clusters match classes.

Source: purity, Manning et al., *Introduction to Information Retrieval*, 16.3; adjusted Rand index, Hubert & Arabie,
Journal of Classification 2 (1985); V-measure, Rosenberg & Hirschberg, EMNLP 2007, which is the mutual information over
the mean of both entropies. Clusters are found once: a draw weights their clips and finds no others.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_CHANCE_DRAWS = 100

Doubles = npt.NDArray[np.float64]


def cluster_figures(clusters: npt.NDArray[Any], targets: npt.NDArray[Any]) -> dict[str, float]:
    """``purity``, and ``adjusted_rand``: 1 = the classes, 0 = what chance gives.

    Args:
        clusters: Cluster of each clip, int ``(clips,)``.
        targets: Class of each clip, int ``(clips,)``.
    """
    return {"purity": purity(clusters, targets), "adjusted_rand": adjusted_rand(clusters, targets)}


def purity(clusters: npt.NDArray[Any], targets: npt.NDArray[Any]) -> float:
    """Share of clips that belong to the majority class of their cluster.

    >>> purity(np.array([0, 0, 1, 1]), np.array([5, 5, 5, 7]))
    0.75
    """
    return float(_table(clusters, targets).max(axis=1).sum() / len(targets))


def adjusted_rand(clusters: npt.NDArray[Any], targets: npt.NDArray[Any]) -> float:
    """Pairs of clips that clusters and classes agree on, over what chance gives.

    >>> adjusted_rand(np.array([0, 0, 1, 1]), np.array([5, 5, 7, 7]))
    1.0
    """
    return float(drawn_adjusted_rand(clusters, targets, np.ones((1, len(targets))))[0])


def drawn_adjusted_rand(clusters: npt.NDArray[Any], targets: npt.NDArray[Any], weights: npt.NDArray[Any]) -> Doubles:
    """The same under each row of ``weights`` ``(draws, clips)``; copies of one clip are no pair."""
    each = weights.astype(np.float64)
    counts, squares = _sums(clusters, targets, each), _sums(clusters, targets, each**2)
    together, by_cluster, by_class, pairs = (
        (a**2 - b).sum(axis=1) / 2 for a, b in zip(counts, squares, strict=True)
    )  # fmt: skip
    chance, most = by_cluster * by_class / np.maximum(pairs, 1.0), (by_cluster + by_class) / 2
    same = most == chance
    return np.where(same, 1.0, (together - chance) / np.where(same, 1.0, most - chance))


def v_measure(clusters: npt.NDArray[Any], targets: npt.NDArray[Any]) -> float:
    """Harmonic mean of homogeneity and completeness.

    >>> v_measure(np.array([0, 0, 1, 1]), np.array([5, 5, 7, 7]))
    1.0
    """
    return float(drawn_v_measure(clusters, targets, np.ones((1, len(targets))))[0])


def drawn_v_measure(clusters: npt.NDArray[Any], targets: npt.NDArray[Any], weights: npt.NDArray[Any]) -> Doubles:
    """The same under each row of ``weights`` ``(draws, clips)``."""
    joint, by_cluster, by_class, _ = map(_entropy, _sums(clusters, targets, weights.astype(np.float64)))
    both = by_cluster + by_class
    same = both <= 0
    return np.where(same, 1.0, 2 * np.clip(both - joint, 0, None) / np.where(same, 1.0, both))


def chance_v_measure(clusters: npt.NDArray[Any], targets: npt.NDArray[Any]) -> float:
    """Mean over clusters of the same sizes drawn at random."""
    draws = np.random.default_rng(0)
    return float(np.mean([v_measure(draws.permutation(clusters), targets) for _ in range(_CHANCE_DRAWS)]))


def chance_adjusted_rand(_clusters: npt.NDArray[Any], _targets: npt.NDArray[Any]) -> float:
    """What is adjusted for chance."""
    return 0.0


def _entropy(sums: Doubles) -> Doubles:
    """Of counts ``(draws, cells)``, in nats ``(draws,)``."""
    share = sums / np.maximum(sums.sum(axis=1, keepdims=True), 1e-300)
    found: Doubles = -(share * np.log(np.where(share > 0, share, 1.0))).sum(axis=1)
    return found


def _sums(clusters: npt.NDArray[Any], targets: npt.NDArray[Any], weights: Doubles) -> tuple[Doubles, ...]:
    """Weights of each cluster and class together, of each cluster, of each class and of all, each ``(draws, ...)``."""
    _, rows = np.unique(clusters, return_inverse=True)
    classes, columns = np.unique(targets, return_inverse=True)
    names = (rows * len(classes) + columns, rows, columns, np.zeros(len(rows), dtype=np.int64))
    return tuple(weights @ (name[:, None] == np.unique(name)) for name in names)


def _table(clusters: npt.NDArray[Any], targets: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """``(clusters, classes)`` clips."""
    rows, columns = (np.unique(labels, return_inverse=True)[1] for labels in (clusters, targets))
    table = np.zeros((rows.max() + 1, columns.max() + 1), dtype=np.int64)
    np.add.at(table, (rows, columns), 1)
    return table
