"""Features of every clip in place of its waveform, of front ends whose features are always the same."""

from __future__ import annotations

import copy
import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.data.waveforms import Waveforms
from bench.errors import PluginError
from bench.job import Job
from bench.plugins.registry import Registry
from bench.results.provenance import digest, source_hash

if TYPE_CHECKING:
    from torch import nn


def precomputed(
    registry: Registry, job: Job, waveforms: Waveforms, frontend: nn.Module, *, stand_in: bool
) -> np.ndarray[Any, Any]:
    """``(clips, freq, time)`` float32, computed now or read from the cache.

    Raises:
        PluginError: The front end is trained, or gives one clip other features each time.
    """
    from bench.data.features import open_features

    name = job.cell.frontend
    heard = _heard(name, frontend, waveforms.samples.shape[1])
    if stand_in:
        return np.broadcast_to(heard, (len(waveforms), *heard.shape[1:]))
    drawn = hashlib.sha256(heard.tobytes()).hexdigest()  # weights drawn by the seed, wherever it keeps them
    options = dict(registry.models[job.cell.model].spec.frontend_options)
    key = digest([name, options, source_hash(registry.frontends[name].factory), drawn])
    return open_features(waveforms, frontend, key=key, dtype="float32").values


def _heard(name: str, frontend: nn.Module, samples: int) -> np.ndarray[Any, Any]:
    """What a front end makes of noise, the same time and again."""
    import torch

    if any(p.requires_grad for p in frontend.parameters()):
        raise PluginError(f"front end {name!r} is trained, so its features cannot be precomputed; use --feeding fly")
    noise = torch.rand(1, samples, generator=torch.Generator().manual_seed(0)) - 0.5
    with torch.no_grad():
        heard, *others = (one(noise) for one in (frontend, frontend, copy.deepcopy(frontend).train()))
    if not all(torch.allclose(heard, other, equal_nan=True) for other in others):
        raise PluginError(
            f"front end {name!r} gives one clip other features each time or in training (dropout, augmentation), so "
            "that they cannot be precomputed; use --feeding fly"
        )
    found: np.ndarray[Any, Any] = heard.numpy()
    return found
