"""What goes through the hands of those who run a cell: where it is, what it gave, and what is stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.execution.step import Predictions
from bench.results.records import Record

NO_PARAMETERS: dict[str, int | None] = {"parameters": None, "frontend_parameters": 0}
"""What an estimator has to count."""

Predict = Callable[[npt.NDArray[np.int64]], Predictions]


@dataclass(slots=True)
class Progress:
    """Where a cell is, so that a failure can name its stage; shared with whoever catches it.

    Attributes:
        stage: ``data``, ``build``, ``pretrain``, ``train``, ``evaluate``, ``profile`` or ``record``.
        passes: Passes over the training clips before this stage.
        total: Passes of all stages; ``None`` = the recipe's epochs.
    """

    stage: str = "data"
    passes: int = 0
    total: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CellResult:
    """An ``ok`` record with what stands beside it."""

    record: Record
    arrays: dict[str, np.ndarray]
    files: dict[str, bytes] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Evaluation:
    """What training and scoring one model gave, module or estimator alike.

    Attributes:
        predictions: Of the test clips.
        predict: The same for other clips.
        curves: One value per epoch of training, by name.
        timing: Of the record, scoring not included.
        memory: Of the record.
        counts: Parameters of the model (``None`` for an estimator) and of the front end.
        checkpoint: Weights as a safetensors file.
        nondeterministic: Operators without a deterministic kernel.
        arrays: Further arrays beside the record.
        notes: Further sections of the provenance.
    """

    predictions: Predictions
    predict: Predict
    timing: dict[str, Any]
    memory: dict[str, Any]
    counts: dict[str, int | None]
    checkpoint: bytes | None = None
    nondeterministic: list[str] = field(default_factory=list)
    curves: dict[str, list[float]] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
