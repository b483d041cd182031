"""Digit fusion: a picture and a recording of the same thing, fused linearly or by attention.

Source: Jaron-U/Multimodal-Image-and-Audio-Recognition-Model, its document; data of Khacef et al. (Zenodo 4452953).
{BiLSTM, transformer} x {linear, attention} fusion, beside the controls that see one view only.

Deliberate differences from the published code (`as_coded.py` is that graph):
- the recording is a sequence of 39 frames of 13 cepstra (there one token of 507 numbers, or 507 steps of one
  number), and the fusion attends from 49 places of the picture to 39 frames (there from one vector to one vector,
  which makes either attention a linear map);
- pre-norm transformer with sinusoidal positions, a BiLSTM of the same size, and fusions of the same size, so that
  the four variants differ in nothing but what their names say;
- the picture becomes 7 x 7 tokens in every variant, one transformer layer lets them see each other (there a linear
  layer of 0.8 million weights over all features);
- inputs are standardised by batch normalisation without weights (there by a z-score that used the test set's own).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench import TaskInfo, takes_fields

FRAMES = 39
"""Frames of the published recordings (50 ms windows, 25 ms apart)."""

COEFFICIENTS = 13
"""Cepstral coefficients of the published recordings."""

TOKENS = (7, 7)
"""Grid of the picture after two poolings of 28 x 28."""

DIM = 128
"""Width of every token and of both views' vectors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FusionConfig:
    """What a variant chooses.

    Attributes:
        encoder: Of the recording: ``transformer`` or ``rnn``.
        fusion: ``attention`` or ``linear``.
        dropout: Inside the transformer layers; the picture's features and the classifier use 0.2.
    """

    encoder: Literal["transformer", "rnn"] = "transformer"
    fusion: Literal["attention", "linear"] = "attention"
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if self.encoder not in ("transformer", "rnn"):
            raise ValueError(f"digit_fusion encoder {self.encoder!r} is not known; choose transformer or rnn")
        if self.fusion not in ("attention", "linear"):
            raise ValueError(f"digit_fusion fusion {self.fusion!r} is not known; choose attention or linear")


def check_task(task: TaskInfo, *, audio: bool, image: bool) -> None:
    """Refuse a task that lacks a view.

    Raises:
        ValueError: No features or no image where the variant needs them.
    """
    if audio and task.feature_shape is None:
        raise ValueError("digit_fusion takes features (freq, time) but feature_shape is None; choose --frontend mfcc")
    if image and task.image_shape is None:
        raise ValueError(
            "this digit_fusion variant needs an image but image_shape is None; try digit_fusion.audio_only"
        )


def to_frames(audio: Tensor) -> Tensor:
    """Features ``(batch, freq, time)`` of any length -> ``(batch, 39, freq)``.

    Averages (or, for shorter clips, repeats) neighbouring frames: clips of one and of five seconds fit one network.
    """
    return F.adaptive_avg_pool1d(audio, FRAMES).transpose(1, 2)  # (batch, freq, 39) -> (batch, 39, freq)


def _layer(dropout: float) -> nn.TransformerEncoderLayer:
    """Pre-norm encoder layer, d 128, 4 heads, feed-forward 256."""
    return nn.TransformerEncoderLayer(DIM, 4, 256, dropout, "gelu", batch_first=True, norm_first=True)


class ImageView(nn.Module):
    """Two convolutions, 7 x 7 tokens whatever the picture's size, learned positions, one transformer layer."""

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        self.scale = nn.BatchNorm2d(channels, affine=False)
        self.features = nn.Sequential(
            nn.Conv2d(channels, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(TOKENS),
        )  # fmt: skip
        self.up = nn.Linear(64, DIM)
        self.positions = nn.Parameter(torch.randn(TOKENS[0] * TOKENS[1], DIM) * 0.02)
        self.drop = nn.Dropout(0.2)
        self.layer = _layer(dropout)
        self.norm = nn.LayerNorm(DIM)

    def forward(self, image: Tensor) -> Tensor:
        """``(batch, channels, height, width)`` -> ``(batch, 49, 128)``."""
        x = self.features(self.scale(image)).flatten(2).transpose(1, 2)  # (batch, 64, 49) -> (batch, 49, 64)
        x = self.drop(self.up(x)) + self.positions  # (batch, 49, 128)
        out: Tensor = self.norm(self.layer(x))
        return out


class AudioView(nn.Module):
    """39 frames -> 39 tokens, by a transformer of four layers or a BiLSTM of two layers and the same size."""

    positions: Tensor

    def __init__(self, coefficients: int, config: FusionConfig) -> None:
        super().__init__()
        self.scale = nn.BatchNorm1d(coefficients, affine=False)
        self.up = nn.Linear(coefficients, DIM)
        rates = torch.exp(torch.arange(DIM // 2) * (-math.log(10_000.0) / (DIM // 2)))
        angles = torch.arange(FRAMES).unsqueeze(1) * rates
        self.register_buffer("positions", torch.cat([angles.sin(), angles.cos()], 1), persistent=False)  # (39, 128)
        self.layers = nn.ModuleList()
        self.lstm = self.down = None
        if config.encoder == "transformer":
            self.layers.extend(_layer(config.dropout) for _ in range(4))
        else:
            self.lstm = nn.LSTM(DIM, 110, 2, batch_first=True, dropout=config.dropout, bidirectional=True)
            self.down = nn.Linear(220, DIM)
        self.norm = nn.LayerNorm(DIM)

    def forward(self, audio: Tensor) -> Tensor:
        """``(batch, freq, time)`` -> ``(batch, 39, 128)``."""
        x: Tensor = self.up(to_frames(self.scale(audio)))  # (batch, 39, 128)
        if self.layers:
            x = x + self.positions
        for layer in self.layers:
            x = layer(x)
        if self.lstm is not None and self.down is not None:
            x = self.down(self.lstm(x)[0])  # (batch, 39, 220) -> (batch, 39, 128)
        out: Tensor = self.norm(x)
        return out


class LinearFusion(nn.Module):
    """Concatenate both views' means; hidden size chosen to equal the attention fusion in parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Sequential(nn.Linear(2 * DIM, 171), nn.ReLU(), nn.Linear(171, DIM), nn.LayerNorm(DIM))

    def forward(self, places: Tensor, frames: Tensor) -> Tensor:
        """``places (batch, 49, 128)``, ``frames (batch, 39, 128)`` -> ``(batch, 128)``."""
        out: Tensor = self.mix(torch.cat([places.mean(1), frames.mean(1)], dim=1))  # (batch, 256) -> (batch, 128)
        return out


class AttentionFusion(nn.Module):
    """Every place of the picture asks the recording; residual, norm, mean."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(DIM, 8, dropout, batch_first=True)
        self.norm = nn.LayerNorm(DIM)

    def forward(self, places: Tensor, frames: Tensor) -> Tensor:
        """``places (batch, 49, 128)``, ``frames (batch, 39, 128)`` -> ``(batch, 128)``."""
        heard = self.attention(places, frames, frames, need_weights=False)[0]  # (batch, 49, 128)
        out: Tensor = self.norm(places + heard).mean(1)  # (batch, 128)
        return out


class DigitFusion(nn.Module):
    """Two views, one label.

    Args:
        task: Gives ``feature_shape`` (cepstra, frames), ``image_shape`` and the number of classes.
        config: Which encoder, which fusion.

    Raises:
        ValueError: The task lacks a view.
    """

    def __init__(self, task: TaskInfo, config: FusionConfig) -> None:
        super().__init__()
        check_task(task, audio=True, image=True)
        coefficients, channels = (task.feature_shape or (0,))[0], (task.image_shape or (0,))[0]
        self.image = ImageView(channels, config.dropout)
        self.audio = AudioView(coefficients, config)
        self.fusion = AttentionFusion(config.dropout) if config.fusion == "attention" else LinearFusion()
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(DIM, task.num_classes))

    def forward(self, audio: Tensor, image: Tensor) -> Tensor:
        """``audio (batch, freq, time)``, ``image (batch, channels, height, width)`` -> logits ``(batch, classes)``."""
        logits: Tensor = self.head(self.fusion(self.image(image), self.audio(audio)))  # (batch, classes)
        return logits

    def embed(self, audio: Tensor, image: Tensor) -> dict[str, Tensor]:
        """Vectors ``(batch, 128)``: each view's mean token, and the fused one before the classifier."""
        places, frames = self.image(image), self.audio(audio)  # (batch, 49, 128), (batch, 39, 128)
        return {"image": places.mean(1), "audio": frames.mean(1), "fused": self.fusion(places, frames)}


class OneView(nn.Module):
    """Control: one half of the network.

    Args:
        task: As for :class:`DigitFusion`; only the one view is needed.
        config: Of the recording's encoder.
        view: ``image`` or ``audio``.

    Raises:
        ValueError: The task lacks the view.
    """

    def __init__(self, task: TaskInfo, config: FusionConfig, view: Literal["image", "audio"]) -> None:
        super().__init__()
        check_task(task, audio=view == "audio", image=view == "image")
        channels, coefficients = (task.image_shape or (0,))[0], (task.feature_shape or (0,))[0]
        half = ImageView(channels, config.dropout) if view == "image" else AudioView(coefficients, config)
        self.add_module(view, half)
        self.view = view
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(DIM, task.num_classes))

    def forward(self, audio: Tensor | None = None, image: Tensor | None = None) -> Tensor:
        """The view's input, by position or by name, as :class:`DigitFusion` takes it -> logits ``(batch, classes)``."""
        logits: Tensor = self.head(self.embed(audio, image))  # (batch, classes)
        return logits

    def embed(self, audio: Tensor | None = None, image: Tensor | None = None) -> Tensor:
        """The mean of the view's tokens, ``(batch, 128)``."""
        out: Tensor = self.get_submodule(self.view)(image if audio is None else audio).mean(1)
        return out


@takes_fields(FusionConfig)
def build(task: TaskInfo, **options: Any) -> DigitFusion:
    """A two-view model for ``task``; the options are the fields of :class:`FusionConfig`."""
    return DigitFusion(task, FusionConfig(**options))


@takes_fields(FusionConfig)
def build_one_view(task: TaskInfo, *, view: Literal["image", "audio"], **options: Any) -> OneView:
    """The control that sees the picture or hears the recording only; the options are those of :class:`FusionConfig`."""
    return OneView(task, FusionConfig(**options), view)
