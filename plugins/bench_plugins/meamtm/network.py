"""The Audio Spectrogram Transformer: a log-mel image cut into patches, read by a plain transformer.

Source: Y. Gong, Y.-A. Chung, J. Glass, AST: Audio Spectrogram Transformer, arXiv 2104.01778; blocks as in timm's
vision transformer (DeiT). Deliberate differences:

- The geometry follows the task's features instead of a fixed 1024 frames, so that nothing is padded or cut.
- Sizes below DeiT-Ti (``micro``, ``mini``) exist for training from scratch on a few hundred clips.
- Patch dropout (training only) is an option from scratch; the paper has none, nor has tuning of loaded weights.
- Features arrive normalised with the training folds' statistics; the network does not normalise.
- Weights start scaled to their fan-in (Glorot; positions 1/sqrt(dim)), as in L. Beyer, X. Zhai, A. Kolesnikov, Better
  plain ViT baselines, arXiv 2205.01580. The usual fixed deviation of 0.02 suits 768 dimensions and starts the
  smaller sizes slowly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench import TaskInfo, takes_fields
from bench_plugins.blocks import Block, PatchDropout

PATCH = 16
STRIDES = (10, 12, 14, 16)


SIZES: Mapping[str, tuple[int, int, int]] = MappingProxyType(
    {"micro": (192, 3, 4), "tiny": (192, 3, 12), "mini": (384, 6, 6), "small": (384, 6, 12), "base": (768, 12, 12)}
)
"""Width, attention heads and number of blocks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AstSettings:
    """What a network is made of.

    Attributes:
        size: A key of ``SIZES``.
        heads: Attention heads instead of the size's own; a divisor of its width.
        depth: Blocks instead of the size's own.
        stride: Distance of two patches in bins and frames: 10, 12, 14 or 16 (no overlap).
        patch_dropout: Fraction of the patches left out of each training clip, 0 to below 1.
        dropout: On tokens and in the blocks, 0 to below 1.
        drop_path: Stochastic depth of the last block, rising linearly from 0 at the first; 0 to below 1.
        norm_eps: Added to the variance in every LayerNorm; 1e-6 as AST and DeiT, 1e-12 in transformers' copies.
    """

    size: str = "micro"
    heads: int | None = None
    depth: int | None = None
    stride: int = 16
    patch_dropout: float = 0.0
    dropout: float = 0.0
    drop_path: float = 0.0
    norm_eps: float = 1e-6

    def __post_init__(self) -> None:
        if self.size not in SIZES:
            raise ValueError(f"size = {self.size!r}; allowed: {', '.join(SIZES)}")
        for name, value in {"heads": self.heads, "depth": self.depth}.items():
            if value is not None and (value < 1 or (name == "heads" and SIZES[self.size][0] % value)):
                allowed = f"a divisor of {SIZES[self.size][0]}" if name == "heads" else "1 or more"
                raise ValueError(f"{name} = {value!r}; it must be {allowed}")
        if self.stride not in STRIDES:
            raise ValueError(f"stride = {self.stride!r}; allowed: {', '.join(map(str, STRIDES))}")
        for name in ("patch_dropout", "dropout", "drop_path"):
            value = getattr(self, name)
            if not 0 <= value < 1:
                raise ValueError(f"{name} = {value!r}: must be at least 0 and below 1")
        if self.norm_eps <= 0:
            raise ValueError(f"norm_eps = {self.norm_eps!r}: must be above 0, e.g. 1e-6")


def patch_grid(feature_shape: tuple[int, int], stride: int) -> tuple[int, int]:
    """``(rows, columns)`` of 16 x 16 patches, ``stride`` apart, that fit into ``(freq, time)`` features.

    >>> patch_grid((128, 512), 10)
    (12, 50)
    """
    freq, time = feature_shape
    if freq < PATCH or time < PATCH:
        raise ValueError(
            f"features of {freq} bins x {time} frames hold no {PATCH} x {PATCH} patch; use at least {PATCH} of each: "
            "longer clips, a smaller hop or more mel bins"
        )
    return (freq - PATCH) // stride + 1, (time - PATCH) // stride + 1


class PatchEmbed(nn.Module):
    """Linear map of each patch, as a strided convolution."""

    def __init__(self, dim: int, stride: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(1, dim, kernel_size=PATCH, stride=stride)

    def forward(self, features: Tensor) -> Tensor:
        """Features ``(batch, freq, time)`` to tokens ``(batch, rows * columns, dim)``, row by row."""
        patches: Tensor = self.proj(features.unsqueeze(1))  # (batch, freq, time) -> (batch, dim, rows, columns)
        return patches.flatten(2).transpose(1, 2)  # -> (batch, rows * columns, dim)


class SummaryBlock(Block):
    """The last block, of whose result the two summary tokens alone are read: the patches are keys and values only.

    ``attn`` and its ``qkv`` are not called: their parameters are used.
    """

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens ``(batch, tokens, dim)`` to the first two of what a block makes of them, ``(batch, 2, dim)``."""
        batch, count, dim = tokens.shape
        heads, size = self.attn.heads, dim // self.attn.heads
        weight, bias = self.attn.qkv.weight, self.attn.qkv.bias  # of queries, keys and values
        seen, summary = self.norm1(tokens), tokens[:, :2]
        query = F.linear(seen[:, :2], weight[:dim], bias[:dim]).view(batch, 2, heads, size).transpose(1, 2)
        pairs = F.linear(seen, weight[dim:], bias[dim:]).view(batch, count, 2, heads, size)
        key, value = pairs.permute(2, 0, 3, 1, 4)  # each (batch, heads, tokens, dim / heads)
        mixed = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)  # (batch, 2, dim)
        summary = summary + self.drop_path1(self.attn.proj_drop(self.attn.proj(mixed)))
        read: Tensor = summary + self.drop_path2(self.mlp(self.norm2(summary)))
        return read


class AudioSpectrogramTransformer(nn.Module):
    """AST over log-mel features of one shape, ``(freq, time)``; ``grid`` is ``(rows, columns)`` of patches."""

    def __init__(self, num_classes: int, feature_shape: tuple[int, int], settings: AstSettings) -> None:
        super().__init__()
        dim, heads, depth = SIZES[settings.size]
        heads, depth = settings.heads or heads, settings.depth or depth
        self.settings = settings
        self.feature_shape = feature_shape
        self.grid = patch_grid(feature_shape, settings.stride)
        self.patch_embed = PatchEmbed(dim, settings.stride)
        self.cls_token = nn.Parameter(torch.empty(1, 1, dim))
        self.dist_token = nn.Parameter(torch.empty(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.empty(1, 2 + self.grid[0] * self.grid[1], dim))
        self.pos_drop = nn.Dropout(settings.dropout)
        self.patch_drop = PatchDropout(settings.patch_dropout, prefix=2)
        rates = [settings.drop_path * i / max(1, depth - 1) for i in range(depth)]
        kinds = [Block] * (depth - 1) + [SummaryBlock]
        self.blocks = nn.Sequential(*(
            kind(dim, heads, dropout=settings.dropout, drop_path=rate) for kind, rate in zip(kinds, rates, strict=True)
        ))  # fmt: skip
        self.norm = nn.LayerNorm(dim)
        classifier = nn.Linear(dim, num_classes)
        self.head = nn.Sequential(nn.LayerNorm(dim), classifier)
        self._initialise()
        nn.init.trunc_normal_(classifier.weight, std=0.02)

    def forward(self, audio: Tensor) -> Tensor:
        """Normalised log-mel features ``(batch, freq, time)`` float32 -> logits ``(batch, num_classes)``."""
        logits: Tensor = self.head(self.embed(audio))  # (batch, freq, time) -> (batch, dim) -> (batch, num_classes)
        return logits

    def embed(self, audio: Tensor) -> Tensor:
        """The mean of the two summary tokens, ``(batch, dim)``, of features ``(batch, freq, time)``."""
        if tuple(audio.shape[1:]) != self.feature_shape or audio.ndim != 3:
            freq, time = self.feature_shape
            raise ValueError(
                f"features of shape {tuple(audio.shape)}; this network was built for (batch, {freq}, {time})"
            )
        patches = self.patch_embed(audio)  # (batch, freq, time) -> (batch, rows * columns, dim)
        first = [token.expand(len(audio), -1, -1) for token in (self.cls_token, self.dist_token)]
        tokens = torch.cat([*first, patches], dim=1)  # -> (batch, 2 + rows * columns, dim)
        tokens = self.pos_drop(tokens + self.pos_embed)
        tokens = self.patch_drop(tokens)  # training: -> (batch, 2 + kept, dim)
        summaries = self.norm(self.blocks(tokens))  # -> (batch, 2, dim)
        summary: Tensor = (summaries[:, 0] + summaries[:, 1]) / 2  # -> (batch, dim)
        return summary

    def _initialise(self) -> None:
        for token in (self.cls_token, self.dist_token):
            nn.init.trunc_normal_(token, std=0.02)
        nn.init.normal_(self.pos_embed, std=self.pos_embed.shape[-1] ** -0.5)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Conv2d):
                nn.init.trunc_normal_(module.weight, std=1 / PATCH)
            elif isinstance(module, nn.LayerNorm):
                module.eps = self.settings.norm_eps


@takes_fields(AstSettings)
def build(
    task: TaskInfo,
    *,
    weights: str | Path | None = None,
    weights_grid: tuple[int, int] | None = None,
    head: Literal["new", "load"] = "new",
    **settings: Any,
) -> AudioSpectrogramTransformer:
    """Build the network.

    Args:
        task: Its ``num_classes`` and ``feature_shape`` set the geometry.
        weights: A ``.safetensors``, ``.bin``, ``.pt`` or ``.pth`` file, or a folder in transformers' layout, holding
            an AST (transformers' or the authors' names) or a timm DeiT or ViT; ``None`` = from scratch.
        weights_grid: ``(rows, columns)`` of the checkpoint's patches, where their number alone does not tell.
        head: ``new`` starts a fresh classifier; ``load`` takes the checkpoint's, which must have the task's classes.
        settings: Fields of :class:`AstSettings`; with ``weights``, ``norm_eps`` is the checkpoint's own unless given,
            and ``patch_dropout`` is 0: they were trained on whole clips.

    Raises:
        CheckpointError: ``weights`` is missing, unreadable or does not fit.
        TypeError: Unknown setting.
        ValueError: A setting is out of range, or the features are smaller than a patch.
    """
    from bench_plugins.meamtm.weights import load_into, read_checkpoint

    if task.feature_shape is None:
        raise ValueError("this task has no feature_shape; the transformer reads log-mel features: choose a front end")
    if head not in ("new", "load"):
        raise ValueError(f"head = {head!r}; allowed: 'new', 'load'")
    if weights is None:
        if weights_grid is not None or head != "new":
            raise ValueError("weights_grid and head='load' describe a checkpoint; give weights=FILE too")
        return AudioSpectrogramTransformer(task.num_classes, task.feature_shape, AstSettings(**settings))
    checkpoint = read_checkpoint(Path(weights))
    settings = {"norm_eps": checkpoint.norm_eps, **settings, "patch_dropout": 0.0}
    model = AudioSpectrogramTransformer(task.num_classes, task.feature_shape, AstSettings(**settings))
    load_into(model, checkpoint, with_head=head == "load", grid=weights_grid)
    return model
