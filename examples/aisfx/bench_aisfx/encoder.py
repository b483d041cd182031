"""The encoder of the package ``aisfx`` 0.1.2, with its log-mel in torch.

The package computes its spectrograms by Essentia (no peak normalisation) and divides them by the largest value of its
training data. Its librosa path does something else: it normalises peaks and hands over mel x time where the network
takes time x mel. Here everything is as in the Essentia path: Hann window of 2 048 samples every 1 024, power, 96
triangles that are linear in mel (HTK's formula) and sum to 1, log10(1 + 10 000 x), divided by 9.4578.

Blocks of 100 frames every 50 go through the network; a clip's vector is their mean. A last block that is not whole is
dropped, and a clip that is shorter than a block is filled with silence.
"""

from __future__ import annotations

import importlib.util
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench import CheckpointError, TaskInfo

RATE, WINDOW, HOP, BANDS = 44_100, 2048, 1024, 96
LARGEST = 9.457798957824707
BLOCK, STEP, WIDTH = 100, 50, 512
_ROWS = 64


class Aisfx(nn.Module):
    """The convolutions of X-Sequential-CE behind their log-mel and before a linear classifier."""

    window: Tensor
    filters: Tensor

    def __init__(self, network: nn.Module, classes: int) -> None:
        super().__init__()
        self.network = network
        self.head = nn.Linear(WIDTH, classes)
        window = 0.5 - 0.5 * torch.cos(2 * torch.pi * torch.arange(WINDOW) / (WINDOW - 1))
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("filters", mel_filters(), persistent=False)

    def forward(self, audio: Tensor, audio_samples: Tensor | None = None) -> Tensor:
        """``(batch, samples) -> (batch, classes)``."""
        logits: Tensor = self.head(self.embed(audio, audio_samples))
        return logits

    def embed(self, audio: Tensor, audio_samples: Tensor | None = None) -> Tensor:
        """``(batch, samples) -> (batch, 512)``."""
        own = torch.full((len(audio),), audio.shape[1]) if audio_samples is None else audio_samples.cpu()
        mel = self.log_mel(audio)  # (batch, frames, 96)
        mel = nn.functional.pad(mel, (0, 0, 0, max(0, BLOCK - mel.shape[1])))
        blocks = mel.unfold(1, BLOCK, STEP).transpose(2, 3)  # (batch, blocks, 100, 96)
        frames = 1 + torch.div(own, HOP, rounding_mode="floor")
        counts = (1 + torch.div(frames - BLOCK, STEP, rounding_mode="floor")).clamp(1, blocks.shape[1])
        heard = torch.arange(blocks.shape[1]) < counts[:, None]
        rows = torch.cat([self.network(part) for part in blocks[heard.to(audio.device)].split(_ROWS)])  # (heard, 512)
        return torch.stack([part.mean(0) for part in rows.split(counts.tolist())])  # (batch, 512)

    def log_mel(self, audio: Tensor) -> Tensor:
        """``(batch, samples) -> (batch, frames, 96)``; a frame is centred on every 1 024th sample."""
        frames = nn.functional.pad(audio, (WINDOW // 2, WINDOW // 2)).unfold(1, WINDOW, HOP)
        power = torch.fft.rfft(frames * self.window).abs().square()  # (batch, frames, 1025)
        return torch.log10(1 + 1e4 * (power @ self.filters)) / LARGEST


def mel_filters() -> Tensor:
    """``(1025, 96)``: triangles from 0 Hz to half the rate that are linear in mel, each with sum 1."""
    mel = 1127 * np.log1p(np.linspace(0, RATE / 2, WINDOW // 2 + 1) / 700)
    edges = np.linspace(0, mel[-1], BANDS + 2)
    rising = (mel[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - mel[:, None]) / (edges[2:] - edges[1:-1])
    filters = np.clip(np.minimum(rising, falling), 0, None)
    return torch.from_numpy((filters / filters.sum(0)).astype(np.float32))


def build(task: TaskInfo) -> Aisfx:
    """The encoder with the weights of the installed package, none of whose code but the network's runs.

    Raises:
        CheckpointError: The package is not installed.
    """
    found = importlib.util.find_spec("aisfx")
    if found is None or not found.submodule_search_locations:
        raise CheckpointError("the model aisfx needs the package: pip install --no-deps aisfx==0.1.2")
    folder = Path(found.submodule_search_locations[0]) / "models"
    network = runpy.run_path(str(folder / "cnn2d.py"))["EmbeddingNet"]("max", 3, 1, 64)
    if torch.get_default_device().type == "meta":
        return Aisfx(network, task.num_classes)  # only counted
    prefix = "embedding_net."
    state = weights(folder / "checkpoint.pth")
    network.load_state_dict({k.removeprefix(prefix): x for k, x in state.items() if k.startswith(prefix)}, strict=True)
    return Aisfx(network, task.num_classes)


def weights(path: Path) -> dict[str, Tensor]:
    """The tensors of the checkpoint: a pair with the numbers of classes, which are NumPy scalars.

    It is read by ``weights_only``, and of NumPy these three may be named in it.
    """
    scalar: Any = np._core.multiarray.scalar
    safe = [(scalar, "numpy.core.multiarray.scalar"), np.dtype, type(np.dtype(np.int64))]
    with torch.serialization.safe_globals(safe):
        state, _ = torch.load(path, map_location="cpu", weights_only=True)
    return dict(state)
