"""Masked pre-training of AV-MAE: hide most patches, guess them, and match sound with picture.

Source: CAV-MAE (arXiv 2210.07839), sections 2.2 to 2.4: mean squared error on hidden patches, each target patch
standardised, plus 0.01 times a contrastive loss at temperature 0.05 (here in both directions).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench import TaskInfo, takes_fields
from bench_plugins.avmae.masking import Mask, draw_mask, pick, put_back
from bench_plugins.avmae.network import AvMae, AvMaeConfig, Block, Encoder
from bench_plugins.avmae.patches import sincos

TEMPERATURE = 0.05
CONTRASTIVE_WEIGHT = 0.01


class Decoder(nn.Module):
    """Visible tokens and mask tokens, in their places -> the pixels of every patch."""

    def __init__(self, encoder: Encoder, config: AvMaeConfig) -> None:
        super().__init__()
        dim = config.decoder_dim
        geometry = {name: encoder.patches_of(name).grid for name in encoder.patches}
        self.down = nn.Linear(config.dim, dim)
        self.filler = nn.Parameter(torch.randn(dim) * 0.02)
        self.positions = nn.ParameterDict(
            {name: nn.Parameter(sincos(grid, dim), requires_grad=False) for name, grid in geometry.items()}
        )
        self.modality = nn.ParameterDict({name: nn.Parameter(torch.randn(dim) * 0.02) for name in geometry})
        self.blocks = nn.ModuleList(Block(dim, config.decoder_heads) for _ in range(config.decoder_depth))
        self.norm = nn.LayerNorm(dim)
        self.heads = nn.ModuleDict({name: nn.Linear(dim, grid.pixels) for name, grid in geometry.items()})

    def forward(self, visible: Tensor, masks: dict[str, Mask]) -> dict[str, Tensor]:
        """Encoded tokens ``(batch, visible, dim)``, modalities as in ``masks`` -> each ``(batch, tokens, pixels)``."""
        x = self.down(visible)  # (batch, visible, decoder dim)
        parts = x.split([mask.visible.shape[1] for mask in masks.values()], dim=1)
        whole = [
            put_back(part, self.filler, mask) + self.positions[name] + self.modality[name]
            for part, (name, mask) in zip(parts, masks.items(), strict=True)
        ]  # each (batch, tokens, decoder dim)
        x = torch.cat(whole, dim=1)  # (batch, all tokens, decoder dim)
        for block in self.blocks:
            x = block(x)
        parts = self.norm(x).split([part.shape[1] for part in whole], dim=1)
        return {name: self.heads[name](part) for name, part in zip(masks, parts, strict=True)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """What pre-training made of a batch, by modality; patches are ``(batch, tokens, pixels)``, standardised.

    ``pooled`` is the mean token of each modality's own stream, ``(batch, dim)``.
    """

    masks: dict[str, Mask]
    pixels: dict[str, Tensor]
    targets: dict[str, Tensor]
    pooled: dict[str, Tensor]


def standard_patches(pixels: Tensor) -> Tensor:
    """Each patch with mean 0 and variance 1 (a flat patch: zeros); ``(batch, tokens, pixels)``."""
    centred = pixels - pixels.mean(dim=-1, keepdim=True)
    return centred / (pixels.var(dim=-1, keepdim=True) + 1e-6).sqrt()


def hidden_error(guess: Tensor, target: Tensor, mask: Mask) -> Tensor:
    """Mean squared error over the hidden patches only; ``guess`` and ``target`` ``(batch, tokens, pixels)``."""
    return F.mse_loss(pick(guess, mask.hidden), pick(target, mask.hidden))


def contrastive(first: Tensor, second: Tensor) -> Tensor:
    """InfoNCE between two views ``(batch, dim)`` of the same clips, mean of both directions."""
    similarity = F.normalize(first, dim=1) @ F.normalize(second, dim=1).T / TEMPERATURE  # (batch, batch)
    own = torch.arange(len(first), device=first.device)
    return (F.cross_entropy(similarity, own) + F.cross_entropy(similarity.T, own)) / 2


class PretrainedAvMae(AvMae):
    """The classifier with its decoder; ``pretrain_loss`` first, then, without decoder, trained as any classifier."""

    def __init__(self, task: TaskInfo, config: AvMaeConfig) -> None:
        super().__init__(task, config)
        if config.objective == "contrastive" and "joint" not in self.encoder.streams:
            raise ValueError("avmae objective 'contrastive' needs pictures beside the audio; choose objective='mae'")
        self.decoder = None if config.objective == "contrastive" else Decoder(self.encoder, config)

    def end_pretraining(self) -> None:
        """Drop the decoder: what is left has the parameters of :class:`AvMae`."""
        self.decoder = None

    def guess(self, audio: Tensor | None = None, image: Tensor | None = None) -> Guess:
        """Hide patches, encode the visible ones, decode; arguments as in :meth:`forward`."""
        if self.decoder is None and self.config.objective != "contrastive":
            raise RuntimeError("this avmae has no decoder any more: end_pretraining() was called; build it anew")
        padded = self.encoder.padded({"audio": audio, "image": image})
        masks, tokens = {}, {}
        for name, x in padded.items():
            shape = self.encoder.patches_of(name).grid.shape
            kind = self.config.mask if name == "audio" else "unstructured"
            masks[name] = draw_mask(len(x), shape, self.config.mask_ratio, kind, x.device)
            tokens[name] = self.encoder.own(name, x, masks[name].visible)  # (batch, visible, dim)
        streams = {name: self.encoder.stream(name, x) for name, x in tokens.items()}
        joint = self.encoder.joined(tokens) if len(tokens) > 1 else next(iter(streams.values()))
        return Guess(
            masks=masks,
            pixels={} if self.decoder is None else self.decoder(joint, masks),
            targets={name: standard_patches(self.encoder.patches_of(name).pixels(x)) for name, x in padded.items()},
            pooled={name: x.mean(1) for name, x in streams.items()},
        )

    def pretrain_loss(self, audio: Tensor | None = None, image: Tensor | None = None) -> Tensor:
        """The scalar loss of a batch without labels; arguments as in :meth:`forward`."""
        guess = self.guess(audio, image)
        parts = [hidden_error(guess.pixels[name], guess.targets[name], guess.masks[name]) for name in guess.pixels]
        if self.config.objective != "mae" and len(guess.pooled) > 1:
            weight = 1.0 if self.decoder is None else CONTRASTIVE_WEIGHT
            parts.append(weight * contrastive(*guess.pooled.values()))
        return torch.stack(parts).sum()

    @torch.no_grad()
    def reconstruct(self, audio: Tensor | None = None, image: Tensor | None = None) -> dict[str, dict[str, Tensor]]:
        """Pictures for a report: input, what was visible, and the guess put into the hidden places.

        Returns:
            By modality, ``input``, ``masked`` (hidden patches are nan) and ``guess``, each
            ``(batch, channels, height, width)`` in the units of the model's input.
        """
        guess = self.guess(audio, image)
        padded = self.encoder.padded({"audio": audio, "image": image})
        pictures = {}
        for name, pixels in guess.pixels.items():
            patches, mask = self.encoder.patches_of(name), guess.masks[name]
            true = patches.pixels(padded[name])  # (batch, tokens, pixels)
            guessed = pixels * (true.var(-1, keepdim=True) + 1e-6).sqrt() + true.mean(-1, keepdim=True)
            index = mask.hidden.unsqueeze(-1).expand(-1, -1, true.shape[2])  # (batch, hidden, pixels)
            masked = true.scatter(1, index, float("nan"))
            filled = true.scatter(1, index, guessed.gather(1, index))
            pictures[name] = {
                "input": padded[name],
                "masked": patches.picture(masked),
                "guess": patches.picture(filled),
            }
        return pictures


@takes_fields(AvMaeConfig)
def build(task: TaskInfo, **options: Any) -> PretrainedAvMae:
    """A model for ``task`` that can be pre-trained; the options are the fields of :class:`AvMaeConfig`."""
    return PretrainedAvMae(task, AvMaeConfig(**options))
