"""Optimiser, learning-rate schedule and averaged weights from a recipe."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from bench.errors import RecipeError
from bench.execution.adam import Adam, AdamW
from bench.execution.graphs import is_cuda
from bench.recipe import Recipe


def make_optimizer(pipeline: nn.Module, recipe: Recipe, device: str) -> torch.optim.Optimizer:
    """AdamW or Adam over the trainable parameters; decay on matrices only unless the recipe says ``decay_all``.

    A model may divide its own parameters: ``model.param_groups(recipe)`` returns torch parameter groups, whose
    ``lr_scale`` multiplies the recipe's rate; groups with ``"head": True`` are multiplied by ``head_lr_scale`` too.
    What it leaves out of the pipeline (the front end) is added. Without ``param_groups`` a model's head is its
    attribute ``head``.

    Raises:
        RecipeError: ``head_lr_scale`` is not 1 and the model has no head that it could apply to.
    """
    model = getattr(pipeline, "model", pipeline)
    declare = getattr(model, "param_groups", None)
    groups = [dict(group) for group in declare(recipe)] if callable(declare) else _head_groups(model, recipe)
    seen = {id(p) for group in groups for p in group["params"]}
    rest = [p for p in pipeline.parameters() if p.requires_grad and id(p) not in seen]
    return _optimizer([*groups, *decay_groups(rest, recipe)], recipe, device)


def make_pretrainer(pipeline: nn.Module, recipe: Recipe, device: str) -> torch.optim.Optimizer:
    """AdamW at ``pretrain_lr`` over all trainable parameters: what a model divides is meant for labels."""
    settings = recipe.model_copy(update={"optimizer": "adamw", "lr": recipe.pretrain_lr})
    return _optimizer(decay_groups([p for p in pipeline.parameters() if p.requires_grad], recipe), settings, device)


def decay_groups(parameters: list[nn.Parameter], recipe: Recipe) -> list[dict[str, Any]]:
    """Parameter groups with the recipe's weight decay: on matrices only, or on everything."""
    if recipe.decay_all:
        return [{"params": parameters}]
    matrices = [p for p in parameters if p.ndim > 1]
    return [{"params": matrices}, {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0}]


def _head_groups(model: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    if recipe.head_lr_scale == 1.0:
        return []
    head = getattr(model, "head", None)
    if not isinstance(head, nn.Module) or not any(p.requires_grad for p in head.parameters()):
        raise RecipeError(
            f"recipe.head_lr_scale = {recipe.head_lr_scale:g}, but {type(model).__name__} has no module `head` and no "
            "param_groups(recipe) that marks one with 'head': True; set it to 1 for this model"
        )
    groups = decay_groups([p for p in head.parameters() if p.requires_grad], recipe)
    return [{**group, "head": True} for group in groups]


def _optimizer(groups: list[dict[str, Any]], recipe: Recipe, device: str) -> torch.optim.Optimizer:
    kind = AdamW if recipe.optimizer == "adamw" else Adam
    groups = [group for group in groups if len(group["params"])]
    for group in groups:
        group.setdefault("lr_scale", 1.0)
        if group.pop("head", False):
            group["lr_scale"] *= recipe.head_lr_scale
        group["lr"] = recipe.lr * group["lr_scale"]
    fused = device == "cpu" or is_cuda(device)
    return kind(
        groups, lr=recipe.lr, betas=recipe.betas, weight_decay=recipe.weight_decay, fused=fused,
        capturable=is_cuda(device),
    )  # fmt: skip


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


class Average:
    """Exponentially averaged copy of a module; the first update copies. It never waits for the device.

    Buffers are averaged too, but those of whole numbers (counters, token ids) are copied: a mean of equal ids, rounded
    down, may be the id below.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module, self.decay, self.updates = copy.deepcopy(module), decay, 0
        self._places = list(_places(self.module, module))

    @torch.no_grad()
    def update_parameters(self) -> None:
        """Move towards the weights and buffers of the module by ``1 - decay``."""
        floats: list[tuple[torch.Tensor, torch.Tensor]] = []
        for mine, given, name in self._places:
            kept, new = mine[name], given[name]
            if self.updates and (kept.is_floating_point() or kept.is_complex()):
                floats.append((kept, new))
            else:
                kept.copy_(new)
        if floats:
            ours, theirs = zip(*floats, strict=True)
            torch._foreach_lerp_(ours, theirs, 1 - self.decay)
        self.updates += 1


def _places(ours: nn.Module, theirs: nn.Module) -> Iterator[tuple[dict[str, Any], dict[str, Any], str]]:
    """Where each tensor stands, shared ones once: looking for them takes longer than averaging them."""
    seen: set[int] = set()
    for kind in ("_parameters", "_buffers"):
        for one, other in zip(ours.modules(), theirs.modules(), strict=True):
            for name, x in getattr(one, kind).items():
                if x is not None and id(x) not in seen:
                    seen.add(id(x))
                    yield getattr(one, kind), getattr(other, kind), name


def make_average(pipeline: nn.Module, recipe: Recipe) -> Average | None:
    """The averaged copy of a pipeline; ``None`` where the recipe has none."""
    return None if recipe.ema is None else Average(pipeline, recipe.ema)
