"""The ``torchaudio`` front end: ``torch.stft`` and torchaudio's mel filter bank.

Equals ``torchaudio.transforms.MelSpectrogram(power=2, center=True, norm="slaney", mel_scale="slaney")`` followed by
the floor and the natural logarithm. There is no ``top_db``: it would take the maximum over the whole batch.
"""

from __future__ import annotations

from typing import Unpack

import torch
import torchaudio.functional
from torch import Tensor

from bench.clips import TaskInfo
from bench.frontends.base import Frontend, check_filters, log_power, own_filter_warning
from bench.frontends.settings import SpectralOptions, SpectralSettings


class TorchaudioLogMel(Frontend):
    """Log-mel features ``(batch, n_mels, 1 + samples // hop)``, frames centred, ends reflected."""

    hann: Tensor
    mel_basis: Tensor

    def __init__(self, settings: SpectralSettings) -> None:
        super().__init__(settings, bins=settings.n_mels, min_samples=settings.n_fft // 2 + 1)
        self.register_buffer("hann", torch.hann_window(settings.window), persistent=False)
        with own_filter_warning():
            bank = torchaudio.functional.melscale_fbanks(
                settings.n_fft // 2 + 1, float(settings.fmin), settings.top, settings.n_mels, settings.sample_rate,
                norm="slaney", mel_scale="slaney",
            ).T.contiguous()  # (freq, mel) -> (mel, freq)  # fmt: skip
        check_filters(bank, settings)
        self.register_buffer("mel_basis", bank, persistent=False)

    def compute(self, waveform: Tensor) -> Tensor:
        """Log-mel features of ``(batch, samples)``."""
        settings = self.settings
        spectrum = torch.stft(
            waveform, settings.n_fft, settings.hop, settings.window, self.hann,
            center=True, pad_mode="reflect", return_complex=True,
        )  # (batch, samples) -> (batch, n_fft // 2 + 1, time)  # fmt: skip
        power = spectrum.real.square() + spectrum.imag.square()
        return log_power(self.mel_basis @ power, settings.floor)  # -> (batch, mel, time)


def build(task: TaskInfo, **options: Unpack[SpectralOptions]) -> TorchaudioLogMel:
    """Build the front end at the sample rate of ``task``; ``options`` as :class:`SpectralOptions`."""
    return TorchaudioLogMel(SpectralSettings(sample_rate=task.sample_rate, **options))
