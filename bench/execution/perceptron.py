"""A classifier of one hidden layer on frozen embeddings; networks of several seeds are trained as one batch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.execution.adam import AdamW

HIDDEN = 100
EPOCHS = 20
BATCH = 128
RATE = 4e-3
DECAY = 1e-2
DROPOUT = 0.2
_PARTS = ("inner", "inner_bias", "outer", "outer_bias")

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Perceptron:
    """``inner (dim, hidden)``, ``outer (hidden, classes)`` and their biases, on standardised embeddings."""

    inner: Tensor
    inner_bias: Tensor
    outer: Tensor
    outer_bias: Tensor
    mean: Doubles
    scale: Doubles

    def logits(self, x: Floats) -> Floats:
        """``(clips, dim) -> (clips, classes)``."""
        rows = torch.from_numpy(((x - self.mean) / self.scale).astype(np.float32))
        hidden = torch.relu(rows @ self.inner + self.inner_bias)
        out: Floats = (hidden @ self.outer + self.outer_bias).numpy()
        return out

    def tensors(self) -> dict[str, Tensor]:
        """All of it, float32."""
        moments = {"mean": torch.from_numpy(self.mean).float(), "scale": torch.from_numpy(self.scale).float()}
        return {**{name: getattr(self, name) for name in _PARTS}, **moments}

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> Perceptron:
        """That whose :meth:`tensors` these are."""
        found: dict[str, Any] = {name: tensors[name] for name in _PARTS}
        found |= {name: tensors[name].double().numpy() for name in ("mean", "scale")}
        return cls(**found)

    def describe(self) -> dict[str, Any]:
        """Settings."""
        return {"classifier": "perceptron", "dim": len(self.mean), "hidden": HIDDEN, "epochs": EPOCHS, "lr": RATE}


def fit_perceptrons(
    x: Floats, indicators: Floats, moments: tuple[Doubles, Doubles], seeds: Sequence[int], *, several: bool
) -> list[Perceptron]:
    """One network for each seed, which decides its start, order and dropout; AdamW with a cosine to zero.

    Args:
        x: ``(clips, dim)``.
        indicators: ``(clips, classes)``; a class that no clip has is never predicted.
        moments: Mean and deviation of the columns.
        seeds: Any number; each network comes out as it would alone, but for the order of sums.
        several: Whether clips have several labels.
    """
    mean, scale = moments
    rows, targets = torch.from_numpy(((x - mean) / scale).astype(np.float32)), torch.from_numpy(indicators)
    draws = [torch.Generator().manual_seed(seed) for seed in seeds]
    weights = [w.requires_grad_() for w in _start(rows.shape[1], targets.shape[1], draws)]
    optimizer = AdamW(weights, lr=RATE, weight_decay=DECAY)
    steps = EPOCHS * math.ceil(len(rows) / BATCH)
    schedule = cosine(optimizer, steps)
    for _ in range(EPOCHS):
        order = torch.stack([torch.randperm(len(rows), generator=draw) for draw in draws])  # (seeds, clips)
        for index in torch.split(order, BATCH, dim=1):
            kept = torch.stack([torch.rand(index.shape[1], HIDDEN, generator=draw) for draw in draws]) >= DROPOUT
            logits = _forward(rows[index], weights, kept / (1 - DROPOUT))  # (seeds, batch, classes)
            loss = loss_of(logits, targets[index], several=several)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    inner, inner_bias, outer, outer_bias = (w.detach() for w in weights)
    absent = absent_classes(targets, several=several)
    return [
        Perceptron(
            inner=inner[i].clone(), inner_bias=inner_bias[i, 0].clone(), outer=outer[i].clone(),
            outer_bias=outer_bias[i, 0] + absent, mean=mean, scale=scale,
        )
        for i in range(len(draws))
    ]  # fmt: skip


def _start(dim: int, classes: int, draws: Sequence[torch.Generator]) -> list[Tensor]:
    """Kaiming's deviations for the first layer, zeros for the last."""
    inner = torch.stack([torch.randn(dim, HIDDEN, generator=draw) for draw in draws]) * math.sqrt(2 / dim)
    count = len(draws)
    return [inner, torch.zeros(count, 1, HIDDEN), torch.zeros(count, HIDDEN, classes), torch.zeros(count, 1, classes)]


def _forward(rows: Tensor, weights: Sequence[Tensor], kept: Tensor) -> Tensor:
    inner, inner_bias, outer, outer_bias = weights
    hidden = torch.relu(torch.baddbmm(inner_bias, rows, inner)) * kept  # (seeds, batch, hidden)
    return torch.baddbmm(outer_bias, hidden, outer)


def cosine(optimizer: torch.optim.Optimizer, steps: int) -> torch.optim.lr_scheduler.LambdaLR:
    """The rate from its full value to zero."""
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: 0.5 + 0.5 * math.cos(math.pi * i / steps))


def absent_classes(targets: Tensor, *, several: bool) -> Tensor:
    """``(classes,)``, added to logits: a class without a clip in ``(clips, classes)`` is never predicted."""
    return torch.zeros(targets.shape[1]) if several else torch.where(targets.sum(0) > 0, 0.0, -1e3)


def loss_of(logits: Tensor, targets: Tensor, *, several: bool) -> Tensor:
    """Sum over seeds of the mean over a batch, of ``(seeds, batch, classes)``."""
    if several:
        return F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean((1, 2)).sum()
    return -(targets * logits.log_softmax(2)).sum(2).mean(1).sum()
