"""Spectrograms and pictures as patches: geometry, positions, embedding, pixels back."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench import TaskInfo
from bench_plugins.avmae.masking import pick

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
SHORTEST = 15
"""Patches in time that a short clip is still cut into."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """How one modality is cut: channels, rows and columns after padding, and ``(rows, columns)`` of a patch."""

    channels: int
    height: int
    width: int
    patch: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int]:
        """Patches down and across."""
        return self.height // self.patch[0], self.width // self.patch[1]

    @property
    def tokens(self) -> int:
        """Number of patches."""
        return self.shape[0] * self.shape[1]

    @property
    def pixels(self) -> int:
        """Numbers in one patch."""
        return self.channels * self.patch[0] * self.patch[1]


def _up(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple


def audio_grid(feature_shape: tuple[int, int], patch: tuple[int, int] | None = None) -> Grid:
    """Patches of a spectrogram.

    Without ``patch``: 16 x 16, time padded to a multiple of 8 patches; few bins: 4 frames of all bins.
    With it: that one, lower where there are fewer bins and narrower where time would have less than 15 patches.

    >>> audio_grid((128, 998)).tokens, audio_grid((128, 498)).tokens, audio_grid((128, 98)).tokens
    (512, 256, 64)
    >>> audio_grid((13, 39)).tokens
    10
    >>> [audio_grid(shape, (64, 4)).shape for shape in ((64, 249), (64, 49), (64, 24), (13, 39))]
    [(1, 63), (1, 17), (1, 24), (1, 20)]
    """
    freq, time = feature_shape
    if patch is not None:
        rows, columns = min(patch[0], freq), max(1, min(patch[1], time // SHORTEST))
        return Grid(channels=1, height=_up(freq, rows), width=_up(time, columns), patch=(rows, columns))
    if freq < 32:
        return Grid(channels=1, height=_up(freq, 16), width=_up(time, 4), patch=(_up(freq, 16), 4))
    return Grid(channels=1, height=_up(freq, 16), width=_up(time, 128), patch=(16, 16))


def image_grid(image_shape: tuple[int, int, int]) -> Grid:
    """Patches of a picture: 16 x 16, or 4 x 4 for sides up to 64; sides padded to a multiple of 16.

    >>> image_grid((3, 224, 224)).tokens, image_grid((1, 28, 28)).tokens
    (196, 64)
    """
    channels, height, width = image_shape
    side = 4 if max(height, width) <= 64 else 16
    return Grid(channels=channels, height=_up(height, 16), width=_up(width, 16), patch=(side, side))


def grids(task: TaskInfo, patch: tuple[int, int] | None = None) -> dict[str, Grid]:
    """The grids of the modalities that a task gives: ``audio``, ``image`` or both."""
    found: dict[str, Grid] = {}
    if "audio" in task.modalities:
        if task.feature_shape is None:
            raise ValueError("avmae takes features (freq, time) but feature_shape is None; choose --frontend kaldi")
        found["audio"] = audio_grid(task.feature_shape, patch)
    if "image" in task.modalities:
        if task.image_shape is None:
            raise ValueError("the task lists images but image_shape is None; give (channels, height, width)")
        found["image"] = image_grid(task.image_shape)
    if not found:
        raise ValueError(f"avmae takes audio, image or both; the task gives {', '.join(task.modalities) or 'nothing'}")
    return found


def sincos(grid: Grid, dim: int) -> Tensor:
    """Two-dimensional sine-cosine positions ``(tokens, dim)``: a quarter each for sine and cosine of column and row."""
    if dim % 4:
        raise ValueError(f"dim {dim} is not a multiple of 4, which sine-cosine positions in two dimensions need")
    rates = 10_000.0 ** -(torch.arange(dim // 4) / (dim / 4))  # (dim/4,)
    rows, columns = torch.meshgrid(*(torch.arange(size) for size in grid.shape), indexing="ij")
    angles = [place.reshape(-1, 1) * rates for place in (columns, rows)]  # each (tokens, dim/4)
    return torch.cat([part for a in angles for part in (a.sin(), a.cos())], dim=1)  # (tokens, dim)


def linear(grid: Grid, dim: int) -> nn.Module:
    """Each patch through one matrix, as a convolution that never overlaps."""
    project = nn.Conv2d(grid.channels, dim, grid.patch, stride=grid.patch)
    nn.init.xavier_uniform_(project.weight.view(dim, -1))
    return project


def bands(grid: Grid, dim: int) -> nn.Module:
    """Patches as high as the spectrogram through convolutions along frequency.

    What a sound looks like is learnt once for all pitches. Time is cut exactly at the patches, so that a hidden patch
    leaves no trace in its neighbours.
    """
    rows, columns = grid.patch
    if rows != grid.height:
        raise ValueError(f"bands need patches of the full height, {grid.height} rows; audio_patch has {rows}")
    left = (rows + 3) // 4  # rows after two strides of 2
    return nn.Sequential(
        nn.Conv2d(grid.channels, dim // 3, (7, columns), stride=(2, columns), padding=(3, 0)),
        nn.GELU(),
        nn.Conv2d(dim // 3, 2 * dim // 3, (3, 1), stride=(2, 1), padding=(1, 0)),
        nn.GELU(),
        nn.Conv2d(2 * dim // 3, dim, (left, 1)),
    )


class Patches(nn.Module):
    """Input -> padded, standardised picture -> tokens ``(batch, tokens, dim)`` with position and modality."""

    def __init__(self, grid: Grid, dim: int, *, learn_positions: bool, along_frequency: bool = False) -> None:
        super().__init__()
        self.grid = grid
        self.project = bands(grid, dim) if along_frequency else linear(grid, dim)
        self.positions = nn.Parameter(sincos(grid, dim), requires_grad=learn_positions)
        self.modality = nn.Parameter(torch.randn(dim) * 0.02)

    def pad(self, x: Tensor) -> Tensor:
        """``(batch, channels, height, width)`` -> the grid's height and width, zeros below and to the right."""
        if x.shape[2] > self.grid.height or x.shape[3] > self.grid.width:
            raise ValueError(
                f"input of {x.shape[2]} x {x.shape[3]} does not fit the model's {self.grid.height} x "
                f"{self.grid.width}; build it for a task of this shape"
            )
        return F.pad(x, (0, self.grid.width - x.shape[3], 0, self.grid.height - x.shape[2]))

    def forward(self, x: Tensor, visible: Tensor | None = None) -> Tensor:
        """Tokens ``(batch, tokens, dim)`` of a padded ``x (batch, channels, height, width)``.

        Of all patches, or of those that can be seen, ``visible (batch, visible)``: then no other is computed.
        """
        positions: Tensor = self.positions  # (tokens, dim)
        if visible is not None:
            x = self.line(pick(self.pixels(x), visible))  # (batch, channels, rows, visible * columns)
            positions = positions[visible]  # (batch, visible, dim)
        tokens: Tensor = self.project(x).flatten(2).transpose(1, 2)  # (batch, dim, tokens) -> (batch, tokens, dim)
        return tokens + positions + self.modality

    def line(self, pixels: Tensor) -> Tensor:
        """Patches side by side: ``(batch, n, pixels)`` -> ``(batch, channels, rows, n * columns)``."""
        rows, columns = self.grid.patch
        shape = (*pixels.shape[:2], self.grid.channels, rows, columns)
        return pixels.reshape(shape).permute(0, 2, 3, 1, 4).flatten(3)

    def pixels(self, x: Tensor) -> Tensor:
        """Padded ``(batch, channels, height, width)`` -> the numbers of each patch, ``(batch, tokens, pixels)``."""
        return F.unfold(x, self.grid.patch, stride=self.grid.patch).transpose(1, 2)

    def picture(self, pixels: Tensor) -> Tensor:
        """The inverse of :meth:`pixels`: ``(batch, tokens, pixels)`` -> ``(batch, channels, height, width)``."""
        size = (self.grid.height, self.grid.width)
        return F.fold(pixels.transpose(1, 2), size, self.grid.patch, stride=self.grid.patch)


def standardise(name: str, x: Tensor) -> Tensor:
    """As ``(batch, channels, height, width)``: audio gets its channel axis, pictures in [0, 1] are standardised."""
    if name == "audio":
        return x.unsqueeze(1)  # (batch, 1, freq, time)
    if x.shape[1] != 3:
        return (x - 0.5) / 0.5
    return (x - x.new_tensor(IMAGENET_MEAN).view(3, 1, 1)) / x.new_tensor(IMAGENET_STD).view(3, 1, 1)
