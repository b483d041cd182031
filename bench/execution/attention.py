"""A head that pools frames itself: a weighted sum of layers, attention over steps, a linear classifier.

The weights of layers are those of SUPERB (Yang et al. 2021, 2105.01051), a softmax of one number for each; steps are
weighted by the softmax of their product with one query. Both start equal, which is the mean over layers and steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from bench.execution.adam import AdamW
from bench.execution.perceptron import DECAY, DROPOUT, EPOCHS, RATE, absent_classes, cosine, loss_of

BATCH = 32
LAYER_RATE = 10 * RATE
"""Of the few numbers that weigh layers, which have as many steps as all others to get anywhere."""
_PARTS = ("layers", "query", "weight", "bias")

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """``layers (layers,)``, ``query (dim,)``, ``weight (dim, classes)``, ``bias (classes,)``, on standardised frames.

    ``mean`` and ``scale`` ``(layers, dim)`` are of the training clips' means over their steps, so that the start equals
    a linear head's on standardised vectors; ``losses`` are the mean of each epoch in training.
    """

    layers: Tensor
    query: Tensor
    weight: Tensor
    bias: Tensor
    mean: Tensor
    scale: Tensor
    losses: tuple[float, ...] = ()

    def logits(self, x: Sequence[Floats]) -> Floats:
        """``(steps, layers, dim)`` of each clip to ``(clips, classes)``."""
        with torch.inference_mode():
            starts = range(0, len(x), BATCH)
            states = (padded(x[i : i + BATCH], self.mean, self.scale) for i in starts)
            pooled = [_pooled(*each, self.layers, self.query) for each in states]
            found: Floats = (torch.cat(pooled) @ self.weight + self.bias).numpy()
        return found

    def tensors(self) -> dict[str, Tensor]:
        """All of it but the losses, float32."""
        return {name: getattr(self, name) for name in (*_PARTS, "mean", "scale")}

    def describe(self) -> dict[str, Any]:
        """Settings, and what the layers count."""
        shares = [round(share, 4) for share in self.layers.softmax(0).tolist()]
        return {
            "classifier": "attention pooling", "dim": len(self.query), "layer_weights": shares, "epochs": EPOCHS,
            "lr": RATE, "loss": [round(loss, 6) for loss in self.losses],
        }  # fmt: skip


def fit_attention(frames: Sequence[Floats], indicators: Floats, seed: int, *, several: bool) -> Attention:
    """AdamW with a cosine to zero, as the perceptron's; the seed decides order and dropout.

    Args:
        frames: Of each training clip ``(steps, layers, dim)``, read again in each epoch.
        indicators: ``(clips, classes)``; a class that no clip has is never predicted.
        seed: Of the order of clips and of dropout.
        several: Whether clips have several labels.
    """
    mean, scale = clip_moments(frames)
    targets, draw = torch.from_numpy(indicators), torch.Generator().manual_seed(seed)
    sizes = ((mean.shape[0],), (mean.shape[1],), (mean.shape[1], targets.shape[1]), (targets.shape[1],))
    layers, query, weight, bias = parts = [torch.zeros(size, requires_grad=True) for size in sizes]
    groups: list[dict[str, Any]] = [{"params": [layers], "lr": LAYER_RATE}, {"params": parts[1:]}]
    optimizer = AdamW(groups, lr=RATE, weight_decay=DECAY)
    schedule = cosine(optimizer, EPOCHS * math.ceil(len(frames) / BATCH))
    losses = []
    for _ in range(EPOCHS):
        total = 0.0
        for index in torch.split(torch.randperm(len(frames), generator=draw), BATCH):
            pooled = _pooled(*padded([frames[i] for i in index.tolist()], mean, scale), layers, query)
            kept = (torch.rand(pooled.shape, generator=draw) >= DROPOUT) / (1 - DROPOUT)
            loss = loss_of(((pooled * kept) @ weight + bias)[None], targets[index][None], several=several)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += float(loss.detach()) * len(index)
        losses.append(total / len(frames))
    found = dict(zip(_PARTS, (part.detach() for part in parts), strict=True))
    found["bias"] = found["bias"] + absent_classes(targets, several=several)
    return Attention(**found, mean=mean, scale=scale, losses=tuple(losses))


def padded(clips: Sequence[Floats], mean: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Standardised frames ``(clips, steps, layers, dim)``, zeros behind short clips, and the steps that are own."""
    states = pad_sequence([(torch.from_numpy(one) - mean) / scale for one in clips], batch_first=True)
    counts = torch.tensor([len(one) for one in clips])
    return states, torch.arange(states.shape[1]) < counts[:, None]


def _pooled(states: Tensor, heard: Tensor, layers: Tensor, query: Tensor) -> Tensor:
    """``(clips, steps, layers, dim)`` to ``(clips, dim)``; steps that are not ``heard`` weigh nothing."""
    mixed = torch.einsum("nsld,l->nsd", states, layers.softmax(0))
    weights = (mixed @ query / math.sqrt(len(query))).masked_fill(~heard, -torch.inf).softmax(1)  # (clips, steps)
    return torch.einsum("nsd,ns->nd", mixed, weights)


def clip_moments(frames: Sequence[Floats]) -> tuple[Tensor, Tensor]:
    """Mean and deviation ``(layers, dim)`` of what clips are on average, as those of their vectors; 1 if constant."""
    clips = range(len(frames))  # one clip is in memory at a time
    mean = sum(frames[i].mean(0, dtype=np.float64) for i in clips) / len(frames)
    scale = np.sqrt(sum((frames[i].mean(0, dtype=np.float64) - mean) ** 2 for i in clips) / len(frames))
    constant = scale <= 10 * np.finfo(np.float32).eps * np.maximum(np.abs(mean), 1e-30)
    return torch.from_numpy(mean).float(), torch.from_numpy(np.where(constant, 1.0, scale)).float()
