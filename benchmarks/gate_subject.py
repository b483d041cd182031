"""A plugin for `benchmarks/gate.py`: one small network that the environment makes slower, fatter or worse.

``BENCH_GATE_CHANGE`` is empty, ``slower`` (30 % more work), ``fatter`` (5 % of its process's memory more) or ``worse``
(5 % of the test clips, the same ones each time, get another class's logits).
"""

import os

from bench import Clips, DatasetSpec, ModelSpec, hookimpl

RATE, SAMPLES, CLIPS, FOLDS, CLASSES = 8000, 8000, 400, 5, 4
LAYERS = 10
FATTER_BYTES = 12 * 2**20
"""Held by the model, its averaged copy and once more while it is copied: about a twentieth of a worker's memory."""


@hookimpl
def bench_add_models():
    """The network under test."""
    features = {"n_fft": 256, "window": 256, "hop": 128, "n_mels": 32, "fmax": 4000.0}
    return [ModelSpec(name="subject.net", factory=":build", frontend="torchaudio", frontend_options=features)]


@hookimpl
def bench_add_datasets():
    """Four hundred generated tones, noisy enough that not all can be told."""
    return [DatasetSpec(name="subject", load=":load", needs_files=False, groups="source", protocols=("4+1",))]


def load(_root):
    """Tones of four pitches in noise."""
    import numpy as np

    targets = np.arange(CLIPS) % CLASSES

    def audio(i):
        rng = np.random.default_rng(i)
        wave = np.sin(2 * np.pi * 300 * 2 ** targets[i] * np.arange(SAMPLES) / RATE + rng.uniform(0, 6))
        return (0.1 * wave + 0.3 * rng.standard_normal(SAMPLES)).astype(np.float32), RATE

    return Clips(
        title="Tones in noise (generated)", ids=tuple(f"tone-{i}" for i in range(CLIPS)),
        targets=targets.astype(np.int64), label_names=("300", "600", "1200", "2400"), audio=audio, sample_rate=RATE,
        clip_samples=SAMPLES, manifest_sha256="subject", folds=(np.arange(CLIPS) * FOLDS // CLIPS + 1).astype(np.int64),
        groups=tuple(f"g{i}" for i in range(CLIPS)),
    )  # fmt: skip


def build(task):
    """Ten equal convolutions, the last of them as often again as the change says."""
    import torch
    from torch import nn

    change = os.environ.get("BENCH_GATE_CHANGE", "")

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Conv1d(task.feature_shape[0], 128, 1)
            self.layers = nn.ModuleList(nn.Conv1d(128, 128, 5, padding=2) for _ in range(LAYERS))
            self.head = nn.Linear(128, task.num_classes)
            self.held = torch.ones(FATTER_BYTES, dtype=torch.uint8) if change == "fatter" else None

        def forward(self, x):
            again = LAYERS * 3 // 10 if change == "slower" else 0
            x = self.stem(x)
            for layer in [*self.layers, *[self.layers[-1]] * again]:
                x = x + torch.relu(layer(x))
            logits = self.head(x.mean(2))
            if change != "worse" or self.training:
                return logits
            # A clip is chosen by its own sound, so that the same ones are wrong in every batch and process.
            chosen = (x.abs().sum((1, 2)) * 1e3).long() % 18 == 0
            return torch.where(chosen[:, None], logits.roll(1, 1), logits)

    return Net()
