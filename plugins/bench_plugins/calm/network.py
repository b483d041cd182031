"""CALM: audio and text meet through cross-attention.

Source: developerdhruv/Cross-Attention-Based-Large-Audio-Model (2024), the description: MFCC audio and text ->
shared encoder -> cross-attention -> self-attention layer -> transformer encoder -> pooling -> dense -> classes.
It publishes no size, data set or result; sizes here are this project's choice.

Deliberate differences from the published code (`as_coded.py` is that graph):
- the transformer encoder is used (there it is imported and never called), pooling is over the tokens of a clip
  (there over the batch), and the loss sees logits (there a softmax);
- attention runs over time steps and words (there over one vector per clip and sentence);
- data sets without texts use the bank of all class names as the text of every clip, so text cannot tell the label;
- MFCC every 20 ms, so that a token after the two strided convolutions covers 80 ms: half the work of 10 ms and,
  on small data, no worse. Cepstra are standardised by a batch normalisation without weights, since their sizes
  differ by orders of magnitude; a clip's own mean is kept, since it tells steady sounds apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench import TaskInfo, takes_fields
from bench_plugins.calm.layers import Attend, ConvEncoder, EncoderLayer, Pool, Pooling, RecurrentEncoder, sinusoids
from bench_plugins.calm.text import HashText, TextEncoder


@dataclass(frozen=True, slots=True, kw_only=True)
class CalmConfig:
    """What a variant chooses.

    Attributes:
        dim: Width of the tokens.
        heads: Heads of every attention.
        encoder: ``conv`` or ``rnn``.
        shared: One encoder for both streams, or one each.
        cross: Attend between the streams, both ways.
        self_attention: The self-attention layer before the transformer encoder.
        text_encoder: ``hash_embed`` (learned vectors of hashed words) or ``none`` (audio only).
        pooling: ``mean``, ``max``, ``attention`` or ``cls``.
        dropout: Probability inside the blocks; the head uses twice as much.
    """

    dim: int = 256
    heads: int = 8
    encoder: Literal["conv", "rnn"] = "conv"
    shared: bool = True
    cross: bool = True
    self_attention: bool = True
    text_encoder: Literal["hash_embed", "none"] = "hash_embed"
    pooling: Pooling = "mean"
    dropout: float = 0.1

    def make_encoder(self) -> nn.Module:
        """One encoder of the chosen kind."""
        if self.encoder not in ("conv", "rnn"):
            raise ValueError(f"calm encoder {self.encoder!r} is not known; choose conv or rnn")
        kind = ConvEncoder if self.encoder == "conv" else RecurrentEncoder
        return kind(self.dim, self.dropout)


class AudioTokens(nn.Module):
    """Cepstra -> tokens at a quarter of the frame rate."""

    def __init__(self, bins: int, dim: int) -> None:
        super().__init__()
        self.scale = nn.BatchNorm1d(bins, affine=False)
        self.up = nn.Linear(bins, dim)
        self.strided = nn.ModuleList(nn.Conv1d(dim, dim, 3, stride=2, padding=1) for _ in range(2))

    def forward(self, audio: Tensor) -> Tensor:
        """``(batch, freq, time)`` -> ``(batch, ceil(time / 4), dim)``."""
        x = self.up(self.scale(audio).transpose(1, 2)).transpose(1, 2)  # (batch, dim, time)
        for conv in self.strided:
            x = F.gelu(conv(x))  # (batch, dim, time/2), then (batch, dim, time/4)
        out: Tensor = x.transpose(1, 2)  # (batch, time/4, dim)
        return out


class TextTokens(nn.Module):
    """Words -> tokens of the model's width, with a residual cross-attention each way to the audio."""

    def __init__(
        self, task: TaskInfo, config: CalmConfig, encoder: nn.Module, words: TextEncoder | None = None
    ) -> None:
        super().__init__()
        dim = config.dim
        self.words: TextEncoder = HashText(task.label_names, task.num_classes) if words is None else words
        self.up = nn.Linear(self.words.width, dim)
        self.modality = nn.Parameter(torch.randn(dim) * 0.02)
        self.drop = nn.Dropout(config.dropout)
        self.encoder = encoder
        self.to_audio = self.to_text = None
        if config.cross:
            self.to_audio = Attend(dim, config.heads, config.dropout, cross=True)
            self.to_text = Attend(dim, config.heads, config.dropout, cross=True)

    def forward(self, audio: Tensor, text: Tensor | None, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Encode the text ``(batch, m)`` and let it and the audio tokens ``(batch, n, dim)`` look at each other.

        Gives audio ``(batch, n, dim)``, text ``(batch, m, dim)`` and the mask ``(batch, m)`` of the text.
        """
        tokens, mask = self.encode(text, mask)
        tokens = tokens.expand(len(audio), -1, -1)  # (batch, m, dim)
        mask = mask.expand(len(audio), -1)  # (batch, m)
        if self.to_audio is None or self.to_text is None:
            return audio, tokens, mask
        return self.to_text(audio, mask, memory=tokens), self.to_audio(tokens, memory=audio), mask

    def encode(self, text: Tensor | None, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Tokens ``(batch, m, dim)`` of a text and their mask ``(batch, m)``; for the class bank batch is 1."""
        tokens, mask = self.words(text, mask)  # (batch or 1, m, width), (batch or 1, m)
        tokens = self.up(tokens) + self.modality  # (batch or 1, m, dim)
        tokens = self.drop(tokens + sinusoids(tokens.shape[1], tokens.shape[2], device=tokens.device))
        return self.encoder(tokens, mask), mask


class Trunk(nn.Module):
    """What stands behind the streams: self-attention, transformer encoder, pooling, classifier."""

    def add_trunk(self, config: CalmConfig, classes: int) -> None:
        """Make the layers, after those of the streams."""
        dim, heads, dropout = config.dim, config.heads, config.dropout
        self.self_attention = Attend(dim, heads, dropout) if config.self_attention else None
        self.layers = nn.ModuleList(EncoderLayer(dim, heads, 4 * dim, dropout) for _ in range(2))
        self.norm = nn.LayerNorm(dim)
        self.pool = Pool(dim, config.pooling)
        self.head = nn.Sequential(
            nn.Linear(dim, dim // 2), nn.GELU(), nn.Dropout(2 * dropout), nn.Linear(dim // 2, classes)
        )

    def pooled(self, x: Tensor, mask: Tensor) -> Tensor:
        """Tokens ``(batch, n, dim)`` under ``mask (batch, n)`` -> the vector before the head, ``(batch, dim)``."""
        if self.self_attention is not None:
            x = self.self_attention(x, mask)
        for layer in self.layers:
            x = layer(x, mask)
        out: Tensor = self.pool(self.norm(x), mask)  # (batch, dim)
        return out


class Calm(Trunk):
    """The cross-attention audio-text classifier; ``words`` stands in the place of the hashed words."""

    def __init__(self, task: TaskInfo, config: CalmConfig, words: TextEncoder | None = None) -> None:
        super().__init__()
        if task.feature_shape is None:
            raise ValueError("calm takes features (freq, time) but feature_shape is None; choose --frontend mfcc")
        dim = config.dim
        self.audio = AudioTokens(task.feature_shape[0], dim)
        self.modality = nn.Parameter(torch.randn(dim) * 0.02)
        self.drop = nn.Dropout(config.dropout)
        self.encoder = config.make_encoder()
        self.text = None
        if config.text_encoder == "hash_embed":
            self.text = TextTokens(task, config, self.encoder if config.shared else config.make_encoder(), words)
        elif config.text_encoder != "none":
            raise ValueError(f"calm text_encoder {config.text_encoder!r} is not known; choose hash_embed or none")
        self.cls = nn.Parameter(torch.randn(1, 1, dim) * 0.02) if config.pooling == "cls" else None
        self.add_trunk(config, task.num_classes)

    def forward(self, audio: Tensor, text: Tensor | None = None, text_mask: Tensor | None = None) -> Tensor:
        """Classify clips.

        Args:
            audio: Cepstra ``(batch, freq, time)``.
            text: ``(batch, length)`` int64 ids of its text encoder's words; ``None`` = the class bank.
            text_mask: ``(batch, length)`` bool, True = token.

        Returns:
            Logits ``(batch, classes)``.
        """
        logits: Tensor = self.head(self.embed(audio, text, text_mask))  # (batch, classes)
        return logits

    def embed(self, audio: Tensor, text: Tensor | None = None, text_mask: Tensor | None = None) -> Tensor:
        """The pooled vector before the head, ``(batch, dim)``; arguments as in :meth:`forward`."""
        x = self.audio(audio) + self.modality  # (batch, n, dim)
        x = self.drop(x + sinusoids(x.shape[1], x.shape[2], device=x.device))
        x = self.encoder(x)
        mask = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)  # (batch, n)
        if self.text is not None:
            x, words, words_mask = self.text(x, text, text_mask)
            x = torch.cat([x, words], dim=1)  # (batch, n + m, dim)
            mask = torch.cat([mask, words_mask], dim=1)  # (batch, n + m)
        if self.cls is not None:
            x = torch.cat([self.cls.expand(len(x), -1, -1), x], dim=1)  # (batch, 1 + n + m, dim)
            mask = F.pad(mask, (1, 0), value=True)  # (batch, 1 + n + m)
        return self.pooled(x, mask)  # (batch, dim)


@takes_fields(CalmConfig)
def build(task: TaskInfo, **options: Any) -> Calm:
    """A model for ``task``; the options are the fields of :class:`CalmConfig`."""
    return Calm(task, CalmConfig(**options))
