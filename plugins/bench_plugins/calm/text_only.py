"""The control beside `calm`: the same text stream and the same layers behind it, and no sound at all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from bench import TaskInfo
from bench_plugins.calm.encoders import minilm_words
from bench_plugins.calm.network import CalmConfig, TextTokens, Trunk
from bench_plugins.calm.text import TextEncoder


class TextOnly(Trunk):
    """Text tokens -> encoder -> self-attention -> transformer encoder -> pooling -> classes.

    Args:
        task: Its ``label_names`` are prompts, as in :class:`Calm`.
        config: As for :class:`Calm`; there is nothing to attend across to.
        words: The text encoder.

    Raises:
        ValueError: ``pooling`` is ``cls``, which needs a token that this control does not have.
    """

    def __init__(self, task: TaskInfo, config: CalmConfig, words: TextEncoder) -> None:
        super().__init__()
        if config.pooling == "cls":
            raise ValueError("calm.text_only has no token for pooling 'cls'; choose mean, max or attention")
        self.text = TextTokens(task, replace(config, cross=False), config.make_encoder(), words)
        self.add_trunk(config, task.num_classes)

    def forward(self, text: Tensor, text_mask: Tensor | None = None) -> Tensor:
        """Classify texts.

        Args:
            text: ``(batch, length)`` int64 ids.
            text_mask: ``(batch, length)`` bool, True = token; ``None`` = wherever the id is not padding.

        Returns:
            Logits ``(batch, classes)``.
        """
        logits: Tensor = self.head(self.embed(text, text_mask))  # (batch, classes)
        return logits

    def embed(self, text: Tensor, text_mask: Tensor | None = None) -> Tensor:
        """The pooled vector before the head, ``(batch, dim)``; a text without a token gives zeros."""
        x, mask = self.text.encode(text, text_mask)  # (batch, m, dim), (batch, m)
        filled = mask.any(1, keepdim=True)  # (batch, 1)
        return torch.where(filled, self.pooled(x, mask | ~filled), 0.0)


def build(task: TaskInfo, **options: Any) -> TextOnly:
    """The control for ``task`` with MiniLM as text encoder; the options are the fields of :class:`CalmConfig`.

    Raises:
        CheckpointError: The package with MiniLM's weights is not installed or damaged.
    """
    return TextOnly(task, CalmConfig(**options), minilm_words(task))
