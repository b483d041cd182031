"""Recompute every score of a record from its stored predictions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.analysis.predictions import Metrics
from bench.errors import StoreError
from bench.results.predictions import Arrays, Predictions
from bench.results.records import Record

TOLERANCE = 1e-9
"""Largest difference between a stored and a recomputed score."""


def verify(records: Sequence[Record], predictions: Predictions, metrics: Metrics) -> tuple[int, list[str]]:
    """Compare stored scores with those of the stored predictions.

    Args:
        records: Of any kind; only ``ok`` evaluate cells have scores.
        predictions: Gives the stored arrays of a record.
        metrics: What can be computed.

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
        for problem in _differences(record, arrays, metrics):
            problems.append(f"{record.cell.id}: {problem}")
        checked += len(record.scores)
    return checked, problems


def _differences(record: Record, arrays: Arrays, metrics: Metrics) -> Iterable[str]:
    logits, targets = arrays["logits"], arrays["targets"]
    for score in record.scores:
        if score.name not in metrics:
            yield f"{score.name} cannot be recomputed: no plugin gives this metric"
            continue
        found = metrics[score.name].score(logits, targets).value
        if found is None or score.value is None:
            if found is not score.value:
                yield f"{score.name} is stored as {score.value}, recomputed {found}"
        elif abs(found - score.value) > TOLERANCE:
            yield f"{score.name} is stored as {score.value:.9g}, recomputed {found:.9g}"
