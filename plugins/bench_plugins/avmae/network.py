"""AV-MAE: one transformer for sound and picture, made for masked pre-training (CAV-MAE).

Source: Vincent9339/Transformers-Audio-Visual-Classification (2024), which is CAV-MAE (arXiv 2210.07839,
YuanGongND/cav-mae) on the instruments of VGGSound. Attention, feed-forward and stochastic depth are timm's.

Deliberate differences:
- every build has the branches of the modalities its task gives, no more: without pictures there is no visual branch;
- with both modalities the classified vector is the mean of three: joint stream, audio stream, visual stream (there
  the joint one). All LayerNorms learn, and a clip whose picture is missing gives a vector that the head has seen;
- frames are padded to a multiple of 128 (10 s -> 512 tokens, 5 s -> 256, 1 s -> 64), small pictures get 4 x 4 patches;
  an `audio_patch` that is chosen pads to whole patches only and narrows for short clips;
- `along_frequency` embeds patches of the full height by small convolutions along frequency instead of one matrix:
  a few hundred clips do not teach a matrix what a sound is at every pitch;
- `token_drop` hides that fraction of the tokens in supervised training too: the encoder was made for it, and small
  data sets are learnt faster and better.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from bench import TaskInfo, takes_fields
from bench_plugins.avmae.masking import MaskKind, draw_mask
from bench_plugins.avmae.patches import Patches, grids, standardise
from bench_plugins.blocks import Attention, DropPath, Mlp


@dataclass(frozen=True, slots=True, kw_only=True)
class AvMaeConfig:
    """What a size or variant chooses; the defaults are the document's own (``base``).

    Attributes:
        dim: Width of the encoder.
        heads: Its attention heads.
        depth: Blocks of each modality's own, before the joint block.
        decoder_dim: Width of the decoder.
        decoder_depth: Its blocks.
        decoder_heads: Its attention heads.
        drop_path: Largest stochastic-depth rate; grows linearly over the blocks.
        token_drop: Fraction of tokens hidden in supervised training.
        audio_patch: ``(bins, frames)`` of an audio patch; ``None`` = 16 x 16.
        along_frequency: Embed audio patches, then as high as the spectrogram, by convolutions along frequency.
        learn_positions: Whether the sine-cosine positions are trained.
        mask: How pre-training hides audio patches.
        mask_ratio: Fraction of patches hidden, of each modality.
        objective: ``mae`` (reconstruct), ``contrastive`` (match audio and picture) or ``both``.
    """

    dim: int = 768
    heads: int = 12
    depth: int = 11
    decoder_dim: int = 512
    decoder_depth: int = 8
    decoder_heads: int = 16
    drop_path: float = 0.0
    token_drop: float = 0.0
    audio_patch: tuple[int, int] | None = None
    along_frequency: bool = False
    learn_positions: bool = False
    mask: MaskKind = "unstructured"
    mask_ratio: float = 0.75
    objective: Literal["mae", "contrastive", "both"] = "both"

    def __post_init__(self) -> None:
        if self.objective not in ("mae", "contrastive", "both"):
            raise ValueError(f"avmae objective {self.objective!r} is not known; choose mae, contrastive or both")


class Block(nn.Module):
    """Pre-norm transformer block with one pair of LayerNorms for each named stream; all else is shared."""

    def __init__(self, dim: int, heads: int, *, drop_path: float = 0.0, streams: tuple[str, ...] = ("own",)) -> None:
        super().__init__()
        self.before_attention = nn.ModuleDict({name: nn.LayerNorm(dim) for name in streams})
        self.attention = Attention(dim, heads)
        self.before_mlp = nn.ModuleDict({name: nn.LayerNorm(dim) for name in streams})
        self.mlp = Mlp(dim)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, stream: str = "own") -> Tensor:
        """``(batch, tokens, dim)`` -> the same."""
        x = x + self.drop_path(self.attention(self.before_attention[stream](x)))
        out: Tensor = x + self.drop_path(self.mlp(self.before_mlp[stream](x)))
        return out


class Encoder(nn.Module):
    """Patches, a stack of blocks for each modality, then one joint block with norms for each stream."""

    def __init__(self, task: TaskInfo, config: AvMaeConfig) -> None:
        super().__init__()
        geometry = grids(task, config.audio_patch)
        self.patches = nn.ModuleDict()
        for name, grid in geometry.items():
            along, learn = config.along_frequency and name == "audio", config.learn_positions
            self.patches[name] = Patches(grid, config.dim, learn_positions=learn, along_frequency=along)
        rates = [config.drop_path * level / max(1, config.depth) for level in range(config.depth + 1)]
        self.blocks = nn.ModuleDict()
        for name in geometry:
            self.blocks[name] = nn.ModuleList(Block(config.dim, config.heads, drop_path=rate) for rate in rates[:-1])
        self.streams = ("joint", *geometry) if len(geometry) > 1 else tuple(geometry)
        self.joint = Block(config.dim, config.heads, drop_path=rates[-1], streams=self.streams)
        self.norms = nn.ModuleDict({name: nn.LayerNorm(config.dim) for name in self.streams})

    def padded(self, inputs: Mapping[str, Tensor | None]) -> dict[str, Tensor]:
        """The given modalities as padded pictures ``(batch, channels, height, width)``."""
        given = {name: x for name, x in inputs.items() if x is not None}
        if not given or set(given) - set(self.patches):
            built, got = " and ".join(self.patches), " and ".join(given) or "nothing"
            raise ValueError(f"this avmae was built for {built} and was given {got}; build it for the task at hand")
        return {name: self.patches_of(name).pad(standardise(name, x)) for name, x in given.items()}

    def patches_of(self, name: str) -> Patches:
        """The patches of a modality."""
        return cast("Patches", self.patches[name])

    def own(self, name: str, x: Tensor, visible: Tensor | None) -> Tensor:
        """A padded picture's (visible) patches through its modality's own blocks -> ``(batch, tokens, dim)``."""
        tokens: Tensor = self.patches[name](x, visible)
        for block in cast("nn.ModuleList", self.blocks[name]):
            tokens = block(tokens)
        return tokens

    def joined(self, tokens: Mapping[str, Tensor]) -> Tensor:
        """The joint stream of several modalities' tokens, ``(batch, all tokens, dim)``."""
        return self.stream("joint", torch.cat(list(tokens.values()), dim=1))

    def stream(self, name: str, tokens: Tensor) -> Tensor:
        """The joint block and norm in one of its streams: ``(batch, tokens, dim)`` -> the same."""
        out: Tensor = self.norms[name](self.joint(tokens, name))
        return out


class AvMae(nn.Module):
    """The classifier: encoder, mean over tokens, LayerNorm, Linear."""

    def __init__(self, task: TaskInfo, config: AvMaeConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(task, config)
        self.head = nn.Sequential(nn.LayerNorm(config.dim), nn.Linear(config.dim, task.num_classes))

    def forward(self, audio: Tensor | None = None, image: Tensor | None = None) -> Tensor:
        """``audio (batch, freq, time)``, ``image (batch, channels, height, width)`` in [0, 1] -> ``(batch, classes)``.

        One of the two may be missing.
        """
        logits: Tensor = self.head(self.embed(audio, image))  # (batch, classes)
        return logits

    def embed(self, audio: Tensor | None = None, image: Tensor | None = None) -> Tensor:
        """The vector before the head, ``(batch, dim)``: mean over tokens, then over streams."""
        padded = self.encoder.padded({"audio": audio, "image": image})
        tokens = {name: self.encoder.own(name, x, self._kept(name, x)) for name, x in padded.items()}
        pooled = [self.encoder.stream(name, x).mean(1) for name, x in tokens.items()]  # each (batch, dim)
        if len(tokens) > 1:
            pooled.append(self.encoder.joined(tokens).mean(1))
        return torch.stack(pooled).mean(0)  # (batch, dim)

    def _kept(self, name: str, x: Tensor) -> Tensor | None:
        if not self.training or not self.config.token_drop:
            return None
        shape = self.encoder.patches_of(name).grid.shape
        return draw_mask(len(x), shape, self.config.token_drop, "unstructured", x.device).visible


@takes_fields(AvMaeConfig)
def build(task: TaskInfo, **options: Any) -> AvMae:
    """A classifier for ``task``; the options are the fields of :class:`AvMaeConfig`."""
    return AvMae(task, AvMaeConfig(**options))
