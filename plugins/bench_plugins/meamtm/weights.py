"""Checkpoints: transformers' and the authors' AST, timm's DeiT and ViT, and this network's own state dict.

Nothing is left at its random start without being asked for: a tensor that is missing, left over or of another shape
is a :class:`bench.CheckpointError` that names it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from bench import CheckpointError, read_tensors
from bench_plugins.meamtm.network import STRIDES, AudioSpectrogramTransformer, patch_grid

HEAD = "head."

AROUND = ("model.", "frontend.", "normaliser.", "probe.")
"""What names begin with in a checkpoint of bench: of the network, and of what stands around it."""

SUMMARY = 2
"""Summary tokens before the patches: CLS and DIST."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Tensors under this network's names, positions still on the source's grid; ``origin`` is for messages."""

    origin: str
    tensors: Mapping[str, Tensor]
    norm_eps: float


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a file, or a folder in transformers' layout."""
    return convert(read_tensors(path), origin=str(path))


def convert(tensors: Mapping[str, Tensor], *, origin: str = "state dict") -> Checkpoint:
    """Bring a state dict of any known format to this network's names; ``origin`` is for messages."""
    tensors = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    if all(name.startswith(AROUND) for name in tensors):  # a checkpoint that bench kept of a cell
        inside = {name.removeprefix(AROUND[0]): x for name, x in tensors.items() if name.startswith(AROUND[0])}
        return convert(inside, origin=origin)
    if any(name.startswith("audio_spectrogram_transformer.") for name in tensors):
        return Checkpoint(origin, _from_transformers(tensors, origin), 1e-12)
    if "v.patch_embed.proj.weight" in tensors:  # the authors' files: timm's names below "v."
        named = {re.sub(r"^v\.|^mlp_(?=head\.)", "", name): tensor for name, tensor in tensors.items()}
        unused = ("head.weight", "head.bias", "head_dist.weight", "head_dist.bias")
        return Checkpoint(origin, {n: t for n, t in named.items() if n not in unused}, 1e-6)
    if "patch_embed.proj.weight" in tensors and "blocks.0.attn.qkv.weight" in tensors:
        return Checkpoint(origin, _from_timm(tensors), 1e-6)
    raise CheckpointError(
        f"{origin} is no known checkpoint (it holds {_some(tensors)}); known are transformers' "
        "ASTForAudioClassification, the authors' AST, timm's DeiT and ViT, and this network's own state dict"
    )


def load_into(
    model: AudioSpectrogramTransformer, checkpoint: Checkpoint, *, with_head: bool, grid: tuple[int, int] | None = None
) -> None:
    """Load a checkpoint into a network, with its classifier or without; positions are fitted to the network's patches.

    ``grid`` is ``(rows, columns)`` of the checkpoint's patches, where their number alone does not tell.
    """
    own = model.state_dict()
    tensors = {name: tensor for name, tensor in checkpoint.tensors.items() if with_head or not name.startswith(HEAD)}
    wanted = {name for name in own if with_head or not name.startswith(HEAD)}
    _check_names(checkpoint.origin, model, wanted, tensors)
    if tensors["pos_embed"].shape[-1] == own["pos_embed"].shape[-1]:
        tensors["pos_embed"] = fit_positions(tensors["pos_embed"], model.grid, checkpoint.origin, source=grid)
    for name in sorted(wanted):
        if tensors[name].shape != own[name].shape:
            raise CheckpointError(
                f"{checkpoint.origin}: {name} has shape {tuple(tensors[name].shape)}, the network needs "
                f"{tuple(own[name].shape)}; choose the size it was made for"
                + (", or head='new' for another number of classes" if name.startswith(HEAD) else "")
            )
    model.load_state_dict({**own, **tensors}, strict=True)


def _check_names(
    origin: str, model: AudioSpectrogramTransformer, wanted: set[str], tensors: Mapping[str, Tensor]
) -> None:
    missing, left = sorted(wanted - set(tensors)), sorted(set(tensors) - wanted)
    if missing:
        advice = "use head='new' to start a fresh classifier" if missing[0].startswith(HEAD) else "choose another size"
        raise CheckpointError(f"{origin} lacks {_some(missing)} of size {model.settings.size!r}; {advice}")
    if left:
        raise CheckpointError(
            f"{origin} holds {_some(left)}, which size {model.settings.size!r} does not have; choose another size"
        )


_RENAMES = (
    (r"^audio_spectrogram_transformer\.", ""),
    (r"^embeddings\.distillation_token$", "dist_token"),
    (r"^embeddings\.position_embeddings$", "pos_embed"),
    (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^embeddings\.cls_token$", "cls_token"),
    (r"^(?:encoder\.layer|layers)\.(\d+)\.", r"blocks.\1."),
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
    (r"\.attention\.(?:attention\.query|q_proj)\.", ".attn.q."),
    (r"\.attention\.(?:attention\.key|k_proj)\.", ".attn.k."),
    (r"\.attention\.(?:attention\.value|v_proj)\.", ".attn.v."),
    (r"\.attention\.(?:output\.dense|o_proj)\.", ".attn.proj."),
    (r"^(blocks\.\d+)\.(?:intermediate\.dense|mlp\.fc1)\.", r"\1.mlp.fc1."),
    (r"^(blocks\.\d+)\.(?:output\.dense|mlp\.fc2)\.", r"\1.mlp.fc2."),
    (r"^layernorm\.", "norm."),
    (r"^classifier\.layernorm\.", "head.0."),
    (r"^classifier\.dense\.", "head.1."),
)
"""transformers' names, version 4 (and every published file) or 5, to this network's."""


def _from_timm(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """An image network without its classifier: RGB summed to one channel; ViT's one class token serves as both."""
    named = dict(tensors)
    if "head.1.weight" in named:  # this network's own state dict
        return named
    named = {n: t for n, t in named.items() if not n.startswith((HEAD, "head_dist.", "pre_logits."))}
    projection = named["patch_embed.proj.weight"]
    if projection.ndim == 4 and projection.shape[1] == 3:
        named["patch_embed.proj.weight"] = projection.sum(dim=1, keepdim=True)
    if "dist_token" not in named and "cls_token" in named and "pos_embed" in named:
        named["dist_token"] = named["cls_token"]
        named["pos_embed"] = torch.cat([named["pos_embed"][:, :1], named["pos_embed"]], dim=1)
    return named


def _from_transformers(tensors: Mapping[str, Tensor], origin: str) -> dict[str, Tensor]:
    named: dict[str, Tensor] = {}
    for old, tensor in tensors.items():
        name = old
        for pattern, new in _RENAMES:
            name = re.sub(pattern, new, name)
        named[name] = tensor
    for name in sorted(n for n in named if ".attn.q." in n):
        parts = [name.replace(".attn.q.", f".attn.{part}.") for part in "qkv"]
        if absent := [part for part in parts if part not in named]:
            raise CheckpointError(f"{origin}: {name} is there but {_some(absent)} is not")
        named[name.replace(".attn.q.", ".attn.qkv.")] = torch.cat([named.pop(part) for part in parts])
    return named


def _some(names: Iterable[str]) -> str:
    listed = sorted(names)
    return ", ".join(listed[:4]) + (f" and {len(listed) - 4} more" if len(listed) > 4 else "") or "nothing"


def fit_positions(
    positions: Tensor, grid: tuple[int, int], origin: str, *, source: tuple[int, int] | None = None
) -> Tensor:
    """Bring learned positions ``(1, 2 + patches, dim)`` to another grid of ``(rows, columns)``.

    Fewer columns at the same rows are the middle ones, since a column keeps its duration; everything else is
    bilinear interpolation. AST does the same. ``source`` is the old grid, found out where ``None``.
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
