"""ConvNeXt + self-attentive pooling + graph convolution over a k-nearest-neighbour graph.

Follows the model described in HazCodesLots/AudioForgeryDetection, ``Frontend/ConvNeXt/README.md``, whose backbone is
ConvNeXt (Liu et al. 2022, arXiv:2201.03545) with squeeze-excitation (Hu et al. 2018, arXiv:1709.01507).

Deliberate differences from the original's code
- Two backbones: ``dims=1``, the description's (mel bins are the input channels), and ``dims=2``, the code's.
- The graph joins the tokens of one clip. ``graph="batch"`` joins the clips of a mini-batch as the code does; a clip's
  logits then depend on its batch mates.
- A graph convolution averages a node and its neighbours (row-normalised adjacency with self-loops) before its Linear;
  the residual is used where input and output have the same width. Neighbours are Euclidean.
- The tiny design has BatchNorm and a layer scale of 1: with LayerNorm and 1e-4 a network does not get going on a few
  hundred clips. Its kernels are 5 wide and its classifier is linear. Its stem covers four frames (80 ms), fewer for
  short clips, so that the graph keeps several nodes.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench import BenchError, TaskInfo, takes_fields
from bench_plugins.blocks import DropPath
from bench_plugins.convnext_attention.graph import GraphNetwork


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """The options of :func:`build`; the defaults are the described model.

    Attributes:
        dims: 1 = convolutions over time with mel bins as channels; 2 = over frequency and time.
        depths: Blocks of each stage.
        widths: Channels of each stage.
        kernel: Size of the depthwise convolutions, odd.
        stem_stride: Frames that one position of the first stage covers.
        short_stem: Lower ``stem_stride`` for short clips, so that at least four time steps are left at the end.
        norm: Normalisation of the backbone.
        layer_scale: Initial scale of each block's branch.
        squeeze: Reduction of squeeze-excitation; 0 = without.
        drop_path: Drop rate of the last block's branch; it rises linearly from 0.
        attention_dim: Width of the self-attentive pooling; 0 = without.
        heads: Attention heads.
        graph: Nodes are a clip's ``tokens``, the clips of the ``batch``, or there is no graph (``none``).
        neighbours: k of the graph, limited to the other nodes there are.
        graph_widths: Output width of each graph convolution.
        head_widths: Hidden layers of the classifier, may be empty.
    """

    dims: Literal[1, 2] = 1
    depths: tuple[int, ...] = (3, 3, 9, 3)
    widths: tuple[int, ...] = (96, 192, 384, 768)
    kernel: int = 9
    stem_stride: int = 2
    short_stem: bool = False
    norm: Literal["layer", "batch"] = "layer"
    layer_scale: float = 1e-4
    squeeze: int = 16
    drop_path: float = 0.1
    attention_dim: int = 512
    heads: int = 8
    graph: Literal["tokens", "batch", "none"] = "tokens"
    neighbours: int = 5
    graph_widths: tuple[int, ...] = (256, 256)
    head_widths: tuple[int, ...] = (512, 256, 128)

    def __post_init__(self) -> None:
        said = {f.name: f"{f.name}={getattr(self, f.name)!r}" for f in fields(self)}
        choices: Any = {"dims": (1, 2), "norm": ("layer", "batch"), "graph": ("tokens", "batch", "none")}
        wrong = [
            f"{said[name]} is not one of {', '.join(map(repr, allowed))}"
            for name, allowed in choices.items()
            if getattr(self, name) not in allowed
        ]
        if len(self.depths) != len(self.widths) or not self.depths:
            wrong.append(f"{said['depths']} and {said['widths']} must name the same stages")
        if self.kernel % 2 == 0 or self.stem_stride < 1 or self.neighbours < 1:
            wrong.append(f"{said['kernel']} must be odd, {said['stem_stride']} and {said['neighbours']} at least 1")
        if self.attention_dim % self.heads:
            wrong.append(f"{said['attention_dim']} is no multiple of {said['heads']}")
        if wrong:
            raise BenchError(f"convnext_attention: {'; '.join(wrong)}")

    def stem_for(self, frames: int) -> int:
        """Stride of the stem in time for clips of ``frames`` frames."""
        shortest = frames // (4 * 2 ** (len(self.widths) - 1))
        return max(1, min(self.stem_stride, shortest)) if self.short_stem else self.stem_stride

    def conv(self, before: int, after: int, kernel: int | tuple[int, int], **more: Any) -> nn.Conv1d | nn.Conv2d:
        """A convolution in the design's number of dimensions."""
        return (nn.Conv1d if self.dims == 1 else nn.Conv2d)(before, after, kernel, **more)  # type: ignore[arg-type]


def to_tokens(grid: Tensor) -> Tensor:
    """``(batch, channels, *grid)`` as ``(batch, tokens, channels)``."""
    return grid.flatten(2).transpose(1, 2)


def to_grid(tokens: Tensor, like: Tensor) -> Tensor:
    """``(batch, tokens, channels)`` in the layout of ``like``, ``(batch, any, *grid)``."""
    return tokens.transpose(1, 2).reshape(tokens.shape[0], tokens.shape[2], *like.shape[2:])


class TokenBatchNorm(nn.BatchNorm1d):
    """BatchNorm over the channels of ``(batch, tokens, channels)``."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise every channel; the shape stays."""
        return super().forward(input.flatten(0, 1)).view_as(input)


def make_norm(kind: str, width: int) -> nn.Module:
    """LayerNorm or BatchNorm for ``(batch, tokens, width)``."""
    return nn.LayerNorm(width, eps=1e-6) if kind == "layer" else TokenBatchNorm(width)


class GridNorm(nn.Module):
    """The same over the channels of ``(batch, width, *grid)``."""

    def __init__(self, kind: str, width: int) -> None:
        super().__init__()
        self.norm = make_norm(kind, width)

    def forward(self, grid: Tensor) -> Tensor:
        """Normalise; the shape stays."""
        return to_grid(self.norm(to_tokens(grid)), grid)


class SqueezeExcitation(nn.Module):
    """Scale each channel by a gate computed from the clip's mean over tokens."""

    def __init__(self, width: int, reduction: int) -> None:
        super().__init__()
        hidden = max(1, width // reduction)
        self.gate = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width), nn.Sigmoid())

    def forward(self, tokens: Tensor) -> Tensor:
        """``(batch, tokens, width)`` to the same shape."""
        gates: Tensor = self.gate(tokens.mean(dim=1, keepdim=True))  # (batch, 1, width)
        return tokens * gates


class Block(nn.Module):
    """Depthwise convolution, norm, pointwise x4 and back, layer scale, squeeze-excitation, DropPath, residual."""

    def __init__(self, design: Design, width: int, drop_path: float) -> None:
        super().__init__()
        self.depthwise = design.conv(width, width, design.kernel, padding=design.kernel // 2, groups=width)
        self.norm = make_norm(design.norm, width)
        self.widen = nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)
        self.scale = nn.Parameter(torch.full((width,), design.layer_scale))
        self.squeeze = SqueezeExcitation(width, design.squeeze) if design.squeeze else nn.Identity()
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, grid: Tensor) -> Tensor:
        """``(batch, width, *grid)`` to the same shape."""
        tokens = self.norm(to_tokens(self.depthwise(grid)))  # (batch, tokens, width)
        tokens = self.narrow(F.gelu(self.widen(tokens)))  # via 4 * width
        branch = self.drop_path(self.squeeze(tokens * self.scale))
        return grid + to_grid(branch, grid)


class SelfAttentivePooling(nn.Module):
    """Multi-head self-attention over a clip's tokens with a projected residual."""

    def __init__(self, width: int, dim: int, heads: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.residual = nn.Linear(width, dim)
        self.norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """``(batch, tokens, width)`` to ``(batch, tokens, dim)``."""
        qkv = self.qkv(tokens).unflatten(2, (3, self.heads, -1))  # (batch, tokens, 3, heads, dim / heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # each (batch, heads, tokens, dim / heads)
        mixed = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)  # (batch, tokens, dim)
        return self.norm(self.residual(tokens) + self.dropout(self.out(mixed)))  # type: ignore[no-any-return]


class ConvNeXtAttention(nn.Module):
    """Log-mel features ``(batch, freq, time)``, normalised, to logits ``(batch, classes)``."""

    def __init__(self, design: Design, freq: int, frames: int, classes: int) -> None:
        super().__init__()
        self.freq, self.graph_nodes = freq, design.graph
        stride, halvings = design.stem_for(frames), len(design.widths) - 1
        self.min_frames = stride * 2**halvings
        self._refuse_short(frames)
        if design.dims == 2 and freq < 2 * 2**halvings:
            raise BenchError(f"convnext_attention: {freq} mel bins are too few for a 2-D backbone of {halvings + 1} "
                             f"stages, {2 * 2**halvings} at least; use `--models convnext_attention.1d`")  # fmt: skip
        self.backbone = nn.Sequential(*_stem(design, freq, stride), *_stages(design))
        width = design.widths[-1]
        self.attention: nn.Module = nn.Identity()
        if design.attention_dim:
            self.attention = SelfAttentivePooling(width, design.attention_dim, design.heads)
            width = design.attention_dim
        self.graph: nn.Module = nn.Identity()
        if design.graph != "none":
            self.graph = GraphNetwork(width, design.graph_widths, design.neighbours)
            width = design.graph_widths[-1]
        self.head = _head(width, design.head_widths, classes)

    def embed(self, audio: Tensor) -> Tensor:
        """``(batch, freq, time)`` to one vector a clip, ``(batch, width)``: what the classifier sees.

        The source writes its input with an axis for the one channel, ``(batch, 1, freq, time)``: that is taken too.
        """
        if audio.ndim == 4 and audio.shape[1] == 1:
            audio = audio.squeeze(1)  # (batch, freq, time)
        if audio.ndim != 3 or audio.shape[1] != self.freq:
            raise ValueError(f"convnext_attention was built for (batch, {self.freq}, time), got {tuple(audio.shape)}")
        self._refuse_short(audio.shape[2])
        tokens = to_tokens(self.backbone(audio))  # (batch, tokens, widths[-1])
        tokens = self.attention(tokens)  # (batch, tokens, attention_dim)
        if self.graph_nodes == "batch":
            clips = tokens.mean(dim=1).unsqueeze(0)  # (1, batch, attention_dim): the clips are the nodes
            return self.graph(clips).squeeze(0)  # type: ignore[no-any-return]  # (batch, graph_widths[-1])
        return self.graph(tokens).mean(dim=1)  # type: ignore[no-any-return]  # (batch, graph_widths[-1])

    def forward(self, audio: Tensor) -> Tensor:
        """``(batch, freq, time)`` to logits ``(batch, classes)``."""
        return self.head(self.embed(audio))  # type: ignore[no-any-return]

    def _refuse_short(self, frames: int) -> None:
        if frames < self.min_frames:
            raise BenchError(
                f"convnext_attention: clips of {frames} frames are too short for this design, which needs "
                f"{self.min_frames}; use longer clips or a smaller hop"
            )


def _stem(design: Design, freq: int, stride: int) -> list[nn.Module]:
    """``(batch, freq, time)`` to ``(batch, width, time')`` or ``(batch, width, freq', time')``: kernel = stride."""
    width, norm = design.widths[0], GridNorm(design.norm, design.widths[0])
    if design.dims == 1:
        return [design.conv(freq, width, stride, stride=stride), norm]
    return [nn.Unflatten(1, (1, freq)), design.conv(1, width, (2, stride), stride=(2, stride)), norm]


def _stages(design: Design) -> list[nn.Module]:
    """Blocks of every stage; before each but the first a norm and a 2/2 convolution, which halve the grid."""
    last = max(1, sum(design.depths) - 1)
    rates = [design.drop_path * block / last for block in range(sum(design.depths))]
    modules: list[nn.Module] = []
    for stage, (depth, width) in enumerate(zip(design.depths, design.widths, strict=True)):
        if stage:
            before = design.widths[stage - 1]
            modules += [GridNorm(design.norm, before), design.conv(before, width, 2, stride=2)]
        modules += [Block(design, width, rates.pop(0)) for _ in range(depth)]
    return modules


def _head(width: int, hidden: tuple[int, ...], classes: int, dropout: float = 0.3) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in zip((width, *hidden), hidden, strict=False):
        layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear((width, *hidden)[-1], classes))


@takes_fields(Design)
def build(task: TaskInfo, **options: Any) -> ConvNeXtAttention:
    """The network for a task.

    Args:
        task: Gives the classes and ``feature_shape``, ``(freq, time)`` of the log-mel features.
        **options: Fields of :class:`Design`.

    Raises:
        BenchError: An option is unknown or impossible, the task has no features, or its clips are too short.
    """
    known = {field.name for field in fields(Design)}
    if unknown := sorted(set(options) - known):
        raise BenchError(f"convnext_attention has no option {', '.join(unknown)}; known: {', '.join(sorted(known))}")
    if task.feature_shape is None:
        raise BenchError("convnext_attention takes log-mel features, but the task has no feature_shape; "
                         "choose a front end: `--frontend torchaudio`")  # fmt: skip
    freq, frames = task.feature_shape
    return ConvNeXtAttention(Design(**options), freq, frames, task.num_classes)
