"""Nearest neighbours, linear SVM and random forests on statistics of MFCC, declared without importing numpy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bench import ModelSpec, hookimpl

_AS_PUBLISHED: Mapping[str, Any] = {"recipes": {"*": {"trim_db": None, "fill": "zeros"}}, "sets": ("default",)}
_SILENCE_TILED = {"*": {"trim_db": 60.0, "fill": "tile"}}
_PICZAK = "Piczak 2015, ESC: Dataset for Environmental Sound Classification, doi:10.1145/2733373.2806390"


def _spec(kind: str, description: str, **more: Any) -> ModelSpec:
    return ModelSpec(
        name=f"classical.{kind}", factory="bench_plugins.classical.estimators:build", options={"kind": kind},
        estimator=True, license="Apache-2.0", description=description, **more,
    )  # fmt: skip


@hookimpl
def bench_add_models() -> Iterable[ModelSpec]:
    """Piczak's three baselines and the forest that networks must beat."""
    plain = "on mean and deviation of 12 MFCC and zero-crossing rate"
    bar = "random forest on five statistics of 20 MFCC of silence-tiled clips: the bar for networks"
    baselines = {"knn": "nearest neighbours", "svm": "linear SVM", "forest": "random forest"}
    return [
        *(_spec(kind, f"{what} {plain}", source=_PICZAK, **_AS_PUBLISHED) for kind, what in baselines.items()),
        _spec("forest_tuned", bar, recipes=_SILENCE_TILED),
    ]
