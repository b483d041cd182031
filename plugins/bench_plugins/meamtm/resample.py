"""Change of the sample rate inside a network: band-limited interpolation as one convolution.

The same numbers as ``torchaudio.transforms.Resample`` with its default settings (a sinc over six zero crossings under a
Hann window, cut off at 0.99 of the lower of the two Nyquist frequencies), without torchaudio.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ZEROS = 6
ROLLOFF = 0.99


class Resample(nn.Module):
    """``(batch, samples)`` at ``source`` Hz to ``(batch, ceil(samples * target / source))`` at ``target`` Hz."""

    kernel: Tensor

    def __init__(self, source: int, target: int) -> None:
        super().__init__()
        divisor = math.gcd(source, target)
        self.source, self.target = source // divisor, target // divisor
        self.margin = 0
        if source != target:
            kernel, self.margin = _kernel(self.source, self.target)
            self.register_buffer("kernel", kernel)

    def forward(self, waveform: Tensor) -> Tensor:
        """``(batch, samples)`` float32 to another rate."""
        if self.source == self.target:
            return waveform
        length = -(-self.target * waveform.shape[1] // self.source)
        padded = F.pad(waveform, (self.margin, self.margin + self.source))[:, None]
        phases = F.conv1d(padded, self.kernel, stride=self.source)  # (batch, target, steps)
        return phases.transpose(1, 2).reshape(len(waveform), -1)[:, :length]


def _kernel(source: int, target: int) -> tuple[Tensor, int]:
    """Weights ``(target, 1, taps)`` of each output phase over the input, and how many samples they reach back."""
    cutoff = min(source, target) * ROLLOFF
    margin = math.ceil(ZEROS * source / cutoff)
    taps = torch.arange(-margin, margin + source, dtype=torch.float64) / source
    phases = torch.arange(0, -target, -1)[:, None, None] / target
    time = ((phases + taps) * cutoff).clamp(-ZEROS, ZEROS)  # in zero crossings
    window = torch.cos(time * math.pi / ZEROS / 2) ** 2
    angle = time * math.pi
    sinc = torch.where(angle == 0, 1.0, angle.sin() / angle)
    return (sinc * (window * (cutoff / source))).float(), margin
