"""Log energy in sixteen bands of equal width."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bench import TaskInfo

WINDOW, HOP, BANDS = 256, 128, 16
"""Samples, samples, bands."""


class Bands(nn.Module):
    """Waveform ``(batch, samples)`` to features ``(batch, 16, 1 + (samples - 256) // 128)``."""

    def forward(self, waveform: Tensor) -> Tensor:
        """Frame, transform, add up the power of each band, take the logarithm."""
        frames = waveform.unfold(1, WINDOW, HOP)  # (batch, samples) -> (batch, time, 256)
        power = torch.fft.rfft(frames)[..., 1:].abs().square()  # (batch, time, 256) -> (batch, time, 128)
        bands = power.unflatten(2, (BANDS, -1)).mean(dim=3)  # (batch, time, 128) -> (batch, time, 16)
        return bands.clamp(min=1e-8).log().transpose(1, 2)  # (batch, time, 16) -> (batch, 16, time)


def build(task: TaskInfo) -> nn.Module:
    """The front end; it is the same for every task."""
    if task.clip_samples < WINDOW:
        raise ValueError(f"clips of {task.clip_samples} samples are shorter than the window of {WINDOW}")
    return Bands()
