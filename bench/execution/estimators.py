"""Models that are estimators with scikit-learn's ``fit``, ``predict`` and probabilities or decision values."""

from __future__ import annotations

import sys
import time
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from bench.clips import TaskInfo
from bench.data.batches import rows_of, to_floats
from bench.errors import PluginError
from bench.execution.inputs import Inputs
from bench.execution.results import Predictions, check_finite

Logits = npt.NDArray[np.float32]

_ABSENT = -1e3
"""Logit of a class that no training clip had: finite, below everything an estimator gives."""
_LEAST = 1e-12
"""A probability below this counts as this, so that its logarithm stays finite."""


@runtime_checkable
class Estimator(Protocol):
    """What a factory may return instead of a module."""

    def fit(self, x: npt.NDArray[np.float32], y: npt.NDArray[Any]) -> Any:
        """Learn from ``x`` ``(clips, ...)`` and int64 classes ``y`` ``(clips,)`` or indicators ``(clips, classes)``."""


def inputs_of(data: Inputs, index: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """What an estimator gets: the waveform ``(clips, samples)`` or features ``(clips, freq, time)``.

    Raises:
        PluginError: It asks for more than audio.
    """
    if data.modalities != ("audio",) or data.given["audio"] == "missing":
        raise PluginError(f"an estimator takes audio only, this one declares {', '.join(data.modalities)}")
    if data.frontend is None:
        return to_floats(rows_of(data.arrays["audio"], index))
    import torch

    frontend = data.frontend.eval()
    with torch.inference_mode():
        return np.concatenate([frontend(batch.inputs["audio"]).numpy() for batch in data.batches(index, 64).epoch(0)])


def predict(estimator: Estimator, data: Inputs, index: npt.NDArray[np.int64]) -> Predictions:
    """Scores of the clips ``index`` in their order, which decide as the estimator's own ``predict`` does.

    Raises:
        PluginError: It has neither ``predict_proba`` nor ``decision_function``, or they have another shape.
    """
    start = time.perf_counter()
    last, x = _described(estimator, inputs_of(data, index))
    logits = logits_of(last, x, data.task)
    if hasattr(last, "predict"):
        logits = decided(logits, np.asarray(last.predict(x)))
    return Predictions(logits=logits, index=index, seconds=time.perf_counter() - start)


def _described(estimator: Any, x: npt.NDArray[Any]) -> tuple[Any, Any]:
    """The last step of a scikit-learn pipeline and what the others make of ``x``, so that they run once."""
    module = sys.modules.get("sklearn.pipeline")
    if module is not None and type(estimator) is module.Pipeline and len(estimator) > 1:
        return estimator[-1], estimator[:-1].transform(x)
    return estimator, x


def logits_of(estimator: Any, x: npt.NDArray[np.float32], task: TaskInfo) -> Logits:
    """``(clips, num_classes)`` float32: logarithms (multi-label: logits) of probabilities, else decision values."""
    multi_label = task.task_type == "multi_label"
    if hasattr(estimator, "predict_proba"):
        found = estimator.predict_proba(x)
        if multi_label and isinstance(found, list):
            found = np.stack([_positive(*pair) for pair in zip(found, estimator.classes_, strict=True)], axis=1)
        chances = np.clip(np.asarray(found, dtype=np.float64), _LEAST, 1 - _LEAST if multi_label else None)
        scores = np.log(chances) - (np.log1p(-chances) if multi_label else 0.0)
    elif hasattr(estimator, "decision_function"):
        scores = np.asarray(estimator.decision_function(x), dtype=np.float64)
        if scores.ndim == 1:
            scores = np.stack([-scores, scores], axis=1)
    else:
        raise PluginError(
            f"{type(estimator).__name__} has neither predict_proba nor decision_function; add one of them"
        )
    everything = np.arange(task.num_classes)
    classes = everything if multi_label else np.asarray(getattr(estimator, "classes_", everything))
    if scores.shape != (len(x), len(classes)):
        raise PluginError(f"the estimator returned scores {scores.shape}, expected ({len(x)}, {len(classes)})")
    logits = np.full((len(x), task.num_classes), _ABSENT, dtype=np.float32)
    logits[:, classes.astype(np.int64)] = scores
    check_finite(logits)
    return logits


def _positive(chances: npt.NDArray[Any], values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """``(clips,)`` chances of 1 where a forest gives a column for each value that a class had in training."""
    columns = np.flatnonzero(np.asarray(values) == 1)
    return chances[:, columns[0]] if len(columns) else np.zeros(len(chances))


def decided(logits: Logits, answers: npt.NDArray[Any]) -> Logits:
    """Logits that decide as an estimator answers, each moved as little as that takes.

    The two may disagree: an SVC answers by its margins, its probabilities come from a fit of their own. ``answers``
    are what ``predict`` gave: class indices ``(clips,)``, or indicators ``(clips, classes)``.
    """
    out = logits.copy()
    if answers.ndim == 2:
        wanted = answers > 0.5
        out[wanted & (out <= 0)] = np.finfo(np.float32).tiny
        out[~wanted & (out > 0)] = 0.0
        return out
    rows, chosen = np.arange(len(out)), answers.astype(np.int64)
    other = out.argmax(axis=1) != chosen
    out[rows[other], chosen[other]] = np.nextafter(out.max(axis=1)[other], np.float32(np.inf))
    return out
