"""A plugin file for tests: a small generated data set and models that behave, and that misbehave in every way."""

import sys
import time

from bench import Clips, DatasetSpec, ModelSpec, hookimpl

RATE, SAMPLES, PER_FOLD, FOLDS = 8000, 1600, 12, 3
FAULTS = ("raises", "build_raises", "shape", "nan", "memory", "prints")


@hookimpl
def bench_add_models():
    names = ("tones.good", "tones.slow", "tones.opaque", *(f"faulty.{name}" for name in FAULTS))
    recipes = {"*": {"trim_db": None}}
    return [
        ModelSpec(name=name, factory=":build", options={"kind": name.partition(".")[2]}, frontend="torchaudio",
                  frontend_options={"n_fft": 128, "window": 128, "hop": 64, "n_mels": 8, "fmax": 4000.0},
                  recipes=recipes, sets=("tones",) if name.startswith("tones") else ())
        for name in names
    ] + [ModelSpec(name="wants.image", factory=":build", modalities=("audio", "image"))]  # fmt: skip


@hookimpl
def bench_add_datasets():
    return [
        DatasetSpec(
            name="tones", load=":load", needs_files=False, groups="source", protocols=("4+1", "3+1+1", "random-5fold")
        ),
        DatasetSpec(name="leaky", load=":load_leaky", needs_files=False, groups="source", protocols=("4+1",)),
    ]


def load(_root, *, leaky=False):
    import numpy as np

    count = PER_FOLD * FOLDS
    targets = np.arange(count) % 3

    def audio(i):
        rng = np.random.default_rng(i)
        wave = np.sin(2 * np.pi * (300 + 700 * targets[i]) * np.arange(SAMPLES) / RATE + rng.uniform(0, 6))
        return (0.3 * wave + 0.05 * rng.standard_normal(SAMPLES)).astype(np.float32), RATE

    return Clips(
        title="Tones (generated)", ids=tuple(f"tone-{i}" for i in range(count)), targets=targets.astype(np.int64),
        label_names=("low", "middle", "high"), audio=audio, sample_rate=RATE, clip_samples=SAMPLES,
        manifest_sha256="tones", folds=(np.arange(count) // PER_FOLD + 1).astype(np.int64),
        groups=tuple(f"g{i % 7 if leaky else i // 2}" for i in range(count)),
    )  # fmt: skip


def load_leaky(root):
    return load(root, leaky=True)


def build(task, *, kind):
    from torch import nn

    if kind == "build_raises":
        raise RuntimeError("no such layer")
    freq, frames = task.feature_shape

    class Model(nn.Module):
        opaque = kind == "opaque"

        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Flatten(), nn.Linear(freq * frames, 16), nn.Dropout(0.1), nn.ReLU())
            self.head = nn.Linear(16, task.num_classes)

        def forward(self, x):
            if self.training and kind not in ("good", "slow", "opaque"):
                misbehave(kind)
            if kind == "slow":
                time.sleep(0.02)
            logits = self.head(self.net(x))
            if kind == "shape":
                return logits[:, :-1]
            return logits * float("nan") if kind == "nan" else logits

    if kind == "prints":
        print("said by the model")  # noqa: T201 - what is tested
        sys.stderr.write("whispered by the model\n")
    return Model()


def misbehave(kind):
    import torch

    if kind == "raises":
        raise ValueError("the model broke here")
    if kind == "memory":
        torch.empty(2**50, dtype=torch.uint8)
