"""Logits of a finalised model over some clips."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from bench.data.batches import Batches
from bench.execution.pipeline import Pipeline
from bench.execution.train import DivergedError


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


def predict(pipeline: Pipeline, batches: Batches, *, device: str, precision: str) -> Predictions:
    """Run the pipeline in ``eval()`` over all batches, in their order.

    Raises:
        DivergedError: A logit is not finite.
    """
    start = time.perf_counter()
    was_training = pipeline.training
    pipeline.eval()
    outputs: list[torch.Tensor] = []
    index: list[npt.NDArray[np.int64]] = []
    with torch.inference_mode():
        for batch in batches.epoch(0):
            inputs = {name: x.to(device, non_blocking=True) for name, x in batch.inputs.items()}
            if "audio" in inputs:
                inputs["audio"] = pipeline.features(inputs["audio"])
            with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
                outputs.append(pipeline.logits(inputs).float())
            index.append(batch.index)
        logits = torch.cat(outputs).cpu().numpy()
    pipeline.train(was_training)
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
