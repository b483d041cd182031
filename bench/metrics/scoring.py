"""Every registered score of a task from logits and targets."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from bench.plugins.factories import load_factory
from bench.plugins.registry import Registry
from bench.plugins.specs import TaskType
from bench.results.records import Score


def compute_scores(
    registry: Registry, task_type: TaskType, logits: npt.NDArray[np.float32], targets: npt.NDArray[np.generic]
) -> tuple[Score, ...]:
    """All scores defined for the task, in the order of their names; undefined here = ``None``."""
    scores = []
    for entry in registry.metrics.entries.values():
        spec = entry.spec
        if task_type not in spec.task_types:
            continue
        value = load_factory(entry.factory)(logits, targets)
        finite = value is not None and math.isfinite(float(value))
        scores.append(
            Score(
                name=spec.name,
                value=float(value) if finite else None,
                unit=spec.unit,
                higher_is_better=spec.higher_is_better,
            )
        )
    return tuple(scores)
