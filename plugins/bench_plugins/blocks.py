"""Parts of vision transformers that several families are made of: timm's, without what importing timm takes.

Source: Ross Wightman, PyTorch Image Models (timm 1.0), ``layers`` and ``models/vision_transformer.py``. Names of
parameters, the order in which a start is drawn and every random number are timm's (tests hold them to it), so its
checkpoints load as they are. timm imports torchvision and the compiler of torch: 1.7 s and 160 MB in each process.
Deliberate difference: options that no network here has are left out.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class DropPath(nn.Module):
    """Stochastic depth: in training a clip's branch is 0 with probability ``rate``, scaled up else."""

    def __init__(self, rate: float = 0.0) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, branch: Tensor) -> Tensor:
        """``(batch, ...)`` to the same shape."""
        if self.rate == 0 or not self.training:
            return branch
        kept = branch.new_empty(len(branch), *[1] * (branch.ndim - 1)).bernoulli_(1 - self.rate)
        return branch * kept.div_(1 - self.rate)


class PatchDropout(nn.Module):
    """In training a fraction of each clip's patches is left out: other ones of each, never the first ``prefix`` tokens.

    Source: Li et al. 2022, arXiv 2212.00794. What is kept comes in the order in which it was drawn.
    """

    def __init__(self, rate: float, *, prefix: int) -> None:
        super().__init__()
        self.rate, self.prefix = rate, prefix

    def forward(self, tokens: Tensor) -> Tensor:
        """``(batch, prefix + patches, dim)`` to ``(batch, prefix + kept, dim)``, at least one patch."""
        if self.rate == 0 or not self.training:
            return tokens
        first, patches = tokens[:, : self.prefix], tokens[:, self.prefix :]
        batch, count, dim = patches.shape
        kept = torch.randn(batch, count, device=tokens.device).argsort(1)[:, : max(1, int(count * (1 - self.rate)))]
        return torch.cat([first, patches.gather(1, kept.unsqueeze(2).expand(-1, -1, dim))], dim=1)


class Attention(nn.Module):
    """Multi-head self-attention; queries, keys and values are one matrix."""

    def __init__(self, dim: int, heads: int, *, qkv_bias: bool = True, dropout: float = 0.0) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"heads = {heads}: must divide the width, {dim}")
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim)
        self.proj_drop = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """``(batch, tokens, dim)`` to the same shape."""
        qkv = self.qkv(tokens).unflatten(2, (3, self.heads, -1))  # (batch, tokens, 3, heads, dim / heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # each (batch, heads, tokens, dim / heads)
        mixed = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)  # (batch, tokens, dim)
        out: Tensor = self.proj_drop(self.proj(mixed))
        return out


class Mlp(nn.Module):
    """Linear, GELU, Linear, by way of four times the width."""

    def __init__(self, dim: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.drop1 = nn.Dropout(dropout)
        self.fc2 = nn.Linear(4 * dim, dim)
        self.drop2 = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """``(batch, tokens, dim)`` to the same shape."""
        out: Tensor = self.drop2(self.fc2(self.drop1(F.gelu(self.fc1(tokens)))))  # via 4 * dim
        return out


class Block(nn.Module):
    """Pre-norm transformer block: attention, then feed-forward, each beside a residual."""

    def __init__(
        self, dim: int, heads: int, *, qkv_bias: bool = True, dropout: float = 0.0, drop_path: float = 0.0
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = Attention(dim, heads, qkv_bias=qkv_bias, dropout=dropout)
        self.drop_path1 = DropPath(drop_path)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, dropout=dropout)
        self.drop_path2 = DropPath(drop_path)

    def forward(self, tokens: Tensor) -> Tensor:
        """``(batch, tokens, dim)`` to the same shape."""
        tokens = tokens + self.drop_path1(self.attn(self.norm1(tokens)))
        out: Tensor = tokens + self.drop_path2(self.mlp(self.norm2(tokens)))
        return out
