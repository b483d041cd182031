"""A plugin file for tests: data with three modalities, data with published features, and models that tell their inputs.

Every clip's audio, image and text carry its own number, so that a test sees whose input a clip was given.
"""

from __future__ import annotations

import numpy as np
import torch

from bench import Clips, DatasetSpec, ModelSpec, hookimpl

CLIPS, SAMPLES = 24, 32


@hookimpl
def bench_add_models():
    both = {"factory": ":build", "modalities": ("audio",), "optional_modalities": ("image",)}
    return [
        ModelSpec(name="tell.both", frontends=("given",), **both),
        ModelSpec(name="tell.either", factory=":build", modalities=(), optional_modalities=("audio", "image")),
        ModelSpec(
            name="tell.worded",
            factory=":build",
            modalities=("audio", "text"),
            tokenizer=":build_tokenizer",
            options={"offset": 100, "width": 4},
        ),
        ModelSpec(name="tell.hashed", factory=":build", modalities=("audio", "text")),
        ModelSpec(name="tell.careless", factory=":build", modalities=("audio", "text"), tokenizer=":build_careless"),
        ModelSpec(name="tell.writes", factory=":build_writing", modalities=("audio",)),
        ModelSpec(name="tell.view", factory=":build", modalities=("audio", "image"), derived=("image",)),
    ]


@hookimpl
def bench_add_datasets():
    common = {"needs_files": False, "protocols": ("official",), "recipe": "smoke"}
    return [
        DatasetSpec(name="views", load=":load_views", **common),
        DatasetSpec(name="published", load=":load_published", **common),
    ]


def _clips(**more):
    targets = np.arange(CLIPS) % 2
    return Clips(
        ids=tuple(f"clip-{i}" for i in range(CLIPS)), targets=targets, label_names=("even", "odd"), sample_rate=8000,
        clip_samples=SAMPLES, splits=("train",) * 12 + ("test",) * 8 + ("predict",) * 4, **more,
    )  # fmt: skip


def load_views(root):
    return _clips(
        title="Views", manifest_sha256="views", audio=_tone, images=_images, image_shape=(1, 2, 2),
        texts=tuple(f"number {i}" for i in range(CLIPS)),
    )  # fmt: skip


def _tone(index):
    return np.full(SAMPLES, (index + 1) / 100, dtype=np.float32), 8000


def _images(indices):
    return np.stack([np.full((1, 2, 2), (i + 1) / 100, dtype=np.float32) for i in indices])


def load_published(root):
    targets = np.arange(CLIPS) % 2
    features = np.random.default_rng(0).normal(size=(CLIPS, 3, 5)).astype(np.float32)
    features[:, 0] += 4.0 * targets[:, None]
    return _clips(title="Published", manifest_sha256="published", audio=None, features=features)


class Tell(torch.nn.Module):
    """Logits from the mean of each input; keeps the keywords and shapes of its last call."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.scale = torch.nn.Linear(1, classes)
        self.rows = torch.nn.LazyLinear(classes)
        self.seen: dict[str, tuple[int, ...]] = {}

    def forward(self, *positional, **named):
        assert not positional, "a model that declares several modalities is called with keywords"
        self.seen = {name: tuple(x.shape) for name, x in named.items()}
        first = next(x for name, x in named.items() if x.is_floating_point())
        mean = sum(x.float().flatten(1).mean(1, keepdim=True) for x in named.values())
        return self.scale(mean) + 0 * self.rows(first.flatten(1)[:, :1])


class Writing(Tell):
    """A hundred times its input, written into the input; ``loudest`` is the largest value that it was given."""

    loudest = 0.0

    def forward(self, x):
        self.loudest = max(self.loudest, float(x.abs().max()))
        return super().forward(audio=x.mul_(100))


def build_writing(task):
    return Writing(task.num_classes)


def build(task, **options):
    return Tell(task.num_classes)


def build_tokenizer(offset):
    def tokenize(texts, length):
        ids = np.zeros((len(texts), length), dtype=np.int64)
        ids[:, 0] = [offset + int(text.split()[1]) for text in texts]
        return ids, ids > 0

    return tokenize


def build_careless():
    return lambda texts, length: (np.zeros((len(texts), length)), np.ones((len(texts), length), dtype=bool))
