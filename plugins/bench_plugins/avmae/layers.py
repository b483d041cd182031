"""The block that encoder and decoder are made of: timm's attention, feed-forward and stochastic depth."""

from __future__ import annotations

from timm.layers.attention import Attention
from timm.layers.drop import DropPath
from timm.layers.mlp import Mlp
from torch import Tensor, nn


class Block(nn.Module):
    """Pre-norm transformer block with one pair of LayerNorms for each named stream; all else is shared."""

    def __init__(self, dim: int, heads: int, *, drop_path: float = 0.0, streams: tuple[str, ...] = ("own",)) -> None:
        super().__init__()
        self.before_attention = nn.ModuleDict({name: nn.LayerNorm(dim) for name in streams})
        self.attention = Attention(dim, num_heads=heads, qkv_bias=True)
        self.before_mlp = nn.ModuleDict({name: nn.LayerNorm(dim) for name in streams})
        self.mlp = Mlp(dim, 4 * dim)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, stream: str = "own") -> Tensor:
        """``(batch, tokens, dim)`` -> the same."""
        x = x + self.drop_path(self.attention(self.before_attention[stream](x)))
        out: Tensor = x + self.drop_path(self.mlp(self.before_mlp[stream](x)))
        return out
