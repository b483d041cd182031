"""A plugin file for tests: models that predicting changes, and models that feel their batch mates."""

import numpy as np
import torch
from torch import nn

from bench import Clips, DatasetSpec, ModelSpec, hookimpl

RATE, SAMPLES, CLIPS = 8000, 1600, 90
NETWORKS = ("good", "batch_norm", "rewrites", "stays_in_train", "batch_statistics", "frozen")
ESTIMATORS = ("good", "counts", "batch_wise", "opaque", "large")


@hookimpl
def bench_add_models():
    shape = {"n_fft": 128, "window": 128, "hop": 64, "n_mels": 8, "fmax": 4000.0}
    recipes = {"*": {"trim_db": None}}
    return [
        *(ModelSpec(name=f"net.{kind}", factory=":Net", options={"kind": kind}, frontend="torchaudio",
                    frontend_options=shape, recipes=recipes) for kind in NETWORKS),
        *(ModelSpec(name=f"plain.{kind}", factory=":Plain", options={"kind": kind}, estimator=True)
          for kind in ESTIMATORS),
    ]  # fmt: skip


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
        manifest_sha256="tones", splits=tuple("train" if i < 51 else "test" for i in range(CLIPS)),
    )  # fmt: skip


class Net(nn.Module):
    def __init__(self, task, *, kind):
        super().__init__()
        freq, frames = task.feature_shape
        self.kind = kind
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(freq * frames, 16))
        self.norm = nn.BatchNorm1d(16, track_running_stats=kind != "batch_statistics")
        if kind in ("good", "frozen"):
            self.norm = nn.LayerNorm(16)
        self.head = nn.Linear(16, task.num_classes)

    def forward(self, x):
        if self.kind == "stays_in_train":
            self.norm.train()
        logits = self.head(self.embed(x))
        if self.kind == "rewrites" and not self.training:
            self.head.bias.data += 0.01 * logits.mean(dim=0)
        return logits

    def embed(self, audio):
        return torch.relu(self.norm(self.body(audio)))


class Plain:
    def __init__(self, task, *, kind):
        self.kind, self.classes, self.calls = kind, task.num_classes, 0
        self.opaque = (lambda: None) if kind == "opaque" else None
        self.large = np.zeros(65_000_000 // 8) if kind == "large" else None

    def fit(self, x, y):
        self.centres = np.stack([self._seen(x)[y == one].mean(axis=0) for one in range(self.classes)])
        return self

    def _seen(self, x):
        return np.log(np.abs(np.fft.rfft(x, axis=1)) + 1e-3)

    def predict_proba(self, x):
        seen = self._seen(x)
        if self.kind == "batch_wise":
            seen = seen - seen.mean(axis=0)
        if self.kind == "counts":
            self.calls += 1
        far = ((seen[:, None] - self.centres) ** 2).mean(axis=2)
        chances = np.exp(-far)
        return chances / chances.sum(axis=1, keepdims=True)
