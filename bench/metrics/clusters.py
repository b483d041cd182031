"""How well clusters match classes.

Source: purity, Manning et al., *Introduction to Information Retrieval*, 16.3; adjusted Rand index, Hubert & Arabie,
Journal of Classification 2 (1985).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


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
    table = _table(clusters, targets)
    together, by_cluster, by_class, pairs = (
        float((counts * (counts - 1) / 2).sum())
        for counts in (table, table.sum(axis=1), table.sum(axis=0), np.array([len(targets)]))
    )
    chance, most = by_cluster * by_class / max(pairs, 1.0), (by_cluster + by_class) / 2
    return 1.0 if most == chance else (together - chance) / (most - chance)


def _table(clusters: npt.NDArray[Any], targets: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """``(clusters, classes)`` clips."""
    rows, columns = (np.unique(labels, return_inverse=True)[1] for labels in (clusters, targets))
    table = np.zeros((rows.max() + 1, columns.max() + 1), dtype=np.int64)
    np.add.at(table, (rows, columns), 1)
    return table
