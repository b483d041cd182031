"""A plugin file with the model and the clips of the shortest cell there is: what launchers are checked with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench import Clips, DatasetSpec, ModelSpec, TaskInfo, hookimpl


@hookimpl
def bench_add_models() -> Iterable[ModelSpec]:
    """One that always says the same."""
    return [ModelSpec(name="check.constant", factory=":Constant", estimator=True, description="always the first class")]


@hookimpl
def bench_add_datasets() -> Iterable[DatasetSpec]:
    """A dozen generated clips."""
    return [DatasetSpec(name="check-clips", load=":load", folds=(1, 2), needs_files=False, description="generated")]


def load(root: Path | None) -> Clips:  # noqa: ARG001  there are no files
    """Twelve clips of a twentieth of a second."""
    from bench.testing.inputs import synthetic_clips

    clips = synthetic_clips(clips=12, classes=2, samples=800)
    return replace(clips, folds=np.arange(12) // 6 + 1)


class Constant:
    """Says the first class of everything."""

    def __init__(self, task: TaskInfo, **_: Any) -> None:
        self._classes = task.num_classes

    def fit(self, _x: npt.NDArray[Any], _y: npt.NDArray[Any]) -> Constant:
        """Nothing to learn."""
        return self

    def predict_proba(self, x: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """``(clips, classes)``."""
        return np.eye(self._classes)[np.zeros(len(x), dtype=np.int64)]

    def predict(self, x: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """``(clips,)``."""
        return np.zeros(len(x), dtype=np.int64)
