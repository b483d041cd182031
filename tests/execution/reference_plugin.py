"""A plugin file for tests: a family of models by reference, and clips of unequal lengths that say what was heard.

A referred file holds a gain. The model tells of each clip the gain, its own samples and how many it was given.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from bench import CheckpointError, Clips, DatasetSpec, ModelSpec, Reference, hookimpl

CLIPS, RATE = 24, 8_000


@hookimpl
def bench_add_models():
    return [
        ModelSpec(
            name="gain", factory=":build", reference=":resolve", syntax="FILE?power=N&rate=HZ", lengths=True,
            axes={"mode": "probe"}, recipes={"*": {"fill": "zeros"}}, description="one number from a file",
        ),
        ModelSpec(name="gain.plain", factory=":build_plain", sample_rate=4_000, lengths=True),
    ]  # fmt: skip


def resolve(target: Path, *, power: int = 1, rate: int | None = None) -> Reference:
    if not target.is_file():
        raise CheckpointError(f"no file at {target}; write gain:FILE")
    options = {"file": str(target), "power": power}
    return Reference(title=target.stem, files=(target,), fields={"options": options, "sample_rate": rate})


@hookimpl
def bench_add_datasets():
    return [DatasetSpec(name="lengths", load=":load", needs_files=False, protocols=("official",), recipe="smoke")]


def load(root):
    return Clips(
        title="Lengths", ids=tuple(f"clip-{i}" for i in range(CLIPS)), targets=np.arange(CLIPS) % 2,
        label_names=("even", "odd"), sample_rate=RATE, clip_samples=800, manifest_sha256="lengths", audio=_audio,
        splits=("train",) * 12 + ("test",) * 12,
    )  # fmt: skip


def _audio(index):
    samples = 800 - 20 * index
    rng = np.random.default_rng(index)
    return (0.5 * rng.standard_normal(samples)).clip(-1, 1).astype(np.float32), RATE


class Net(torch.nn.Module):
    def __init__(self, task, gain):
        super().__init__()
        self.head = torch.nn.Linear(3, task.num_classes)
        self.gain, self.rate = gain, task.sample_rate

    def embed(self, audio, audio_samples):
        own = audio_samples.float()
        return torch.stack([torch.full_like(own, self.gain), own / 1e3, torch.full_like(own, self.rate / 1e3)], 1)

    def forward(self, audio, audio_samples):
        return self.head(self.embed(audio, audio_samples))


def build(task, *, file, power):
    return Net(task, float(Path(file).read_text()) ** power)


def build_plain(task, *, scale: float = 1.0):
    return Net(task, scale)
