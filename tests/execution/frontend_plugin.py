"""A plugin file for tests: front ends that draw their weights or drop some of what they hear, and small models."""

import numpy as np
import torch
from torch import nn

from bench import Clips, DatasetSpec, FrontendSpec, ModelSpec, hookimpl

RATE, SAMPLES, CLIPS, FRAMES = 8000, 800, 60, 8


@hookimpl
def bench_add_frontends():
    return [FrontendSpec(name=kind, factory=f":{kind}") for kind in ("drawn", "dropping", "dithering")]


@hookimpl
def bench_add_models():
    recipes = {"*": {"trim_db": None}}
    return [
        ModelSpec(name=f"{name}.{kind}", factory=factory, frontend=kind, recipes=recipes, estimator=name == "plain")
        for name, factory in (("net", ":net"), ("plain", ":plain"))
        for kind in ("drawn", "dropping", "dithering")
    ]


@hookimpl
def bench_add_datasets():
    return [DatasetSpec(name="tones", load=":load", needs_files=False, protocols=("official",))]


def load(_root):
    targets = np.arange(CLIPS) % 3

    def audio(i):
        rng = np.random.default_rng(i)
        wave = np.sin(2 * np.pi * (300 + 700 * targets[i]) * np.arange(SAMPLES) / RATE + rng.uniform(0, 6))
        return (0.3 * wave + 0.2 * rng.standard_normal(SAMPLES)).astype(np.float32), RATE

    return Clips(
        title="Tones", ids=tuple(f"tone-{i}" for i in range(CLIPS)), targets=targets.astype(np.int64),
        label_names=("low", "middle", "high"), audio=audio, sample_rate=RATE, clip_samples=SAMPLES,
        manifest_sha256="tones", splits=tuple("train" if i < 40 else "test" for i in range(CLIPS)),
    )  # fmt: skip


class Random(nn.Module):
    """Random projections of frames; neither its weights nor its gain stand in the state dict."""

    def __init__(self):
        super().__init__()
        self.register_buffer("weights", torch.randn(12, 100), persistent=False)
        self.gain = float(torch.rand(())) + 0.5

    def forward(self, waveform):
        frames = waveform[:, : 100 * FRAMES].reshape(len(waveform), FRAMES, 100)
        return (self.gain * (self.weights @ frames.transpose(1, 2)).abs() + 0.01).log()


class Dropping(Random):
    """Random projections, some of which are dropped while a model trains."""

    def forward(self, waveform):
        return nn.functional.dropout(super().forward(waveform), 0.3, self.training)


class Dithering(Random):
    """Random projections of the clip and of noise that is drawn anew at each call."""

    def forward(self, waveform):
        return super().forward(waveform + 0.1 * torch.randn_like(waveform))


def drawn(_task):
    return Random()


def dropping(_task):
    return Dropping()


def dithering(_task):
    return Dithering()


def net(task):
    freq, frames = task.feature_shape
    return nn.Sequential(nn.Flatten(), nn.Linear(freq * frames, task.num_classes))


class Plain:
    """The class whose mean is nearest."""

    def __init__(self, classes):
        self.classes = classes

    def fit(self, x, y):
        self.centres = np.stack([x[y == one].mean(axis=0) if (y == one).any() else x[0] for one in range(self.classes)])

    def predict_proba(self, x):
        far = ((x[:, None] - self.centres) ** 2).mean(axis=(2, 3))
        chances = np.exp(-far)
        return chances / chances.sum(axis=1, keepdims=True)


def plain(task):
    return Plain(task.num_classes)
