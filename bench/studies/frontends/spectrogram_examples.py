"""Two clips under each front end, ready to be drawn: the first by id, and the one closest to half silence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from bench.clips import Clips
from bench.data.batches import to_tensor
from bench.data.waveforms import Waveforms
from bench.frontends.settings import SpectralSettings

FRAME_S = 0.01
"""Silence is counted in frames of this length."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spectrogram:
    """One clip under one front end.

    Attributes:
        frontend: Its name.
        clip: Id of the clip.
        silent: Share of its 10 ms frames that are digital silence, 0 to 1.
        values: Raw log power (natural logarithm), ``(freq, time)`` float32.
        hertz: Centre of each bin ``(freq,)``, rising.
        seconds: Length of the clip.
    """

    frontend: str
    clip: str
    silent: float
    values: npt.NDArray[np.float32]
    hertz: npt.NDArray[np.float64]
    seconds: float


def examples(clips: Clips, waveforms: Waveforms, frontends: Mapping[str, nn.Module]) -> list[Spectrogram]:
    """The first clip by id, then the clip closest to half silence, each under every front end.

    Args:
        clips: The data set.
        waveforms: Its decoded clips, neither trimmed nor tiled, or there is no silence to see.
        frontends: By name, on the CPU, in evaluation mode; only those of :mod:`bench.frontends` have known
            frequencies, others are left out.
    """
    shares = np.array([silent_share(row, waveforms.sample_rate) for row in waveforms.samples])
    first = min(range(len(clips)), key=lambda row: clips.ids[row])
    order = sorted(range(len(clips)), key=lambda row: (abs(shares[row] - 0.5), clips.ids[row]))
    half = next((row for row in order if row != first), first)
    found = []
    for row in dict.fromkeys((first, half)):
        audio = to_tensor(waveforms.samples[row : row + 1])
        for name, frontend in frontends.items():
            settings = getattr(frontend, "settings", None)
            if not isinstance(settings, SpectralSettings):
                continue
            with torch.inference_mode():
                values = frontend(audio)[0].float().numpy()
            found.append(
                Spectrogram(
                    frontend=name, clip=clips.ids[row], silent=float(shares[row]), values=values,
                    hertz=centres(settings, "htk" if name == "kaldi" else "slaney"),
                    seconds=waveforms.samples.shape[1] / waveforms.sample_rate,
                )
            )  # fmt: skip
    return found


def silent_share(samples: npt.NDArray[np.int16], sample_rate: int) -> float:
    """Share of whole 10 ms frames of ``samples (samples,)`` that hold nothing but zeros.

    >>> silent_share(np.repeat(np.array([0, 9], dtype=np.int16), 500), 10_000)
    0.5
    """
    frame = max(1, round(FRAME_S * sample_rate))
    whole = len(samples) // frame * frame
    if not whole:
        return float(not samples.any())
    return float(np.mean(~np.asarray(samples[:whole]).reshape(-1, frame).any(axis=1)))


def centres(settings: SpectralSettings, scale: Literal["slaney", "htk"]) -> npt.NDArray[np.float64]:
    """Centre frequency of each mel filter in Hz, ``(n_mels,)``."""
    from transformers.audio_utils import hertz_to_mel, mel_to_hertz

    low, high = (hertz_to_mel(edge, mel_scale=scale) for edge in (settings.fmin, settings.top))
    mels = np.linspace(low, high, settings.n_mels + 2)[1:-1]
    return np.asarray(mel_to_hertz(mels, mel_scale=scale), dtype=np.float64)
