"""Optimiser, learning-rate schedule and averaged weights from a recipe."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from bench.recipes import Recipe


def make_optimizer(pipeline: nn.Module, recipe: Recipe, device: str) -> torch.optim.Optimizer:
    """AdamW or Adam over the trainable parameters; decay on matrices only unless the recipe says ``decay_all``.

    A model may divide its own parameters: ``model.param_groups(recipe)`` returns torch parameter groups, whose
    ``lr_scale`` multiplies the recipe's rate. What it leaves out of the pipeline (the front end) is added.
    """
    groups = _declared_groups(pipeline, recipe)
    kind = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
    fused = device in ("cpu", "cuda")
    for group in groups:
        group.setdefault("lr_scale", 1.0)
        group["lr"] = recipe.lr * group["lr_scale"]
    return kind(groups, lr=recipe.lr, betas=recipe.betas, weight_decay=recipe.weight_decay, fused=fused)


def _declared_groups(pipeline: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    model = getattr(pipeline, "model", pipeline)
    declare = getattr(model, "param_groups", None)
    groups: list[dict[str, Any]] = [dict(group) for group in declare(recipe)] if callable(declare) else []
    seen = {id(p) for group in groups for p in group["params"]}
    rest = [p for p in pipeline.parameters() if p.requires_grad and id(p) not in seen]
    if recipe.decay_all:
        groups.append({"params": rest})
    else:
        groups.append({"params": [p for p in rest if p.ndim > 1]})
        groups.append({"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0})
    return [group for group in groups if len(group["params"])]


def rate_factor(recipe: Recipe, steps_per_epoch: int) -> Callable[[int], float]:
    """Step number (from 0) -> factor on the peak learning rate, 0 to 1.

    Linear warm-up over the first ``warmup`` fraction of all steps, then the recipe's schedule.
    """
    total = max(1, recipe.epochs * steps_per_epoch)
    warm = round(recipe.warmup * total)

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / (warm + 1)
        if recipe.schedule == "constant":
            return 1.0
        if recipe.schedule == "cosine":
            return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total - warm)))
        epoch = step // steps_per_epoch + 1
        drops = 0 if epoch < recipe.step_from else 1 + (epoch - recipe.step_from) // recipe.step_every
        return recipe.step_factor**drops

    return factor


def make_average(pipeline: nn.Module, recipe: Recipe) -> AveragedModel | None:
    """Exponentially averaged copy of the pipeline, buffers included; ``None`` where the recipe has none."""
    if recipe.ema is None:
        return None
    mix = get_ema_multi_avg_fn(recipe.ema)  # type: ignore[no-untyped-call]
    return AveragedModel(pipeline, multi_avg_fn=mix, use_buffers=True)
