"""Which patches a masked autoencoder hides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

MaskKind = Literal["unstructured", "time", "freq", "time_freq"]


@dataclass(frozen=True, slots=True)
class Mask:
    """Indices of the patches that the encoder sees ``(batch, visible)`` and of those it must guess, int64."""

    visible: Tensor
    hidden: Tensor


def draw_mask(batch: int, shape: tuple[int, int], ratio: float, kind: MaskKind, device: torch.device) -> Mask:
    """Hide ``ratio`` of the patches of every clip, each clip its own.

    Args:
        batch: Number of clips.
        shape: Patches down (frequency) and across (time).
        ratio: Fraction hidden, in [0, 1); at least one patch stays visible.
        kind: ``unstructured`` hides single patches, ``time`` whole columns, ``freq`` whole rows, ``time_freq`` both.
            Since every clip keeps the same number of patches, one column or row may be hidden in part.
        device: Where the indices are needed.
    """
    if not 0 <= ratio < 1:
        raise ValueError(f"mask ratio {ratio} is out of range; allowed are 0 up to, not including, 1")
    rows, columns = shape
    if (rows == 1 and "freq" in kind) or (columns == 1 and "time" in kind):
        raise ValueError(f"mask {kind!r} needs several rows and columns; {rows} x {columns} patches: make them smaller")
    down = torch.rand(batch, rows, 1, device=device).expand(batch, rows, columns)
    across = torch.rand(batch, 1, columns, device=device).expand(batch, rows, columns)
    if kind == "unstructured":
        score = torch.rand(batch, rows, columns, device=device)
    elif kind == "time":
        score = across
    elif kind == "freq":
        score = down
    elif kind == "time_freq":
        score = torch.minimum(down, across)
    else:
        raise ValueError(f"mask {kind!r} is not known; choose unstructured, time, freq or time_freq")
    order = score.reshape(batch, -1).argsort(dim=1, descending=True, stable=True)  # (batch, tokens)
    keep = max(1, round(rows * columns * (1 - ratio)))
    return Mask(order[:, :keep], order[:, keep:])


def pick(tokens: Tensor, index: Tensor) -> Tensor:
    """``tokens (batch, n, dim)`` at ``index (batch, k)`` -> ``(batch, k, dim)``."""
    return tokens.gather(1, index.unsqueeze(-1).expand(-1, -1, tokens.shape[2]))


def put_back(visible: Tensor, filler: Tensor, mask: Mask) -> Tensor:
    """Visible tokens in their places, ``filler (dim,)`` where others are hidden -> ``(batch, tokens, dim)``."""
    hidden = filler.expand(len(visible), mask.hidden.shape[1], -1)
    tokens = torch.cat([visible, hidden.to(visible.dtype)], dim=1)  # (batch, tokens, dim), shuffled
    places = torch.cat([mask.visible, mask.hidden], dim=1).argsort(dim=1)
    return pick(tokens, places)
