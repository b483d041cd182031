"""Augmentation of training batches, each part switched by the recipe; one generator, one seed.

SpecAugment: Park et al. 2019 (1904.08779), masks without time warping. Mixup: Zhang et al. 2018 (1710.09412).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.recipe import Recipe

Array = npt.NDArray[Any]


def drawn(make: Callable[[], Array]) -> Tensor:
    """What ``make`` draws, as a tensor."""
    return torch.from_numpy(make())


@dataclass(frozen=True, slots=True)
class Augmenter:
    """Draws from ``rng`` only, so that augmentation never shifts the model's random numbers; sample rate in Hz.

    Attributes:
        give: How an array that is drawn on the host becomes a tensor. A captured step gives tensors that keep their
            place, and draws them again for each batch.
        branches: Whether a draw may decide what is computed; a captured step computes the same for every batch.
    """

    recipe: Recipe
    sample_rate: int
    rng: np.random.Generator
    give: Callable[[Callable[[], Array]], Tensor] = drawn
    branches: bool = True

    @classmethod
    def of(cls, recipe: Recipe, sample_rate: int, seed: int, *, stream: int = 1) -> Augmenter:
        """An augmenter seeded apart from initialisation and order; each ``stream`` draws for itself."""
        return cls(recipe, sample_rate, np.random.default_rng([seed, stream]))

    def roll(self, inputs: dict[str, Tensor], *, derived: bool) -> dict[str, Tensor]:
        """Start each clip somewhere else: its waveform and the picture ``derived`` from it, by the same time.

        A picture's columns are the clip's time then; one that was given stays as it is.
        """
        rolled = {name: x for name, x in inputs.items() if name == "audio" or (name == "image" and derived)}
        if not self.recipe.roll or not rolled:
            return inputs
        batch = len(next(iter(rolled.values())))
        starts = self.give(lambda: self.rng.random(batch))
        return inputs | {name: _rolled(x, starts) for name, x in rolled.items()}

    def waveform(self, audio: Tensor) -> Tensor:
        """Shift, gain and noise on ``(batch, samples)``; the input is not changed."""
        recipe = self.recipe
        if recipe.shift > 0:
            audio = self._shift(audio, int(recipe.shift * self.sample_rate))
        if recipe.gain_db > 0:
            size = (len(audio), 1)
            factor = self.give(lambda: 10 ** (self.rng.uniform(-recipe.gain_db, recipe.gain_db, size=size) / 20))
            audio = audio * factor.to(audio)
        if recipe.noise_snr_db is not None:
            power = audio.square().mean(dim=1, keepdim=True)
            shape = tuple(audio.shape)
            noise = self.give(lambda: self.rng.standard_normal(shape, dtype=np.float32))
            audio = audio + noise.to(audio) * (power * 10 ** (-recipe.noise_snr_db / 10)).sqrt()
        return audio

    def bands(self, spectrogram: Tensor) -> Tensor:
        """The frequency masks of SpecAugment on ``(batch, bands, time)``: masked cells become the clip's mean."""
        if not self.recipe.spec_masks:
            return spectrogram
        mean = spectrogram.mean(dim=(1, 2), keepdim=True)
        centred = spectrogram - mean
        for _ in range(self.recipe.spec_masks):
            centred = self._mask(centred, 1, self.recipe.freq_mask)
        return centred + mean

    def features(self, features: Tensor, *, bands: bool = True) -> Tensor:
        """SpecAugment on normalised ``(batch, freq, time)``: masked cells become 0, the training mean.

        ``freq`` is masked too where it counts ``bands``.
        """
        recipe = self.recipe
        for _ in range(recipe.spec_masks):
            if bands:
                features = self._mask(features, 1, recipe.freq_mask)
            features = self._mask(features, 2, recipe.time_mask)
        return features

    def mixup(self, inputs: dict[str, Tensor], targets: Tensor, num_classes: int) -> tuple[dict[str, Tensor], Tensor]:
        """Mix each clip with another of the batch, its targets alike; text cannot be mixed and stops it.

        ``targets``, class indices or indicators, come back as ``(batch, num_classes)`` where they were mixed.
        """
        if self.recipe.mixup_alpha <= 0 or "text" in inputs:
            return inputs, targets
        batch = len(targets)
        if not self.branches:
            partners = self.give(lambda: self._partners(batch, always=True))
        elif len(found := self._partners(batch)):
            partners = torch.from_numpy(found)
        else:
            return inputs, targets
        weight, order = partners[0], partners[1].long()
        soft = targets if targets.ndim == 2 else F.one_hot(targets, num_classes).float()
        mixed = {name: _blend(x, x[order.to(x.device)], weight) for name, x in inputs.items()}
        return mixed, _blend(soft, soft[order.to(soft.device)], weight)

    def _partners(self, batch: int, *, always: bool = False) -> Array:
        """Weights and partners ``(2, batch)`` of a batch that is mixed; else nothing, or ``always`` each clip alone."""
        if self.rng.random() < self.recipe.mixup_prob:
            weights = self.rng.beta(self.recipe.mixup_alpha, self.recipe.mixup_alpha, size=batch)
            return np.stack([weights, self.rng.permutation(batch)])
        return np.stack([np.ones(batch), np.arange(batch)]) if always else np.empty((0, batch))

    def _shift(self, audio: Tensor, largest: int) -> Tensor:
        batch, samples = audio.shape
        offsets = self.give(lambda: self.rng.integers(2 * largest + 1, size=batch))
        return _windows(F.pad(audio, (largest, largest)), offsets, samples)

    def _mask(self, features: Tensor, axis: int, widest: int) -> Tensor:
        batch, size = len(features), features.shape[axis]
        widest = min(widest, int(self.recipe.mask_share * size / self.recipe.spec_masks))
        if widest < 1:
            return features

        def cells() -> Array:
            width = self.rng.integers(widest + 1, size=(batch, 1))
            start = self.rng.integers(0, size - width + 1)
            place = np.arange(size)
            covered: Array = (place >= start) & (place < start + width)
            return covered

        hidden = self.give(cells).to(features.device)
        return features.masked_fill(hidden[:, :, None] if axis == 1 else hidden[:, None, :], 0.0)


def _rolled(x: Tensor, starts: Tensor) -> Tensor:
    """Roll the last dimension of each item by a fraction of its length."""
    size = x.shape[-1]
    offsets = (starts * size).round().long()
    return _windows(torch.cat([x, x], dim=-1), size - offsets, size)


def _windows(x: Tensor, offsets: Tensor, size: int) -> Tensor:
    """``size`` values of each item's last dimension, each from its own offset on."""
    if x.device.type == "cpu":
        return torch.stack([item[..., o : o + size] for item, o in zip(x, offsets.tolist(), strict=True)])
    place = offsets.to(x.device)[:, None] + torch.arange(size, device=x.device)  # no wait for the device
    place = place.reshape(len(x), *([1] * (x.ndim - 2)), size).expand(*x.shape[:-1], size)
    return x.gather(-1, place)


def _blend(a: Tensor, b: Tensor, weight: Tensor) -> Tensor:
    if not a.is_floating_point():
        return torch.maximum(a, b)  # samples of both: the longer clip is heard to its end
    weight = weight.to(a).reshape(-1, *([1] * (a.ndim - 1)))
    return a * weight + b * (1 - weight)
