"""The ``nnaudio`` front ends: nnAudio's convolutional Fourier transform and mel filter bank.

K. W. Cheuk, H. Anderson, K. Agres, D. Herremans, nnAudio, IEEE Access 8 (2020). ``htk=False, norm=1`` matches
torchaudio's ``mel_scale="slaney", norm="slaney"``.

Deliberate difference: nnAudio squares a magnitude that it took the root of, and that root has no finite derivative
on silence. Here the power is formed from the real and imaginary parts, with nnAudio's own kernels and filter bank,
so the values agree with ``nnAudio.features.MelSpectrogram(power=2)`` and the gradients are finite.
"""

from __future__ import annotations

from typing import Literal, Unpack

import torch
from nnAudio.features.mel import MelSpectrogram
from torch import Tensor

from bench.clips import TaskInfo
from bench.frontends.base import Frontend, check_filters, log_power, own_filter_warning
from bench.frontends.settings import SpectralOptions, SpectralSettings

Trainable = Literal["none", "mel", "stft"]


class NnAudioLogMel(Frontend):
    """Log-mel features ``(batch, n_mels, 1 + samples // hop)``, frames centred, ends reflected.

    The kernels stand in the state dict (1.2 MB at ``n_fft`` 512, 17 MB at 2048), as nnAudio has them.

    Args:
        settings: The checked options.
        trainable: Which part training may change: nothing, the mel filter bank or the Fourier kernels.
    """

    def __init__(self, settings: SpectralSettings, trainable: Trainable = "none") -> None:
        super().__init__(settings, bins=settings.n_mels, min_samples=settings.n_fft // 2 + 1)
        if trainable not in ("none", "mel", "stft"):
            raise ValueError(f"trainable = {trainable!r}; allowed: 'none', 'mel', 'stft'")
        with own_filter_warning():
            self.layer = MelSpectrogram(
                sr=settings.sample_rate, n_fft=settings.n_fft, win_length=settings.window, hop_length=settings.hop,
                n_mels=settings.n_mels, fmin=settings.fmin, fmax=settings.top, htk=False, norm=1, power=2.0,
                center=True, pad_mode="reflect", trainable_mel=trainable == "mel", trainable_STFT=trainable == "stft",
                verbose=False,
            )  # fmt: skip
        check_filters(self.layer.mel_basis, settings)

    def compute(self, waveform: Tensor) -> Tensor:
        """Log-mel features of ``(batch, samples)``."""
        spectrum = self.layer.stft(waveform, output_format="Complex")  # -> (batch, n_fft // 2 + 1, time, 2)
        power = spectrum[..., 0].square() + spectrum[..., 1].square()  # -> (batch, n_fft // 2 + 1, time)
        return log_power(torch.matmul(self.layer.mel_basis, power), self.settings.floor)  # -> (batch, mel, time)


def build(task: TaskInfo, *, trainable: Trainable = "none", **options: Unpack[SpectralOptions]) -> NnAudioLogMel:
    """Build the front end at the sample rate of ``task``; ``options`` as :class:`SpectralOptions`.

    ``trainable`` is ``none``, ``mel`` (filter bank) or ``stft`` (Fourier kernels).
    """
    return NnAudioLogMel(SpectralSettings(sample_rate=task.sample_rate, **options), trainable)


def build_mel(task: TaskInfo, **options: Unpack[SpectralOptions]) -> NnAudioLogMel:
    """Build the front end with a trainable mel filter bank; ``options`` as in :func:`build`."""
    return NnAudioLogMel(SpectralSettings(sample_rate=task.sample_rate, **options), "mel")


def build_stft(task: TaskInfo, **options: Unpack[SpectralOptions]) -> NnAudioLogMel:
    """Build the front end with trainable Fourier kernels; ``options`` as in :func:`build`."""
    return NnAudioLogMel(SpectralSettings(sample_rate=task.sample_rate, **options), "stft")
