"""The ``torchaudio`` front end: torchaudio's mel spectrogram by ``torch.stft`` and filters of its definition.

Equals ``torchaudio.transforms.MelSpectrogram(power=2, center=True, norm="slaney", mel_scale="slaney")`` followed by
the floor and the natural logarithm, its filters to the last bit, and needs no torchaudio. There is no ``top_db``: it
would take the maximum over the whole batch.
"""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor

from bench.clips import TaskInfo
from bench.frontends.base import Frontend, check_filters, log_power, power_of
from bench.frontends.filters import mel_filters
from bench.frontends.settings import SpectralOptions, SpectralSettings


class TorchaudioLogMel(Frontend):
    """Log-mel features ``(batch, n_mels, 1 + samples // hop)``, frames centred, ends reflected."""

    hann: Tensor
    mel_basis: Tensor

    def __init__(self, settings: SpectralSettings) -> None:
        super().__init__(settings, bins=settings.n_mels, min_samples=settings.n_fft // 2 + 1)
        self.register_buffer("hann", torch.hann_window(settings.window), persistent=False)
        bank = mel_filters(
            settings.n_fft, settings.n_mels, settings.sample_rate, (settings.fmin, settings.top),
            scale="slaney", equal_area=True,
        )  # (mel, freq)  # fmt: skip
        check_filters(bank, settings)
        self.register_buffer("mel_basis", bank, persistent=False)

    def compute(self, waveform: Tensor) -> Tensor:
        """Log-mel features of ``(batch, samples)``."""
        settings = self.settings
        spectrum = torch.stft(
            waveform, settings.n_fft, settings.hop, settings.window, self.hann,
            center=True, pad_mode="reflect", return_complex=True,
        )  # (batch, samples) -> (batch, n_fft // 2 + 1, time)  # fmt: skip
        power = power_of(spectrum)
        return log_power(self.mel_basis @ power, settings.floor)  # -> (batch, mel, time)


def build(task: TaskInfo, **options: Unpack[SpectralOptions]) -> TorchaudioLogMel:
    """Build the front end at the sample rate of ``task``; ``options`` as :class:`SpectralOptions`."""
    return TorchaudioLogMel(SpectralSettings(sample_rate=task.sample_rate, **options))
