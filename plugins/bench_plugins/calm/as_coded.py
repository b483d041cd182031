"""CALM as the published code has it: one vector per clip, attention and pooling over the batch.

Source: developerdhruv/Cross-Attention-Based-Large-Audio-Model, `lam.py` and `layers/`. Its attention modules are
handed matrices (clips, 1024) and so take the batch for a sequence: every clip attends to its batch mates; the mean
over dimension 0 then leaves one vector, and one answer, for the whole batch. Nothing of that is repaired, which is
why the registered model is not inductive and never ranked.

What is not the original: its 1024-d vectors come from a frozen MS-CLAP, which is no dependency of this project.
:class:`ClapGraph` is the graph on vectors given from anywhere. The registered preset feeds it stand-ins: mean and
deviation of the clip's cepstra, and the class names' hashed words, both through a fixed random projection. Its row
shows what the graph does, not what CLAP knows. Softmax is left to the scorer.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench import TaskInfo
from bench_plugins.calm.text import VOCABULARY, class_bank

WIDTH = 1024
"""Width of a CLAP vector."""


class ClapGraph(nn.Module):
    """The published graph on given vectors; with the original's 10 classes it has 8.93 M parameters."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.cross = nn.MultiheadAttention(WIDTH, 8)
        self.self_attention = nn.MultiheadAttention(WIDTH, 8)
        self.dense = nn.Linear(WIDTH, 512)
        self.out = nn.Linear(512, num_classes)

    def forward(self, audio: Tensor, text: Tensor) -> Tensor:
        """``audio (clips, 1024)``, ``text (sentences, 1024)`` -> one ``(classes,)`` for all clips together."""
        x = self.cross(text, audio, audio, need_weights=False)[0]  # (sentences, 1024), over the clips of the batch
        x = self.self_attention(x, x, x, need_weights=False)[0]  # (sentences, 1024), over the sentences
        x = F.relu(self.dense(x)).mean(0)  # (sentences, 512) -> (512,)
        out: Tensor = self.out(x)  # (classes,)
        return out


class AsCoded(nn.Module):
    """The published graph on stand-ins for its CLAP vectors."""

    audio_map: Tensor
    text_vectors: Tensor

    def __init__(self, task: TaskInfo) -> None:
        super().__init__()
        if task.feature_shape is None:
            raise ValueError("calm takes features (freq, time) but feature_shape is None; choose --frontend mfcc")
        fixed = torch.Generator("cpu").manual_seed(0)
        summary = 2 * task.feature_shape[0]
        self.scale = nn.BatchNorm1d(summary, affine=False)
        self.register_buffer("audio_map", torch.randn(summary, WIDTH, generator=fixed, device="cpu") / summary**0.5)
        words = torch.randn(VOCABULARY, WIDTH, generator=fixed, device="cpu")
        words[0] = 0.0  # padding adds nothing
        bank = class_bank(task.label_names, task.num_classes)  # (classes, words)
        self.register_buffer("text_vectors", words[bank].sum(1) / bank.ne(0).sum(1, keepdim=True))  # (classes, 1024)
        self.graph = ClapGraph(task.num_classes)

    def forward(self, audio: Tensor) -> Tensor:
        """``(batch, freq, time)`` -> logits ``(batch, classes)``, the same row for every clip of the batch."""
        summary = torch.cat([audio.mean(2), audio.std(2)], dim=1)  # (batch, 2 freq)
        answer = self.graph(self.scale(summary) @ self.audio_map, self.text_vectors)  # (classes,)
        logits: Tensor = answer.expand(len(audio), -1)  # (batch, classes)
        return logits


def build(task: TaskInfo) -> AsCoded:
    """The published graph for ``task``."""
    return AsCoded(task)
