"""The host's own front ends as specs; importing this imports no torch."""

from __future__ import annotations

from typing import Any, NoReturn

from bench.clips import TaskInfo
from bench.errors import PluginError
from bench.plugins.specs import FrontendSpec

FRONTENDS: tuple[FrontendSpec, ...] = (
    FrontendSpec(
        name="nnaudio",
        factory="bench.frontends.nnaudio:build",
        description="log-mel by nnAudio: the Fourier transform as a convolution, everything frozen",
    ),
    FrontendSpec(
        name="nnaudio_mel",
        factory="bench.frontends.nnaudio:build_mel",
        trainable=True,
        description="log-mel by nnAudio with a trainable mel filter bank",
    ),
    FrontendSpec(
        name="nnaudio_stft",
        factory="bench.frontends.nnaudio:build_stft",
        trainable=True,
        description="log-mel by nnAudio with trainable Fourier kernels",
    ),
    FrontendSpec(
        name="torchaudio",
        factory="bench.frontends.torchaudio:build",
        description="log-mel as torchaudio defines it (Slaney scale and norm) by torch.stft; needs no torchaudio",
    ),
    FrontendSpec(
        name="kaldi",
        factory="bench.frontends.kaldi:build",
        description="Kaldi filter bank as AST uses it (HTK scale, pre-emphasis, no centring)",
    ),
    FrontendSpec(
        name="mfcc",
        factory="bench.frontends.mfcc:build",
        bands=False,
        description="cepstral coefficients: orthonormal DCT-II of the torchaudio log-mel",
    ),
)
"""Those that compute features."""

GIVEN = FrontendSpec(
    name="given",
    factory="bench.frontends.specs:build_given",
    bands=False,
    description="features as the data set's publishers give them; chosen by such data, computes nothing",
)
"""Stands for features that a data set publishes in place of audio."""


def build_given(task: TaskInfo, **options: Any) -> NoReturn:
    """Refuse: there is no waveform that published features could be computed from.

    Raises:
        PluginError: Always.
    """
    raise PluginError(
        f"front end 'given' computes nothing: it stands for features that a data set publishes, and "
        f"{task.clip_samples} samples at {task.sample_rate} Hz were to be turned into some; use another --frontend"
        + (f" (its options: {', '.join(sorted(options))})" if options else "")
    )
