"""What goes through the hands of those who run a cell: where it is, what it gave or why it failed, what is stored."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bench.errors import BenchError, DataError, PluginError
from bench.results.records import Record, Status

if TYPE_CHECKING:
    import torch

    from bench.execution.pipeline import Pipeline

OnEpoch = Callable[[int, Mapping[str, float]], None]


class DivergedError(BenchError):
    """The training loss or the logits are not finite."""


class OverBudgetError(BenchError):
    """Its first steps say that a cell would take much longer than its recipe allows; ``cost`` as of a plan."""

    def __init__(self, message: str, cost: dict[str, Any]) -> None:
        super().__init__(message)
        self.cost = cost


class StateChangedError(PluginError):
    """A model that predicting has changed."""


class SharedStateError(PluginError):
    """A factory handed out what it had handed out before."""


class LogitsShapeError(PluginError):
    """A model's output is not ``(batch, num_classes)``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """Logits ``(clips, classes)`` of the clips at ``index``, and the wall time, transfer and front end included."""

    logits: npt.NDArray[np.float32]
    index: npt.NDArray[np.int64]
    seconds: float


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A final model, network or estimator alike: what scores clips, and how it came about.

    Attributes:
        predict: Scores the clips of an index.
        respond: What the network itself gives for them, where a classifier stands between it and the scores.
        batch_mates: What other batch mates do to what the network gives besides (its frames).
        timing: Of the record, scoring not included.
        memory: Of the record.
        pipeline: ``None`` for an estimator.
        tensors: Weights that belong into a checkpoint beside those of the pipeline.
        curves: One value per epoch of training, by name.
        arrays: Further arrays beside the record.
        notes: Further sections of the provenance.
    """

    predict: Predict
    respond: Callable[[npt.NDArray[np.int64]], npt.NDArray[np.float32]] | None = None
    batch_mates: dict[str, Any] | None = None
    timing: dict[str, Any]
    memory: dict[str, Any] = field(default_factory=dict)
    pipeline: Pipeline | None = None
    tensors: dict[str, torch.Tensor] = field(default_factory=dict)
    curves: dict[str, list[float]] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)


def check_finite(logits: npt.NDArray[np.float32]) -> None:
    """Refuse logits that are nan or infinite.

    Raises:
        DivergedError: Naming how many clips are affected.
    """
    bad = int((~np.isfinite(logits)).any(axis=1).sum())
    if bad:
        raise DivergedError(f"the logits of {bad} of {len(logits)} clips are nan or infinite")


def classify(error: BaseException) -> tuple[Status, str]:
    """``(status, reason)`` of what came out of a cell."""
    torch = sys.modules.get("torch")
    memory = (MemoryError, torch.OutOfMemoryError) if torch else MemoryError
    if isinstance(error, memory) or _host_allocation(error):
        return "oom", "memory"
    if isinstance(error, OverBudgetError):
        return "over_budget", "budget"
    kinds: tuple[tuple[type[BaseException], str], ...] = (
        (DivergedError, "nan"),
        (LogitsShapeError, "shape"),
        (StateChangedError, "state"),
        (SharedStateError, "state"),
        (DataError, "data"),
        (SystemExit, "exit"),
    )
    return "failed", next((reason for kind, reason in kinds if isinstance(error, kind)), "raised")


def _host_allocation(error: BaseException) -> bool:
    # torch's host allocator has no exception type of its own: it raises a RuntimeError whose text names it.
    return type(error) is RuntimeError and "DefaultCPUAllocator" in str(error)
