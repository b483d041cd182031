"""Triangular mel filters and the cosine transform: what a spectrum is multiplied with.

The same numbers as torchaudio's ``functional.melscale_fbanks``, ``functional.create_dct`` and
``compliance.kaldi.get_mel_banks``, to the last bit under the same torch, without torchaudio, which refuses to load
beside a torch of another CUDA. ``tests/frontends/test_filters.py`` compares on random parameters.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

MelScale = Literal["htk", "slaney"]

_BREAK_HZ, _BREAK_MEL = 1000.0, 15.0
_HZ_PER_MEL = _BREAK_HZ / _BREAK_MEL
_LOG_STEP = math.log(6.4) / 27.0
"""Slaney's scale: linear below 1 kHz, above it 27 steps to 6.4 times the frequency."""


def mel_filters(
    n_fft: int, n_mels: int, sample_rate: int, limits: tuple[float, float], *, scale: MelScale, equal_area: bool
) -> Tensor:
    """Filters that are triangles over Hz, their corners evenly spaced in mel.

    Args:
        n_fft: Length of the Fourier transform in samples.
        n_mels: Number of filters.
        sample_rate: In Hz.
        limits: Lowest and highest corner in Hz.
        scale: ``slaney`` (linear below 1 kHz) or ``htk`` (2595 log10(1 + f / 700)).
        equal_area: Divide each by half its width in Hz (Slaney's norm); else all have height 1.

    Returns:
        ``(n_mels, n_fft // 2 + 1)`` float32, not negative.
    """
    bins = torch.linspace(0, sample_rate // 2, n_fft // 2 + 1)  # (freq)
    lowest, highest = (to_mel(hertz, scale) for hertz in limits)
    corners = to_hertz(torch.linspace(lowest, highest, n_mels + 2), scale)[:, None]  # (mel + 2, 1)
    rising = (bins - corners[:-2]) / (corners[1:-1] - corners[:-2])  # (mel, freq)
    falling = (corners[2:] - bins) / (corners[2:] - corners[1:-1])
    filters = torch.minimum(rising, falling).clamp(min=0)
    return filters * (2 / (corners[2:] - corners[:-2])) if equal_area else filters


def kaldi_filters(n_fft: int, n_mels: int, sample_rate: int, limits: tuple[float, float]) -> Tensor:
    """Kaldi's filters: triangles of height 1 over mel, 1127 ln(1 + f / 700), not over Hz.

    Returns:
        ``(n_mels, n_fft // 2 + 1)`` float32; the bin at half the sample rate counts nothing.
    """
    lowest, highest = (1127 * math.log(1 + hertz / 700) for hertz in limits)
    step = (highest - lowest) / (n_mels + 1)
    number = torch.arange(n_mels)[:, None]
    left, centre, right = (lowest + (number + corner) * step for corner in (0.0, 1.0, 2.0))  # (mel, 1)
    mel = 1127 * (1 + sample_rate / n_fft * torch.arange(n_fft / 2) / 700).log()  # (n_fft // 2)
    filters = torch.minimum((mel - left) / (centre - left), (right - mel) / (right - centre)).clamp(min=0)
    return torch.nn.functional.pad(filters, (0, 1))


def cosine_transform(count: int, bands: int) -> Tensor:
    """The first ``count`` rows of the orthonormal DCT-II of ``bands`` values, ``(count, bands)`` float32."""
    number, band = torch.arange(float(count))[:, None], torch.arange(float(bands))
    rows = torch.cos(math.pi / bands * (band + 0.5) * number)
    rows[0] *= 1 / math.sqrt(2)
    return rows * math.sqrt(2 / bands)


def to_mel(hertz: float, scale: MelScale) -> float:
    """Hz to mel."""
    if scale == "htk":
        return 2595 * math.log10(1 + hertz / 700)
    if hertz < _BREAK_HZ:
        return hertz / _HZ_PER_MEL
    return _BREAK_MEL + math.log(hertz / _BREAK_HZ) / _LOG_STEP


def to_hertz(mel: Tensor, scale: MelScale) -> Tensor:
    """Mel to Hz, the same shape and dtype."""
    if scale == "htk":
        return 700 * (10 ** (mel / 2595) - 1)
    hertz, high = _HZ_PER_MEL * mel, mel >= _BREAK_MEL
    hertz[high] = _BREAK_HZ * torch.exp(_LOG_STEP * (mel[high] - _BREAK_MEL))
    return hertz
