"""Models that are estimators with scikit-learn's ``fit`` and ``predict_proba`` or ``decision_function``."""

from __future__ import annotations

import time
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch

from bench.errors import PluginError
from bench.execution.inference import Predictions, check_finite
from bench.execution.inputs import Inputs

_ABSENT = -1e3
"""Logit of a class that no training clip had: finite, below everything an estimator gives."""


@runtime_checkable
class Estimator(Protocol):
    """What a factory may return instead of a module."""

    def fit(self, x: npt.NDArray[np.float32], y: npt.NDArray[Any]) -> Any:
        """Learn from ``x`` ``(clips, ...)`` and class indices ``y`` ``(clips,)``."""


def inputs_of(data: Inputs, index: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """What an estimator gets: the waveform ``(clips, samples)`` or features ``(clips, freq, time)``.

    Raises:
        PluginError: It asks for more than audio.
    """
    if data.modalities != ("audio",) or data.given["audio"] == "missing":
        raise PluginError(f"an estimator takes audio only, this one declares {', '.join(data.modalities)}")
    parts = []
    for batch in data.batches(index, 64).epoch(0):
        audio = batch.inputs["audio"]
        if data.frontend is not None and not data.stored_features:
            with torch.inference_mode():
                audio = data.frontend(audio)
        parts.append(audio.numpy())
    return np.concatenate(parts)


def fit(estimator: Estimator, data: Inputs, train: npt.NDArray[np.int64]) -> float:
    """Fit on the clips ``train``; returns the seconds it took, features included."""
    start = time.perf_counter()
    estimator.fit(inputs_of(data, train), data.clips.targets[train])
    return time.perf_counter() - start


def predict(estimator: Estimator, data: Inputs, index: npt.NDArray[np.int64]) -> Predictions:
    """Scores of the clips ``index`` in their order.

    Raises:
        PluginError: It has neither ``predict_proba`` nor ``decision_function``, or they have another shape.
    """
    start = time.perf_counter()
    logits = logits_of(estimator, inputs_of(data, index), data.task.num_classes)
    return Predictions(logits=logits, index=index, seconds=time.perf_counter() - start)


def logits_of(estimator: Any, x: npt.NDArray[np.float32], num_classes: int) -> npt.NDArray[np.float32]:
    """``(clips, num_classes)`` float32: log-probabilities, or decision values where there are none."""
    if hasattr(estimator, "predict_proba"):
        scores = np.log(np.clip(np.asarray(estimator.predict_proba(x), dtype=np.float64), 1e-12, None))
    elif hasattr(estimator, "decision_function"):
        scores = np.asarray(estimator.decision_function(x), dtype=np.float64)
        if scores.ndim == 1:
            scores = np.stack([-scores, scores], axis=1)
    else:
        raise PluginError(
            f"{type(estimator).__name__} has neither predict_proba nor decision_function; add one of them"
        )
    classes = np.asarray(getattr(estimator, "classes_", np.arange(num_classes)))
    if scores.shape != (len(x), len(classes)):
        raise PluginError(f"the estimator returned scores {scores.shape}, expected ({len(x)}, {len(classes)})")
    logits = np.full((len(x), num_classes), _ABSENT, dtype=np.float32)
    logits[:, classes.astype(np.int64)] = scores
    check_finite(logits)
    return logits
