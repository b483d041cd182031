"""Digit fusion as the published code has it, faults included; four presets, counted to the last parameter.

Source: Jaron-U/Multimodal-Image-and-Audio-Recognition-Model. Nothing is repaired here:
- `scalar` (recurrent): the recording is 507 time steps of one number, an LSTM that reads the frames' cepstra in a row;
- `flat` (transformer): the recording is one token of 507 numbers, so that its self-attention has one key;
- attention fusion asks with one image vector and one audio vector, so that it has one key as well.
Softmax over one key is 1: both attentions are linear maps of their value, their query and key weights never learn.

Differences that do not touch the graph: logits without a softmax; inputs standardised by training statistics (there
the test set by its own); features of any length brought to 39 frames; the position of the only token, a constant, is
left out; `drop_in_eval` keeps the attention dropout of the fusion on at test time as the original does, and is off in
the registered presets, whose logits must be repeatable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench import TaskInfo, takes_fields
from bench_plugins.digit_fusion.network import COEFFICIENTS, FRAMES, check_task, to_frames

FLAT = FRAMES * COEFFICIENTS
"""Numbers of a recording: 39 x 13."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AsCodedConfig:
    """What one of the four published programs chooses.

    Attributes:
        encoder: ``rnn`` (layout ``scalar``) or ``transformer`` (layout ``flat``).
        fusion: ``linear`` or ``attention``.
        kernel: Of both convolutions.
        lstm_layers: Layers of the LSTM.
        drop_in_eval: Keep the attention dropout of the fusion on in ``eval()``.
    """

    encoder: Literal["rnn", "transformer"]
    fusion: Literal["linear", "attention"]
    kernel: int = 3
    lstm_layers: int = 2
    drop_in_eval: bool = False


class Picture(nn.Module):
    """Two convolutions with pooling, 256 hidden units, dropout, output."""

    def __init__(self, kernel: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, kernel, padding=kernel // 2)
        self.conv2 = nn.Conv2d(32, 64, kernel, padding=kernel // 2)
        self.hidden = nn.Linear(64 * 7 * 7, 256)
        self.drop = nn.Dropout(0.2)
        self.out = nn.Linear(256, outputs)

    def forward(self, image: Tensor) -> Tensor:
        """``(batch, 1, 28, 28)`` -> ``(batch, outputs)``."""
        x = F.max_pool2d(F.relu(self.conv1(image)), 2)  # (batch, 32, 14, 14)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)  # (batch, 64, 7, 7)
        x = self.drop(F.relu(self.hidden(x.flatten(1))))  # (batch, 256)
        out: Tensor = self.out(x)  # (batch, outputs)
        return out


class ScalarLSTM(nn.Module):
    """The recording as 507 steps of one number; the last step's state is kept."""

    def __init__(self, layers: int, outputs: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(1, 256, layers, batch_first=True)
        self.out = nn.Linear(256, outputs)

    def forward(self, recording: Tensor) -> Tensor:
        """``(batch, 507)`` -> ``(batch, outputs)``."""
        states, _ = self.lstm(recording.unsqueeze(-1))  # (batch, 507, 1) -> (batch, 507, 256)
        out: Tensor = self.out(states[:, -1])  # (batch, outputs)
        return out


class FlatTransformer(nn.Module):
    """The recording as a single token of width 507: five layers, 13 heads, feed-forward 2048."""

    def __init__(self, outputs: int | None) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(FLAT, 13, 2048, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 5, norm=nn.LayerNorm(FLAT), enable_nested_tensor=False)
        self.out = None if outputs is None else nn.Linear(FLAT, outputs)

    def forward(self, recording: Tensor) -> Tensor:
        """``(batch, 507)`` -> ``(batch, outputs)``, or ``(batch, 507)`` without an output layer."""
        x = self.encoder(recording.unsqueeze(1)).squeeze(1)  # (batch, 1, 507) -> (batch, 507)
        out: Tensor = x if self.out is None else self.out(x)  # (batch, outputs)
        return out


class OneKeyAttention(nn.Module):
    """Image vector asks audio vector: attention with a single key, residual, norm."""

    def __init__(self, dim: int = 128, heads: int = 8, *, drop_in_eval: bool = False) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(dim, heads, dropout=0.1, batch_first=True)
        self.norm = nn.LayerNorm(dim)
        self.drop_in_eval = drop_in_eval

    def train(self, mode: bool = True) -> Self:  # noqa: FBT001, FBT002
        """Set the mode; with ``drop_in_eval`` the attention always drops, as in the original."""
        super().train(mode)
        self.attention.train(mode or self.drop_in_eval)
        return self

    def attend(self, image: Tensor, audio: Tensor) -> Tensor:
        """What the attention returns before the residual, ``(batch, dim)``."""
        key = audio.unsqueeze(1)  # (batch, 1, dim)
        heard: Tensor = self.attention(image.unsqueeze(1), key, key, need_weights=False)[0]  # (batch, 1, dim)
        return heard.squeeze(1)  # (batch, dim)

    def linear_map(self, audio: Tensor) -> Tensor:
        """The linear map that :meth:`attend` equals in ``eval()``: value projection, then output projection."""
        dim = audio.shape[1]
        weight, bias = self.attention.in_proj_weight[2 * dim :], self.attention.in_proj_bias[2 * dim :]
        return F.linear(F.linear(audio, weight, bias), self.attention.out_proj.weight, self.attention.out_proj.bias)

    def forward(self, image: Tensor, audio: Tensor) -> Tensor:
        """``image (batch, dim)``, ``audio (batch, dim)`` -> ``(batch, dim)``."""
        out: Tensor = self.norm(image + self.attend(image, audio))
        return out


class AsCoded(nn.Module):
    """One of the four published programs.

    Args:
        task: Needs 13 coefficients and a grey 28 x 28 picture, as the published data has them.
        config: Which of the four.

    Raises:
        ValueError: The task's views have other shapes.
    """

    def __init__(self, task: TaskInfo, config: AsCodedConfig) -> None:
        super().__init__()
        check_task(task, audio=True, image=True)
        if task.feature_shape is None or task.feature_shape[0] != COEFFICIENTS or task.image_shape != (1, 28, 28):
            raise ValueError(
                f"digit_fusion as coded is fixed to 13 cepstra and a (1, 28, 28) picture, the task has "
                f"{task.feature_shape} and {task.image_shape}; choose digit_fusion.transformer_attention"
            )
        classes = task.num_classes
        width = 128 if config.fusion == "attention" else classes
        self.scale_image = nn.BatchNorm2d(1, affine=False)
        self.scale_audio = nn.BatchNorm1d(FLAT, affine=False)
        self.picture = Picture(config.kernel, width)
        self.recording: nn.Module
        if config.encoder == "rnn":
            self.recording = ScalarLSTM(config.lstm_layers, width)
        else:
            self.recording = FlatTransformer(128 if config.fusion == "attention" else None)
        self.attention = OneKeyAttention(drop_in_eval=config.drop_in_eval) if config.fusion == "attention" else None
        if config.fusion == "attention":
            self.out: nn.Module = nn.Linear(128, classes)
        elif config.encoder == "rnn":
            self.out = nn.Linear(2 * classes, classes)
        else:
            self.out = nn.Sequential(nn.Linear(FLAT + classes, 1024), nn.ReLU(), nn.Linear(1024, classes))

    def forward(self, audio: Tensor, image: Tensor) -> Tensor:
        """``audio (batch, 13, time)``, ``image (batch, 1, 28, 28)`` -> logits ``(batch, classes)``."""
        seen = self.picture(self.scale_image(image))  # (batch, width)
        heard = self.recording(self.scale_audio(to_frames(audio).flatten(1)))  # (batch, 507) -> (batch, width or 507)
        both = torch.cat([seen, heard], dim=1)  # (batch, 2 classes), (batch, 507 + classes) or (batch, 256)
        logits: Tensor = self.out(both if self.attention is None else self.attention(seen, heard))  # (batch, classes)
        return logits


@takes_fields(AsCodedConfig)
def build(task: TaskInfo, **options: Any) -> AsCoded:
    """One of the four for ``task``; the options are the fields of :class:`AsCodedConfig`."""
    return AsCoded(task, AsCodedConfig(**options))
