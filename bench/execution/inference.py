"""Logits of a finalised network over some clips."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from bench.data.batches import Batches
from bench.execution.step import DivergedError, Inference


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """Logits in the order of the clips, and what it took.

    Attributes:
        logits: ``(clips, classes)`` float32.
        index: ``(clips,)`` positions in the data set.
        seconds: Wall time, transfer and front end included.
    """

    logits: npt.NDArray[np.float32]
    index: npt.NDArray[np.int64]
    seconds: float


def predict(infer: Inference, batches: Batches) -> Predictions:
    """Logits of all batches in their order, in ``eval()``; the network's mode is put back.

    Raises:
        DivergedError: A logit is not finite.
    """
    start, was_training = time.perf_counter(), infer.pipeline.training
    infer.pipeline.eval()
    outputs: list[torch.Tensor] = []
    index: list[npt.NDArray[np.int64]] = []
    for batch in batches.epoch(0):
        outputs.append(infer(batch).float())
        index.append(batch.index)
    logits = torch.cat(outputs).cpu().numpy()
    infer.pipeline.train(was_training)
    check_finite(logits)
    return Predictions(logits=logits, index=np.concatenate(index), seconds=time.perf_counter() - start)


def check_finite(logits: npt.NDArray[np.float32]) -> None:
    """Refuse logits that are nan or infinite.

    Raises:
        DivergedError: Naming how many clips are affected.
    """
    bad = int((~np.isfinite(logits)).any(axis=1).sum())
    if bad:
        raise DivergedError(f"the logits of {bad} of {len(logits)} clips are nan or infinite")
