"""Models of every kind that plans are made for, and plans of them."""

from __future__ import annotations

import numpy as np

from bench.clips import Clips
from bench.config.selection import Selection
from bench.planning.fingerprints import Loaded
from bench.planning.plan import expand
from bench.plugins.specs import ModelSpec

MODELS = [
    ModelSpec(name="net.small", factory="json:loads", frontend="mel", frontends=("fancy",), sets=("default",)),
    ModelSpec(
        name="net.stored", factory="json:loads", frontend="mel", alias_of="net.small", axes={"feeding": "precomputed"}
    ),
    ModelSpec(name="net.fancy", factory="json:loads", frontend="mel", alias_of="net.small", axes={"frontend": "fancy"}),
    ModelSpec(name="pair", factory="json:loads", modalities=("audio", "image")),
    ModelSpec(name="views", factory="json:loads", modalities=("audio", "image"), derived=("image",)),
    ModelSpec(name="keen", factory="json:loads", optional_modalities=("text",)),
    ModelSpec(
        name="either", factory="json:loads", modalities=(), optional_modalities=("audio", "image"), frontend="mel",
        frontends=("given",), pretrain="json:dumps",
    ),
    ModelSpec(
        name="either.tuned", factory="json:loads", modalities=(), optional_modalities=("audio", "image"),
        frontend="mel", alias_of="either", axes={"mode": "finetune", "weights": "masked", "inputs": "audio"},
    ),
    ModelSpec(
        name="views.control", factory="json:loads", modalities=("audio", "image"), derived=("image",),
        alias_of="views", axes={"inputs": "audio.shuffled+image"},
    ),
    ModelSpec(name="forest", factory="json:loads", estimator=True),
    ModelSpec(name="bert", factory="json:loads", needs_weights=True),
]  # fmt: skip


def loaded(registry, *, texts=None, images=False, features=False) -> dict[str, Loaded]:
    clips = Clips(
        title="Set", ids=tuple(map(str, range(30))), targets=np.arange(30) % 3, label_names=("a", "b", "c"),
        audio=None if features else lambda _: (np.zeros(4, dtype=np.float32), 8), sample_rate=8, clip_samples=4,
        manifest_sha256="m", folds=np.repeat([1, 2, 3], 10), groups=tuple(map(str, range(30))), texts=texts,
        features=np.zeros((30, 3, 5), dtype=np.float32) if features else None,
        images=(lambda _: np.zeros((1, 1, 28, 28), dtype=np.float32)) if images else None,
    )  # fmt: skip
    return {"set": Loaded(entry=registry.datasets["set"], clips=clips)}


def plan_of(registry, *models: str, data=None, **selection):
    chosen = Selection(models=models, datasets=("set",), **selection)
    return expand(chosen, registry, data or loaded(registry))


def one(registry, model: str, data=None, **selection):
    """The first evaluate cell of a model on one fold."""
    return plan_of(registry, model, data=data, folds=(1,), profile=False, **selection).cells[0]
