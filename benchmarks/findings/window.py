"""A window of 25 samples where 25 milliseconds are meant."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from nnAudio.features.mel import MelSpectrogram
from scipy.signal import get_window
from torch import Tensor

from bench_plugins.meamtm.as_coded import HOP, MELS, N_FFT, RATE, WINDOW
from findings.entry import Finding, Number, Study

MEANT = round(0.025 * RATE)
SECONDS = 20


def layer(window: int) -> MelSpectrogram:
    """The notebook's front end with a window of so many samples."""
    return MelSpectrogram(sr=RATE, n_fft=N_FFT, win_length=window, n_mels=MELS, hop_length=HOP, center=False,
                          verbose=False)  # fmt: skip


def main_lobe(window: int) -> float:
    """Width of the Hann window's main lobe between its first zeros, in Hz, read off its padded spectrum."""
    points = 2**20
    magnitude = np.abs(np.fft.rfft(get_window("hann", window), points))
    first = int(np.argmax(np.diff(magnitude) > 0))
    return 2 * first * RATE / points


def redundancy(window: int) -> tuple[float, float, int]:
    """Of white noise: correlation of neighbouring log-mel bands (mean, sd), components that hold 99 % of variance."""
    noise = torch.randn(1, SECONDS * RATE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        bands = layer(window)(noise)[0].clamp(min=1e-12).log().numpy()  # (128, frames)
    correlation = np.corrcoef(bands)
    neighbours = np.diagonal(correlation, offset=1)
    held = np.cumsum(np.sort(np.linalg.eigvalsh(correlation))[::-1]) / MELS
    return float(neighbours.mean()), float(neighbours.std()), int(np.searchsorted(held, 0.99) + 1)


def share_read(window: int) -> float:
    """Share of the samples of a 5 s clip that any feature depends on, by gradient."""
    clip = torch.randn(1, 5 * RATE, generator=torch.Generator().manual_seed(1), requires_grad=True)
    total: Tensor = layer(window)(clip).sum()
    total.backward()
    return float((clip.grad != 0).float().mean())


def find(data: Path | None) -> Finding:  # noqa: ARG001
    points = int(np.count_nonzero(get_window("hann", WINDOW)))
    here, meant = redundancy(WINDOW), redundancy(MEANT)
    return Finding(
        title="A window of 25 samples sees one twentieth of the sound and hardly any pitch",
        source="redkai11/An-Audio-is-Worth-16-x-16-words-Memory-Efficient-Audio-Spectrogram-Transformer @ 0901290, "
        "`model.ipynb`, `MEASTModel`",
        practice="`win_length = 25` at 44.1 kHz with hop 437 and 2048 points. nnAudio counts samples; AST, which the "
        f"notebook follows, has 25 ms, that is {MEANT} samples.",
        method=f"nnAudio's own layer with both windows, all else as published. Main lobe from the window's spectrum; "
        f"redundancy on {SECONDS} s of white noise, whose frequencies are independent, so that what bands share comes "
        "from the window; samples read by the gradient of all features of a 5 s clip.",
        numbers=(
            Number(what="samples of a clip that no feature depends on", value=100 * (1 - share_read(WINDOW)), unit="%",
                   tolerance=1.0),
            Number(what="samples of a clip that no feature depends on, 25 ms", value=100 * (1 - share_read(MEANT)),
                   unit="%", tolerance=1.0),
            Number(what="window with weight above zero", value=1e3 * points / RATE, unit="ms", tolerance=1e-3),
            Number(what="main lobe", value=main_lobe(WINDOW), unit="Hz", tolerance=5.0),
            Number(what="main lobe, 25 ms", value=main_lobe(MEANT), unit="Hz", tolerance=1.0),
            Number(what="correlation of neighbouring mel bands", value=here[0],
                   spread=f"sd {here[1]:.3f} over 127 pairs", tolerance=0.01),
            Number(what="correlation of neighbouring mel bands, 25 ms", value=meant[0],
                   spread=f"sd {meant[1]:.3f} over 127 pairs", tolerance=0.02),
            Number(what="principal components with 99 % of the variance of 128 bands", value=here[2], tolerance=1.0),
            Number(what="principal components with 99 % of the variance of 128 bands, 25 ms", value=meant[2],
                   tolerance=3.0),
        ),
        instead="`meamtm` takes 25 ms every 10 ms, the logarithm, and the training folds' statistics; "
        "`meamtm.as_coded` keeps the published front end.",
    )  # fmt: skip


STUDY = Study(find=find)
