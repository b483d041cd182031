"""The block that encoder and decoder are made of: timm's attention, feed-forward and stochastic depth."""

from __future__ import annotations

import torch.nn.functional as F
from timm.layers.attention import Attention
from timm.layers.drop import DropPath
from timm.layers.mlp import Mlp
from torch import Tensor, nn


class Linear(nn.Linear):
    """``nn.Linear`` over tokens, on a CPU computed as a convolution of width one.

    The sums are the same, but torch gives float32 products to MKL, which leaves the wide vector units of AMD
    processors unused, and convolutions to oneDNN, which does not.
    """

    def forward(self, input: Tensor) -> Tensor:
        """``(batch, n, in)`` -> ``(batch, n, out)``."""
        if input.ndim != 3 or input.device.type != "cpu":
            return super().forward(input)
        picture = input.transpose(1, 2).unsqueeze(2)  # (batch, in, 1, n): channels last, nothing is copied
        return F.conv2d(picture, self.weight[:, :, None, None], self.bias).squeeze(2).transpose(1, 2)


def swap_linear(module: nn.Module) -> None:
    """Make the linear maps directly inside ``module`` ours; their weights stay."""
    for name, child in list(module.named_children()):
        if type(child) is nn.Linear:
            ours = Linear(child.in_features, child.out_features, bias=child.bias is not None)
            ours.weight, ours.bias = child.weight, child.bias
            setattr(module, name, ours)


class Block(nn.Module):
    """Pre-norm transformer block with one pair of LayerNorms for each named stream; all else is shared."""

    def __init__(self, dim: int, heads: int, *, drop_path: float = 0.0, streams: tuple[str, ...] = ("own",)) -> None:
        super().__init__()
        self.before_attention = nn.ModuleDict({name: nn.LayerNorm(dim) for name in streams})
        self.attention = Attention(dim, num_heads=heads, qkv_bias=True)
        self.before_mlp = nn.ModuleDict({name: nn.LayerNorm(dim) for name in streams})
        self.mlp = Mlp(dim, 4 * dim)
        self.drop_path = DropPath(drop_path)
        swap_linear(self.attention)
        swap_linear(self.mlp)

    def forward(self, x: Tensor, stream: str = "own") -> Tensor:
        """``(batch, tokens, dim)`` -> the same."""
        x = x + self.drop_path(self.attention(self.before_attention[stream](x)))
        out: Tensor = x + self.drop_path(self.mlp(self.before_mlp[stream](x)))
        return out
