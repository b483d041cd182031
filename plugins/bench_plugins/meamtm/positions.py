"""Learned positions, moved from one grid of patches to another."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from bench import CheckpointError
from bench_plugins.meamtm.network import STRIDES, patch_grid

SUMMARY = 2
"""Summary tokens before the patches: CLS and DIST."""


def fit_positions(
    positions: Tensor, grid: tuple[int, int], origin: str, *, source: tuple[int, int] | None = None
) -> Tensor:
    """Bring learned positions to another grid of patches.

    Fewer columns at the same rows are the middle ones, since a column keeps its duration; everything else is
    bilinear interpolation. AST does the same.

    Args:
        positions: ``(1, 2 + patches, dim)``.
        grid: ``(rows, columns)`` wanted.
        origin: Where they came from, for messages.
        source: ``(rows, columns)`` they were learned on; found out where ``None``.

    Returns:
        Positions ``(1, 2 + rows * columns, dim)``.

    Raises:
        CheckpointError: The source grid is unknown or contradicts the number of positions.
    """
    patches = positions.shape[1] - SUMMARY
    rows, columns = _source_grid(patches, grid, origin) if source is None else source
    if rows * columns != patches:
        raise CheckpointError(f"{origin} has positions for {patches} patches, not for {rows} x {columns}")
    if (rows, columns) == grid:
        return positions
    image = positions[:, SUMMARY:].transpose(1, 2)  # (1, 2 + patches, dim) -> (1, dim, patches)
    image = image.reshape(1, -1, rows, columns)
    if rows == grid[0] and columns > grid[1]:
        start = (columns - grid[1]) // 2
        image = image[..., start : start + grid[1]]  # -> (1, dim, rows, fewer columns)
    else:
        image = F.interpolate(image.float(), size=grid, mode="bilinear", align_corners=False).to(image.dtype)
    return torch.cat([positions[:, :SUMMARY], image.flatten(2).transpose(1, 2)], dim=1)


def _source_grid(patches: int, grid: tuple[int, int], origin: str) -> tuple[int, int]:
    if patches == grid[0] * grid[1]:
        return grid
    square = math.isqrt(patches)
    if square * square == patches:  # an image network: 14 x 14
        return square, square
    rows = {patch_grid((128, 128), stride)[0] for stride in STRIDES}  # AST reads 128 mel bins
    possible = sorted(r for r in rows if patches % r == 0)
    if len(possible) == 1:
        return possible[0], patches // possible[0]
    shown = " or ".join(f"({r}, {patches // r})" for r in possible) or "(rows, columns)"
    raise CheckpointError(f"{origin} has positions for {patches} patches; say how they lie: weights_grid={shown}")
