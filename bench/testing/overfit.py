"""Whether a network can learn by heart: 32 clips to 100 % accuracy, without augmentation."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.config.recipes import resolve
from bench.execution.optimisation import make_optimizer
from bench.execution.pipeline import Pipeline
from bench.testing.networks import NetworkCase, forward
from bench.testing.results import CheckResult, failed, passed, skipped

STEPS = 400
"""Optimiser steps over all clips at once after which a network has failed."""

_EVERY = 10
_PLAIN: dict[str, Any] = {"weight_decay": 0.0, "label_smoothing": 0.0, "schedule": "constant", "warmup": 0.0}


def overfit(case: NetworkCase, *, steps: int = STEPS) -> CheckResult:
    """Train on all clips of the case with the model's own rate and optimiser until each is right in ``eval()``.

    Networks whose answer for a clip depends on its batch mates are left out: learning by heart means nothing there.
    """
    if not case.entry.spec.inductive:
        return skipped("its logits depend on batch mates (inductive=False)")
    pipeline = case.fresh(0)
    recipe = resolve("full", case.entry.spec.recipes, _PLAIN)
    optimizer = make_optimizer(pipeline, recipe, "cpu")
    inputs, targets = _everything(case, pipeline)
    torch.manual_seed(0)
    best = 0.0
    for step in range(1, steps + 1):
        pipeline.train()
        loss = F.cross_entropy(pipeline.logits(inputs).float(), targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(pipeline.parameters(), recipe.clip_norm or float("inf"))
        optimizer.step()
        if step % _EVERY == 0:
            right = float((forward(pipeline, inputs).argmax(1) == targets).float().mean())
            best = max(best, right)
            if right == 1.0:
                return passed(f"all {len(targets)} clips right after {step} steps", right)
    return failed(
        f"at most {best:.1%} of {len(targets)} clips right in {steps} steps at rate {recipe.lr:g}; the network cannot "
        "fit what it should learn by heart: look at the gradient, the rate, and what eval() changes",
        best,
    )


def _everything(case: NetworkCase, pipeline: Pipeline) -> tuple[dict[str, Tensor], Tensor]:
    rows = np.arange(len(case.data.clips), dtype=np.int64)
    batch = next(iter(case.data.batches(rows, len(rows)).epoch(0)))
    inputs = dict(batch.inputs)
    if "audio" in inputs:
        with torch.no_grad():
            inputs["audio"] = pipeline.features(inputs["audio"])
    return inputs, batch.targets
