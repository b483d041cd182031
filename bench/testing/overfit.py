"""Whether a network can learn a few clips by heart."""

from __future__ import annotations

from typing import Any

import torch

from bench.config.recipes import resolve
from bench.execution.step import Inference, StepSettings, TrainStep
from bench.testing.networks import NetworkCase, featured
from bench.testing.results import CheckResult, failed, passed, skipped

STEPS = 400
"""Optimiser steps over all clips at once after which a network has failed."""

_PLAIN: dict[str, Any] = {
    "weight_decay": 0.0, "label_smoothing": 0.0, "schedule": "constant", "warmup": 0.0, "ema": None,
    "mixup_alpha": 0.0, "spec_masks": 0,
}  # fmt: skip


def overfit(case: NetworkCase) -> CheckResult:
    """Train on all clips of the case with the model's own rate and optimiser until each is right in ``eval()``."""
    if not case.entry.spec.inductive:  # learning by heart means nothing there
        return skipped("its logits depend on batch mates (inductive=False)")
    pipeline = case.fresh(0)
    recipe = resolve("full", case.entry.spec.recipes, _PLAIN)
    batch = featured(pipeline, case.data, len(case.data.clips))
    pipeline.frontend = pipeline.normaliser = None  # the batch holds features: they are computed once
    step, infer = TrainStep(pipeline, StepSettings(recipe=recipe, seed=0, waveforms=False), 1), Inference(pipeline)
    torch.manual_seed(0)
    best = 0.0
    for number in range(1, STEPS + 1):
        step(batch)
        if number % 10 == 0:
            right = float((infer(batch).argmax(1) == batch.targets).float().mean())
            best = max(best, right)
            if right == 1.0:
                return passed(f"all {len(batch)} clips right after {number} steps", right)
    return failed(
        f"at most {best:.1%} of {len(batch)} clips right in {STEPS} steps at rate {recipe.lr:g}; the network cannot "
        "fit what it should learn by heart: look at the gradient, the rate, and what eval() changes",
        best,
    )
