"""The parts that `calm` is made of: attention under a mask, encoders, pooling, positions."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Pooling = Literal["mean", "max", "attention", "cls"]


def sinusoids(length: int, dim: int, *, device: torch.device | None = None) -> Tensor:
    """Sinusoidal positions ``(length, dim)``: sines in the first half, cosines in the second."""
    rates = torch.exp(torch.arange(dim // 2, device=device) * (-math.log(10_000.0) / (dim // 2)))
    angles = torch.arange(length, device=device).unsqueeze(1) * rates  # (length, dim/2)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class Attention(nn.Module):
    """Multi-head attention from ``query`` to ``memory``; masked tokens of the memory are never looked at.

    A query whose memory has no token at all gets zeros, so that an empty text adds nothing.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"dim {dim} is not a multiple of heads {heads}; choose e.g. heads={math.gcd(dim, 8)}")
        self.heads = heads
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, query: Tensor, memory: Tensor, mask: Tensor | None = None) -> Tensor:
        """``query (batch, n, dim)``, ``memory (batch, m, dim)``, ``mask (batch, m)`` -> ``(batch, n, dim)``."""
        batch, length, dim = query.shape
        q = self.query(query).view(batch, length, self.heads, -1).transpose(1, 2)  # (batch, heads, n, dim/heads)
        kv = self.key_value(memory).view(*memory.shape[:2], 2, self.heads, -1)  # (batch, m, 2, heads, dim/heads)
        k, v = kv.permute(2, 0, 3, 1, 4)  # each (batch, heads, m, dim/heads)
        seen = filled = None
        if mask is not None:
            filled = mask.any(dim=1)  # (batch,)
            seen = (mask | ~filled.unsqueeze(1))[:, None, None, :]  # (batch, 1, 1, m)
        x = F.scaled_dot_product_attention(q, k, v, attn_mask=seen)
        x = self.out(x.transpose(1, 2).reshape(batch, length, dim))  # (batch, n, dim)
        out: Tensor = x if filled is None else x * filled[:, None, None]
        return out


class Attend(nn.Module):
    """Pre-norm attention with residual: of a stream to itself, or with ``cross`` to the other one."""

    def __init__(self, dim: int, heads: int, dropout: float, *, cross: bool = False) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.norm_memory = nn.LayerNorm(dim) if cross else None
        self.attention = Attention(dim, heads)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None, *, memory: Tensor | None = None) -> Tensor:
        """``x (batch, n, dim)``, ``memory (batch, m, dim)`` (else x itself) and its mask -> ``(batch, n, dim)``."""
        y = self.norm(x)
        looked_at = y if self.norm_memory is None else self.norm_memory(memory)
        out: Tensor = x + self.drop(self.attention(y, looked_at, mask))
        return out


class EncoderLayer(nn.Module):
    """Pre-norm transformer encoder layer."""

    def __init__(self, dim: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.attend = Attend(dim, heads, dropout)
        self.mlp = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim), nn.Dropout(dropout)
        )

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """``(batch, n, dim)`` -> the same."""
        x = self.attend(x, mask)
        out: Tensor = x + self.mlp(x)
        return out


class ConvBlock(nn.Module):
    """LayerNorm, depthwise convolution over time, gated pointwise layer, projection, residual."""

    def __init__(self, dim: int, dropout: float, kernel: int = 5) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.depthwise = nn.Conv1d(dim, dim, kernel, padding=kernel // 2, groups=dim)
        self.gate = nn.Linear(dim, 2 * dim)
        self.out = nn.Linear(dim, dim)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """``(batch, n, dim)`` -> the same; padding enters the convolution as zeros."""
        y = self.norm(x)
        if mask is not None:
            y = y * mask.unsqueeze(-1)
        y = self.depthwise(y.transpose(1, 2)).transpose(1, 2)  # over time: (batch, dim, n), back to (batch, n, dim)
        y = F.gelu(F.glu(self.gate(y), dim=-1))  # (batch, n, 2 dim) -> (batch, n, dim)
        out: Tensor = x + self.drop(self.out(y))
        return out


class ConvEncoder(nn.Module):
    """Two convolution blocks."""

    def __init__(self, dim: int, dropout: float) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(ConvBlock(dim, dropout) for _ in range(2))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """``(batch, n, dim)`` -> the same."""
        for block in self.blocks:
            x = block(x, mask)
        return x


class RecurrentEncoder(nn.Module):
    """Bidirectional GRU with residual; the backward half starts at the last token of each stream, not at padding."""

    def __init__(self, dim: int, dropout: float) -> None:
        super().__init__()
        self.ahead = nn.GRU(dim, dim // 2, batch_first=True)
        self.back = nn.GRU(dim, dim // 2, batch_first=True)
        self.norm = nn.LayerNorm(dim)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """``(batch, n, dim)`` -> the same; padding, where there is any, stands at the end."""
        steps = torch.arange(x.shape[1], device=x.device)  # (n,)
        length = steps.new_full((len(x), 1), x.shape[1]) if mask is None else mask.sum(1, keepdim=True)  # (batch, 1)
        turned = torch.where(steps < length, length - 1 - steps, steps).unsqueeze(-1)  # (batch, n, 1), its own inverse
        back = self.back(x.gather(1, turned.expand_as(x)))[0]  # (batch, n, dim/2), last token first
        back = back.gather(1, turned.expand_as(back))  # (batch, n, dim/2), first token first
        y = torch.cat([self.ahead(x)[0], back], dim=2)  # (batch, n, dim)
        out: Tensor = self.norm(x + self.drop(y))
        return out


class Pool(nn.Module):
    """Tokens -> one vector, by mean, maximum, learned attention, or a token of its own (``cls``)."""

    def __init__(self, dim: int, how: Pooling) -> None:
        super().__init__()
        if how not in ("mean", "max", "attention", "cls"):
            raise ValueError(f"pooling {how!r} is not known; choose mean, max, attention or cls")
        self.how = how
        self.score = nn.Linear(dim, 1) if how == "attention" else None

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """``x (batch, n, dim)``, ``mask (batch, n)`` -> ``(batch, dim)``; every row needs one token."""
        if self.how == "cls":
            return x[:, 0]  # (batch, dim)
        known = mask.unsqueeze(-1)  # (batch, n, 1)
        if self.how == "max":
            return x.masked_fill(~known, float("-inf")).amax(1)  # (batch, dim)
        if self.score is not None:
            weights = self.score(x).masked_fill(~known, float("-inf")).softmax(1)  # (batch, n, 1)
            out: Tensor = (x * weights).sum(1)  # (batch, dim)
            return out
        return (x * known).sum(1) / known.sum(1)  # (batch, dim)
