"""Small AV-MAE networks, what they are given, and what of them learns."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bench import TaskInfo

SMALL = {"dim": 32, "heads": 2, "depth": 1, "decoder_dim": 16, "decoder_depth": 1, "decoder_heads": 2}
SOUND = TaskInfo(num_classes=4, feature_shape=(13, 39))
BOTH = TaskInfo(num_classes=4, modalities=("audio", "image"), feature_shape=(13, 39), image_shape=(1, 28, 28))
KINDS = ("unstructured", "time", "freq", "time_freq")


def inputs(task: TaskInfo, batch: int) -> dict[str, Tensor]:
    views = {"audio": torch.randn(batch, *task.feature_shape)}
    if "image" in task.modalities:
        views["image"] = torch.rand(batch, *task.image_shape)
    return views


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def silent(model: nn.Module) -> list[str]:
    """Names of trainable parameters that got no gradient."""
    return [
        name
        for name, p in model.named_parameters()
        if p.requires_grad and (p.grad is None or not p.grad.abs().sum() > 0)
    ]
