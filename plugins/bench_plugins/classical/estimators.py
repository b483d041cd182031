"""Estimators on clip descriptors, as scikit-learn pipelines: ``fit(x, y)`` with x the waveforms ``(clips, samples)``.

Piczak (2015) names k-nearest neighbours, a linear SVM and a random forest on standardised features, but not their
settings. Here: k = 3 weighted by inverse distance, C = 1, 500 trees.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Literal

from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

from bench import BenchError, TaskInfo
from bench_plugins.classical.features import piczak_statistics, tuned_statistics

Kind = Literal["knn", "svm", "forest", "forest_tuned"]


def build(task: TaskInfo, *, kind: Kind, seed: int = 0) -> Pipeline:
    """An untrained estimator; it has no parameters to count before ``fit``.

    Args:
        task: Gives the sample rate of the waveforms.
        kind: ``knn``, ``svm`` (``decision_function``), ``forest`` or ``forest_tuned``.
        seed: Of the forests; the other two are deterministic.

    Returns:
        A pipeline of descriptor, standardisation (``knn`` and ``svm``) and classifier. Its outputs have one column for
        each entry of ``classes_``, the classes seen in training. In a multi-label task neighbours and trees vote on
        each class by itself, and the SVM is one against the rest.

    Raises:
        BenchError: The kind is unknown.
    """
    makers = _makers(task, seed)
    if kind not in makers:
        raise BenchError(f"classical has no kind {kind!r}; known: {', '.join(makers)}")
    statistics = tuned_statistics if kind == "forest_tuned" else piczak_statistics
    describe = FunctionTransformer(functools.partial(statistics, sample_rate=task.sample_rate))
    scale = [("scale", StandardScaler())] if kind in ("knn", "svm") else []
    return Pipeline([("describe", describe), *scale, ("classify", makers[kind]())])


def _makers(task: TaskInfo, seed: int) -> dict[str, Callable[[], Any]]:
    def forest() -> Any:
        from sklearn.ensemble import RandomForestClassifier  # takes as long to import as the rest

        return RandomForestClassifier(n_estimators=500, random_state=seed, n_jobs=1)

    svm = SVC(kernel="linear", C=1.0)
    return {
        "knn": functools.partial(KNeighborsClassifier, n_neighbors=3, weights="distance", n_jobs=1),
        "svm": functools.partial(OneVsRestClassifier, svm) if task.task_type == "multi_label" else lambda: svm,
        "forest": forest,
        "forest_tuned": forest,
    }
