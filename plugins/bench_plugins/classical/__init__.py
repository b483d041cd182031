"""Nearest neighbours, linear SVM and random forests on statistics of MFCC, declared without importing numpy."""

from __future__ import annotations

from collections.abc import Iterable

from bench import ModelSpec, hookimpl

_AS_PUBLISHED = {"*": {"trim_db": None, "fill": "zeros"}}
_SILENCE_TILED = {"*": {"trim_db": 60.0, "fill": "tile"}}
_PICZAK = "Piczak 2015, ESC: Dataset for Environmental Sound Classification, doi:10.1145/2733373.2806390"


def _baseline(kind: str, description: str) -> ModelSpec:
    return ModelSpec(
        name=f"classical.{kind}",
        factory="bench_plugins.classical.estimators:build",
        options={"kind": kind},
        estimator=True,
        recipes=_AS_PUBLISHED,
        sets=("default",),
        license="Apache-2.0",
        source=_PICZAK,
        description=description,
    )


@hookimpl
def bench_add_models() -> Iterable[ModelSpec]:
    """Piczak's three baselines and the forest that networks must beat."""
    return [
        _baseline("knn", "nearest neighbours on mean and deviation of 12 MFCC and zero-crossing rate"),
        _baseline("svm", "linear SVM on mean and deviation of 12 MFCC and zero-crossing rate"),
        _baseline("forest", "random forest on mean and deviation of 12 MFCC and zero-crossing rate"),
        ModelSpec(
            name="classical.forest_tuned",
            factory="bench_plugins.classical.estimators:build",
            options={"kind": "forest_tuned"},
            estimator=True,
            recipes=_SILENCE_TILED,
            license="Apache-2.0",
            description="random forest on five statistics of 20 MFCC of silence-tiled clips: the bar for networks",
        ),
    ]
