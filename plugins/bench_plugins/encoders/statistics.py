"""Statistics of a log-mel as an embedding: what an encoder must beat."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bench import TaskInfo


class MelStatistics(nn.Module):
    """Mean and deviation of each band and of its change from frame to frame, before a linear classifier."""

    def __init__(self, bands: int, classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(4 * bands, classes)

    def forward(self, audio: Tensor) -> Tensor:
        """``(batch, bands, frames) -> (batch, classes)``."""
        logits: Tensor = self.head(self.embed(audio))
        return logits

    def embed(self, audio: Tensor) -> Tensor:
        """``(batch, bands, frames) -> (batch, 4 x bands)``."""
        change = audio.diff(dim=2) if audio.shape[2] > 1 else torch.zeros_like(audio)
        parts = [part for x in (audio, change) for part in (x.mean(2), x.std(2, correction=0))]
        return torch.cat(parts, dim=1)


def build(task: TaskInfo) -> MelStatistics:
    """The statistics of the front end's bands."""
    if task.feature_shape is None:
        raise ValueError("mel statistics are taken of a front end's features")
    return MelStatistics(task.feature_shape[0], task.num_classes)
