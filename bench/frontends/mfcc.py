"""The ``mfcc`` front end: orthonormal DCT-II of the torchaudio log-mel (natural logarithm, fixed floor)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Unpack

from torch import Tensor

from bench.clips import TaskInfo
from bench.frontends.base import Frontend
from bench.frontends.filters import cosine_transform
from bench.frontends.precision import full_precision
from bench.frontends.settings import SpectralOptions, SpectralSettings
from bench.frontends.torchaudio import TorchaudioLogMel

Hide = Callable[[Tensor], Tensor]
"""Hides bands of ``(batch, bands, time)``; same shape."""


class Mfcc(Frontend):
    """Cepstral coefficients ``(batch, n_mfcc, 1 + samples // hop)``, coefficient 0 (the level) first.

    Args:
        settings: The checked options of the log-mel below.
        n_mfcc: Coefficients kept, 1 to ``n_mels``.
    """

    dct: Tensor

    def __init__(self, settings: SpectralSettings, n_mfcc: int) -> None:
        mel = TorchaudioLogMel(settings)
        super().__init__(settings, bins=n_mfcc, min_samples=mel.min_samples)
        if isinstance(n_mfcc, bool) or not isinstance(n_mfcc, int):
            raise TypeError(f"n_mfcc = {n_mfcc!r} is a {type(n_mfcc).__name__}; a whole number is needed")
        if not 1 <= n_mfcc <= settings.n_mels:
            raise ValueError(f"n_mfcc = {n_mfcc}: must be 1 to n_mels = {settings.n_mels}; raise n_mels")
        self.mel = mel
        self.register_buffer("dct", cosine_transform(n_mfcc, settings.n_mels), persistent=False)  # (mfcc, mel)

    def forward(self, waveform: Tensor, hide: Hide | None = None) -> Tensor:
        """Transform a batch as every front end does.

        Args:
            waveform: ``(batch, samples)`` float32 in [-1, 1].
            hide: Hides bands of the log-mel ``(batch, mel, time)`` before the cosine transform: a cepstral coefficient
                is no band, and leaving one out is nothing that a sound could lack.
        """
        self._check(waveform)
        with full_precision(waveform.device):
            return self.compute(waveform, hide)

    def compute(self, waveform: Tensor, hide: Hide | None = None) -> Tensor:
        """Cepstral coefficients of ``(batch, samples)``."""
        mel = self.mel.compute(waveform)
        return self.dct @ (mel if hide is None else hide(mel))  # (batch, mel, time) -> (batch, mfcc, time)


def build(task: TaskInfo, *, n_mfcc: int = 40, **options: Unpack[SpectralOptions]) -> Mfcc:
    """Build the front end at the sample rate of ``task``; ``options`` as :class:`SpectralOptions`.

    ``n_mfcc`` coefficients are kept, 1 to ``n_mels``, which is 64 unless given.
    """
    options.setdefault("n_mels", 64)
    return Mfcc(SpectralSettings(sample_rate=task.sample_rate, **options), n_mfcc)
