"""Views made from a clip's own audio for models that expect another modality. Nothing here sees a label."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from bench.data.batches import to_tensor
from bench.errors import DataError
from bench.frontends.filters import mel_filters

SIDE = 28
_FLOOR_DB = 80.0
_BATCH = 64


def thumbnail(waveforms: npt.NDArray[Any], sample_rate: int = 16_000) -> npt.NDArray[np.float32]:
    """A 28 x 28 log-mel picture of each clip: frequency upwards in rows, time in columns.

    64 ms Hann windows, half overlapped; 28 mel bands up to the Nyquist rate; decibels relative to the clip's maximum
    from -80 (0.0) to 0 (1.0); averaged over time into 28 columns. Each clip is treated alone.

    Args:
        waveforms: ``(clips, samples)`` int16, or float in [-1, 1].
        sample_rate: In Hz.

    Returns:
        ``(clips, 1, 28, 28)`` float32 in [0, 1]; a silent clip is all zeros.
    """
    if waveforms.ndim != 2 or waveforms.shape[1] == 0:
        raise DataError(f"thumbnail takes waveforms (clips, samples), not shape {waveforms.shape}")
    window = 2 ** int(np.ceil(np.log2(0.064 * sample_rate)))
    banks = mel_filters(window, SIDE, sample_rate, (0.0, sample_rate / 2), scale="htk", equal_area=False)
    pictures = np.empty((len(waveforms), 1, SIDE, SIDE), dtype=np.float32)
    for start in range(0, len(waveforms), _BATCH):
        audio = to_tensor(np.array(waveforms[start : start + _BATCH]))
        pictures[start : start + _BATCH] = _pictures(audio, banks, window).numpy()
    return pictures


def _pictures(audio: torch.Tensor, banks: torch.Tensor, window: int) -> torch.Tensor:
    audio = F.pad(audio, (0, max(0, window - audio.shape[1])))  # (clips, samples)
    spectrum = torch.stft(
        audio, window, window // 2, window=torch.hann_window(window), pad_mode="constant", return_complex=True
    )
    mel = torch.einsum("cft,mf->cmt", spectrum.abs().square(), banks)  # (clips, 28, frames)
    mel = F.adaptive_avg_pool1d(mel, SIDE)  # (clips, 28, 28)
    loudest = mel.amax(dim=(1, 2), keepdim=True)
    decibels = 10.0 * torch.log10((mel / loudest.clamp_min(1e-20)).clamp_min(1e-12))
    scaled = (decibels / _FLOOR_DB + 1.0).clamp(0.0, 1.0) * (loudest > 1e-12)
    return scaled.flip(1).unsqueeze(1)  # low frequencies at the bottom row
