"""MEAMTM as the published notebook has it: a window of 25 samples, power without logarithm, the mean over all tokens.

Source: redkai11/An-Audio-is-Worth-16-x-16-words-Memory-Efficient-Audio-Spectrogram-Transformer, ``model.ipynb``.
Nothing is repaired here:
- ``win_length=25`` counts samples, 0.57 ms of 46 ms, where AST has 25 ms; the first of the 25 points is 0;
- mel power goes to the patches as it is, without logarithm and without normalisation;
- the mel filter bank is trained without any constraint; queries, keys and values have no bias; positions start at zero;
- half of the token values are dropped in training; the CLS and DIST tokens are averaged with the 588 patches.

The notebook resamples every clip to 44.1 kHz before this graph. Here the host hands over the waveform at the data set's
own rate, so the resampling stands inside the model: at 16 kHz everything above 8 kHz is empty, while window, hop and
transform keep their length in samples and in milliseconds.

Differences that do not touch the graph: the STFT runs in float32 whatever the precision; patches are counted along
time first (a permutation of learned positions); ``eval()`` is respected, which the notebook never calls.
"""

from __future__ import annotations

import contextlib

import torch
from nnAudio.features.mel import MelSpectrogram
from torch import Tensor, nn

from bench import DataError, TaskInfo
from bench_plugins.blocks import Block
from bench_plugins.meamtm.network import PATCH, PatchEmbed, patch_grid
from bench_plugins.meamtm.resample import Resample

RATE = 44_100
N_FFT = 2048
WINDOW = 25
HOP = 437
MELS = 128
DIM = 768
DEPTH = 12
HEADS = 12
STRIDE = 10


class RawMel(nn.Module):
    """Waveform to mel power with the notebook's settings, after bringing ``sample_rate`` to 44.1 kHz."""

    def __init__(self, sample_rate: int) -> None:
        super().__init__()
        with torch.device("cpu"):  # its kernel is computed from values, which the meta device does not have
            self.resample = Resample(sample_rate, RATE)
        self.layer = MelSpectrogram(
            sr=RATE, n_fft=N_FFT, win_length=WINDOW, n_mels=MELS, hop_length=HOP, center=False, trainable_mel=True,
            verbose=False,
        )  # fmt: skip

    def forward(self, waveform: Tensor) -> Tensor:
        """``(batch, samples)`` -> ``(batch, 128, time)``, not negative."""
        with contextlib.ExitStack() as precision:
            if torch.amp.autocast_mode.is_autocast_available(waveform.device.type):  # not on the meta device
                precision.enter_context(torch.autocast(waveform.device.type, enabled=False))
            spectrum = self.layer.stft(self.resample(waveform.float()), output_format="Complex")
            power = spectrum.square().sum(-1)  # (batch, 1025, time, 2) -> (batch, 1025, time)
            mel: Tensor = self.layer.mel_basis @ power  # (batch, 128, time)
        return mel

    @staticmethod
    def frames(samples: int, sample_rate: int) -> int:
        """Frames of ``samples`` at ``sample_rate``; frames are not centred, nothing is padded."""
        return (-(-samples * RATE // sample_rate) - N_FFT) // HOP + 1


class AsCoded(nn.Module):
    """The published graph: 588 patches and two tokens for a clip of 5 s."""

    def __init__(self, task: TaskInfo) -> None:
        super().__init__()
        frames = RawMel.frames(task.clip_samples, task.sample_rate)
        if frames < PATCH:
            raise DataError(
                f"clips of {task.clip_seconds:.3g} s give {max(frames, 0)} frames; meamtm.as_coded needs {PATCH}, that "
                f"is {(N_FFT + (PATCH - 1) * HOP) / RATE:.2f} s; use longer clips or --models meamtm.micro"
            )
        self.mel = RawMel(task.sample_rate)
        self.grid = patch_grid((MELS, frames), STRIDE)
        self.patch_embed = PatchEmbed(DIM, STRIDE)
        self.cls_token = nn.Parameter(torch.randn(1, 1, DIM))
        self.dist_token = nn.Parameter(torch.randn(1, 1, DIM))
        self.pos_embed = nn.Parameter(torch.zeros(1, 2 + self.grid[0] * self.grid[1], DIM))
        self.pos_drop = nn.Dropout(0.5)
        self.blocks = nn.Sequential(*(Block(DIM, HEADS, qkv_bias=False) for _ in range(DEPTH)))
        self.norm = nn.LayerNorm(DIM)
        self.head = nn.Sequential(nn.LayerNorm(DIM), nn.Linear(DIM, task.num_classes))

    def forward(self, audio: Tensor) -> Tensor:
        """Waveform ``(batch, samples)`` in [-1, 1] -> logits ``(batch, classes)``."""
        logits: Tensor = self.head(self.embed(audio))
        return logits

    def embed(self, audio: Tensor) -> Tensor:
        """The mean of all tokens, ``(batch, 768)``, of a waveform ``(batch, samples)``."""
        patches = self.patch_embed(self.mel(audio))  # (batch, 128, time) -> (batch, patches, 768)
        first = [token.expand(len(audio), -1, -1) for token in (self.cls_token, self.dist_token)]
        tokens = torch.cat([*first, patches], dim=1)  # (batch, 2 + patches, 768)
        tokens = self.blocks(self.pos_drop(tokens + self.pos_embed))
        mean: Tensor = self.norm(tokens).mean(dim=1)  # (batch, 768)
        return mean


def build(task: TaskInfo) -> AsCoded:
    """The published graph for ``task``."""
    return AsCoded(task)
