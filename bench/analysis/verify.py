"""Recompute every score of a record from its stored predictions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy.typing as npt

from bench.errors import StoreError
from bench.results.predictions import Predictions
from bench.results.records import Record

Metric = Callable[[npt.NDArray[Any], npt.NDArray[Any]], float | None]
TOLERANCE = 1e-9
"""Largest difference between a stored and a recomputed score."""


def verify(records: Sequence[Record], predictions: Predictions, metrics: Mapping[str, Metric]) -> tuple[int, list[str]]:
    """Compare stored scores with those of the stored predictions.

    Args:
        records: Of any kind; only ``ok`` evaluate cells have scores.
        predictions: Gives the stored arrays of a record.
        metrics: Name to ``function(logits, targets)``.

    Returns:
        How many scores were recomputed, and one line for each that differs or cannot be recomputed.
    """
    checked, problems = 0, []
    for record in records:
        if record.status != "ok" or record.cell.kind != "evaluate":
            continue
        try:
            arrays = predictions(record)
        except StoreError as error:
            problems.append(str(error))
            continue
        for problem in _differences(record, arrays["logits"], arrays["targets"], metrics):
            problems.append(f"{record.cell.id}: {problem}")
        checked += len(record.scores)
    return checked, problems


def _differences(
    record: Record,
    logits: npt.NDArray[Any],
    targets: npt.NDArray[Any],
    metrics: Mapping[str, Metric],
) -> Iterable[str]:
    for score in record.scores:
        if score.name not in metrics:
            yield f"{score.name} cannot be recomputed: no plugin gives this metric"
            continue
        value = metrics[score.name](logits, targets)
        found = None if value is None or not math.isfinite(value) else float(value)
        if found is None or score.value is None:
            if (found is None) != (score.value is None):
                yield f"{score.name} is stored as {score.value}, recomputed {found}"
        elif abs(found - score.value) > TOLERANCE:
            yield f"{score.name} is stored as {score.value:.9g}, recomputed {found:.9g}"
