"""The registered metrics as one type: what computes a score, says which is better, and resamples it."""

from __future__ import annotations

import math
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.clips import TaskType
from bench.errors import UnknownNameError
from bench.metrics.specs import PRIMARY
from bench.plugins.factories import load_factory
from bench.plugins.registry import Entry, Registry
from bench.plugins.specs import DatasetSpec, MetricSpec
from bench.results.records import Score


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric(MetricSpec):
    """A registered metric: its declaration with the ``"module:function"`` strings in full, and what they compute.

    A function of a plugin is handed copies: what it does to them in place reaches no other metric and no record.
    """

    @classmethod
    def of(cls, entry: Entry[MetricSpec]) -> Metric:
        """The metric that a plugin declares."""
        found = {field.name: getattr(entry.spec, field.name) for field in fields(MetricSpec)}
        for name in ("per_clip", "weighted", "chance"):
            found[name] = found[name] and entry.home(found[name])
        return cls(**{**found, "compute": entry.factory})

    def score(self, logits: npt.NDArray[Any], targets: npt.NDArray[Any]) -> Score:
        """The score of logits ``(clips, classes)``; its value is ``None`` where it is undefined or not finite.

        Targets are class indices ``(clips,)`` or indicators ``(clips, classes)``.
        """
        value = load_factory(self.compute)(logits.copy(), targets.copy())
        return self.described.of(float(value) if value is not None and math.isfinite(float(value)) else None)

    @property
    def described(self) -> Score:
        """Name, unit and direction, without a value."""
        return Score(name=self.name, value=None, unit=self.unit, higher_is_better=self.higher_is_better)

    def guessed(self, logits: npt.NDArray[Any], targets: npt.NDArray[Any]) -> float | None:
        """What guessing scores on these clips; ``None`` where that is unknown."""
        value = None if self.chance is None else load_factory(self.chance)(logits.copy(), targets.copy())
        return float(value) if value is not None and math.isfinite(value) else None

    def values(self, logits: npt.NDArray[Any], targets: npt.NDArray[Any]) -> npt.NDArray[Any] | None:
        """Values per clip ``(clips,)`` whose mean is the score; ``None`` where it has none or is undefined."""
        found = None if self.per_clip is None else load_factory(self.per_clip)(logits.copy(), targets.copy())
        return None if found is None else _checked(self.per_clip, np.asarray(found), len(logits), "clip")

    def resampled(
        self, logits: npt.NDArray[Any], targets: npt.NDArray[Any], weights: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float64]:
        """The score under each row of ``weights`` ``(draws, clips)``: ``(draws,)``, NaN where it is undefined.

        Without a function for weighted clips each clip is repeated as often as its weight says.
        """
        if self.weighted is not None:
            arrays = (logits.copy(), targets.copy(), weights.copy())
            values = np.asarray(load_factory(self.weighted)(*arrays), dtype=np.float64)
            return _checked(self.weighted, values, len(weights), "draw")
        drawn = np.full(len(weights), np.nan)
        for number, times in enumerate(weights.astype(np.int64)):
            if times.any():
                value = self.score(np.repeat(logits, times, axis=0), np.repeat(targets, times, axis=0)).value
                drawn[number] = np.nan if value is None else value
        return drawn

    def better(self, a: float | None, b: float | None) -> bool:
        """Whether ``a`` is better than ``b``; anything is better than an undefined value."""
        if a is None or b is None:
            return a is not None and b is None
        return a > b if self.higher_is_better else a < b


def _checked(function: str | None, values: npt.NDArray[Any], count: int, each: str) -> npt.NDArray[Any]:
    if values.shape != (count,):
        raise ValueError(f"{function} gave shape {values.shape}; expected ({count},), one value per {each}")
    return values


def catalog(registry: Registry) -> Mapping[str, Metric]:
    """Every registered metric by its name."""
    return {name: Metric.of(entry) for name, entry in registry.metrics.entries.items()}


def metrics_for(registry: Registry, task_type: TaskType) -> tuple[Metric, ...]:
    """The metrics that are defined for a kind of task, in the order of their names."""
    return tuple(metric for metric in catalog(registry).values() if task_type in metric.task_types)


def primary(registry: Registry, dataset: DatasetSpec, task_type: TaskType) -> Metric:
    """The metric that epochs are chosen by and boards sort by: the data set's own, else that of the task type.

    Raises:
        UnknownNameError: No registered metric of that name is defined for the task.
    """
    name = dataset.primary_metric or PRIMARY[task_type]
    known = {metric.name: metric for metric in metrics_for(registry, task_type) if metric.reads == "logits"}
    if name not in known:
        raise UnknownNameError(f"{task_type} metric", name, known)
    return known[name]


def compute_scores(
    registry: Registry, task_type: TaskType, arrays: Mapping[str, npt.NDArray[Any]]
) -> tuple[tuple[Score, ...], dict[str, float]]:
    """All scores defined for the task, in the order of their names, and what guessing gives where a metric says so.

    An undefined score is ``None``; one that reads what is not among the ``arrays`` is left out.

    A metric that raises costs no cell its result: it is left out, its traceback is printed, and boards name it.
    """
    scores, chance = [], {}
    for metric in (one for one in metrics_for(registry, task_type) if one.reads in arrays):
        try:
            scores.append(metric.score(arrays[metric.reads], arrays["targets"]))
            if (guessed := metric.guessed(arrays[metric.reads], arrays["targets"])) is not None:
                chance[metric.name] = guessed
        except (Exception, SystemExit):  # noqa: BLE001  a plugin may raise anything
            traceback.print_exc()
    return tuple(scores), chance
