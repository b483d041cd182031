"""The ``kaldi`` front end: the filter bank that AST was published with, batched.

Equals, clip by clip, ``torchaudio.compliance.kaldi.fbank`` on the waveform minus its mean, with ``htk_compat=True,
window_type="hanning", use_energy=False, dither=0`` (AST, arXiv 2104.01778). It is another feature than the log-mel
front ends, not another setting of them: HTK scale without area norm, pre-emphasis, a symmetric window, and frames
only where they fit (498 for 5 s, not 501). With AST's settings the fourth of the 128 filters holds no Fourier bin
and its features are constant, there as here.
"""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor

from bench.clips import TaskInfo
from bench.frontends.base import Frontend, check_filters, log_power, power_of
from bench.frontends.filters import kaldi_filters
from bench.frontends.settings import SpectralOptions, SpectralSettings

PREEMPHASIS = 0.97
KALDI_FLOOR = 2.0**-23
"""Kaldi's own floor: the spacing of float32 numbers at 1, about 1.19e-7."""


class KaldiFbank(Frontend):
    """Log filter-bank features ``(batch, n_mels, 1 + (samples - window) // hop)``."""

    hann: Tensor
    mel_basis: Tensor

    def __init__(self, settings: SpectralSettings) -> None:
        super().__init__(settings, bins=settings.n_mels, min_samples=settings.window)
        self.register_buffer("hann", torch.hann_window(settings.window, periodic=False), persistent=False)
        bank = kaldi_filters(settings.n_fft, settings.n_mels, settings.sample_rate, (settings.fmin, settings.top))
        check_filters(bank, settings, tolerated=1)
        self.register_buffer("mel_basis", bank, persistent=False)

    def frames(self, samples: int) -> int:
        """``1 + (samples - window) // hop``."""
        return 1 + (samples - self.settings.window) // self.settings.hop

    def compute(self, waveform: Tensor) -> Tensor:
        """Log filter-bank features of ``(batch, samples)``."""
        settings = self.settings
        waveform = waveform - waveform.mean(dim=1, keepdim=True)
        frames = waveform.unfold(1, settings.window, settings.hop)  # (batch, samples) -> (batch, time, window)
        frames = frames - frames.mean(dim=2, keepdim=True)
        before = torch.cat([frames[..., :1], frames[..., :-1]], dim=2)
        frames = (frames - PREEMPHASIS * before) * self.hann
        spectrum = torch.fft.rfft(frames, n=settings.n_fft)  # -> (batch, time, n_fft // 2 + 1)
        power = power_of(spectrum)
        mel = power @ self.mel_basis.T  # -> (batch, time, mel)
        return log_power(mel, settings.floor).transpose(1, 2)  # -> (batch, mel, time)


def build(task: TaskInfo, **options: Unpack[SpectralOptions]) -> KaldiFbank:
    """Build the front end at the sample rate of ``task``; ``options`` as :class:`SpectralOptions`.

    400 and 160 samples at 16 kHz are Kaldi's 25 ms and 10 ms; ``floor`` is Kaldi's own (2 ** -23) unless given.
    """
    options.setdefault("floor", KALDI_FLOOR)
    return KaldiFbank(SpectralSettings(sample_rate=task.sample_rate, **options))
