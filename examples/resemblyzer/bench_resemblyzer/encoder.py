"""The speaker encoder of the package ``Resemblyzer`` 0.1.4 on a mel power spectrogram in torch.

What the package does before its network is kept where it is about level and left out where it is about speech: a clip
that is quieter than -30 dBFS is raised to that, as there; its voice activity detection is left out, since it trims a
clip without a voice to nothing and still returns a vector of length 1. A clip of digital silence is no speaker: its
vector is zero here.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench import CheckpointError, TaskInfo

RATE, WINDOW, HOP, BANDS = 16_000, 400, 160, 40
PARTIAL, STEP, COVERAGE, WIDTH = 160, 77, 0.75, 256
TARGET_DB = -30.0


class SpeakerEncoder(nn.Module):
    """Three layers of LSTM and a linear one, before a linear classifier."""

    window: Tensor
    filters: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(BANDS, WIDTH, 3, batch_first=True)
        self.linear = nn.Linear(WIDTH, WIDTH)
        self.head = nn.Linear(WIDTH, classes)
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)
        self.register_buffer("filters", mel_filters(), persistent=False)

    def forward(self, audio: Tensor, audio_samples: Tensor | None = None) -> Tensor:
        """``(batch, samples) -> (batch, classes)``."""
        logits: Tensor = self.head(self.embed(audio, audio_samples))
        return logits

    def embed(self, audio: Tensor, audio_samples: Tensor | None = None) -> Tensor:
        """``(batch, samples) -> (batch, 256)``."""
        own = [audio.shape[1]] * len(audio) if audio_samples is None else audio_samples.tolist()
        partials, counts = [], []
        for clip, count in zip(audio, own, strict=True):
            parts = self.partials(levelled(clip[: max(count, 1)]))
            partials.append(parts)
            counts.append(len(parts))
        _, (hidden, _) = self.lstm(torch.cat(partials))
        found = nn.functional.normalize(torch.relu(self.linear(hidden[-1])), dim=1)  # (partials, 256)
        means = torch.stack([part.mean(0) for part in found.split(counts)])
        heard = torch.tensor([bool(clip[:count].any()) for clip, count in zip(audio, own, strict=True)])
        return nn.functional.normalize(means, dim=1) * heard[:, None].to(means)  # (batch, 256)

    def partials(self, clip: Tensor) -> Tensor:
        """``(samples,) -> (partials, 160, 40)``: the package's slices at 1.3 a second."""
        frames = -(-(len(clip) + 1) // HOP)
        starts = list(range(0, max(1, frames - PARTIAL + STEP + 1), STEP))
        covered = (len(clip) - starts[-1] * HOP) / (PARTIAL * HOP)
        if covered < COVERAGE and len(starts) > 1:
            starts = starts[:-1]
        mel = self.mel(nn.functional.pad(clip, (0, max(0, (starts[-1] + PARTIAL) * HOP - len(clip)))))
        return torch.stack([mel[start : start + PARTIAL] for start in starts])

    def mel(self, clip: Tensor) -> Tensor:
        """``(samples,) -> (frames, 40)``: power, not its logarithm."""
        spectrum = torch.stft(clip, WINDOW, HOP, window=self.window, pad_mode="constant", return_complex=True)
        return spectrum.abs().square().T @ self.filters


def levelled(clip: Tensor) -> Tensor:
    """A clip that is not quieter than -30 dBFS; digital silence stays."""
    power = clip.double().square().mean()
    if power == 0:
        return clip
    change = TARGET_DB - 10 * torch.log10(power)
    return clip if change < 0 else clip * (10 ** (change / 20)).to(clip)


def mel_filters() -> Tensor:
    """``(201, 40)``: Slaney's triangles of equal area up to half the rate, as librosa's."""
    low = 200 / 3
    top = 15 + 27 * np.log(RATE / 2 / 1000) / np.log(6.4)
    mel = np.linspace(0, top, BANDS + 2)
    edges = np.where(mel < 15, low * mel, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))
    bins = np.linspace(0, RATE / 2, WINDOW // 2 + 1)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    filters = np.clip(np.minimum(rising, falling), 0, None) * 2 / (edges[2:] - edges[:-2])
    return torch.from_numpy(filters.astype(np.float32))


def build(task: TaskInfo) -> SpeakerEncoder:
    """The encoder with the weights of the installed package, none of whose code runs.

    Raises:
        CheckpointError: The package is not installed.
    """
    found = importlib.util.find_spec("resemblyzer")
    if found is None or not found.submodule_search_locations:
        raise CheckpointError("the model resemblyzer needs the package: pip install --no-deps Resemblyzer==0.1.4")
    model = SpeakerEncoder(task.num_classes)
    if torch.get_default_device().type == "meta":
        return model  # only counted
    file = Path(found.submodule_search_locations[0]) / "pretrained.pt"
    state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)["model_state"]
    kept = {name: x for name, x in state.items() if name.startswith(("lstm.", "linear."))}
    misfit = model.load_state_dict(kept, strict=False)
    if misfit.unexpected_keys or set(misfit.missing_keys) - {"head.weight", "head.bias"}:
        raise CheckpointError(f"{file} is not the speaker encoder of Resemblyzer 0.1.4: {misfit}")
    return model
