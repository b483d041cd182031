"""A linear model on band means."""

from __future__ import annotations

from torch import Tensor, nn

from bench import TaskInfo


class BandMeans(nn.Module):
    """Features ``(batch, freq, time)`` to logits ``(batch, classes)``."""

    def __init__(self, bands: int, classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(bands, classes)

    def forward(self, features: Tensor) -> Tensor:
        """Average over time and map to the classes."""
        means = features.mean(dim=2)  # (batch, freq, time) -> (batch, freq)
        logits: Tensor = self.head(means)  # (batch, freq) -> (batch, classes)
        return logits


def build(task: TaskInfo) -> nn.Module:
    """The model for a task whose front end gives features."""
    if task.feature_shape is None:
        raise ValueError("full.bands takes features; choose a front end")
    return BandMeans(task.feature_shape[0], task.num_classes)
