"""A plugin file for tests: networks with all that a division of batches could change, and what a rank may do."""

import os
import signal
import subprocess

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from bench import Clips, DatasetSpec, ModelSpec, hookimpl

RATE, SAMPLES, CLIPS = 8000, 1600, 93
KINDS = ("good", "batch_norm", "random", "raises", "killed", "leaves", "keeps", "starts")


@hookimpl
def bench_add_models():
    shape = {"n_fft": 128, "window": 128, "hop": 64, "n_mels": 8, "fmax": 4000.0}
    return [
        ModelSpec(name=f"ranked.{kind}", factory=":Net", options={"kind": kind}, frontend="torchaudio",
                  frontend_options=shape, recipes={"*": {"trim_db": None}})
        for kind in KINDS
    ] + [ModelSpec(name="ranked.forest", factory=":Net", estimator=True)]  # fmt: skip


@hookimpl
def bench_add_datasets():
    return [DatasetSpec(name="tones", load=":load", needs_files=False, protocols=("official-val",))]


def load(_root):
    targets = np.arange(CLIPS) % 3

    def audio(i):
        rng = np.random.default_rng(i)
        wave = np.sin(2 * np.pi * (300 + 700 * targets[i]) * np.arange(SAMPLES) / RATE + rng.uniform(0, 6))
        return (0.3 * wave + 0.2 * rng.standard_normal(SAMPLES)).astype(np.float32), RATE

    parts = ("train",) * 53 + ("val",) * 17 + ("test",) * 23
    return Clips(
        title="Tones", ids=tuple(f"tone-{i}" for i in range(CLIPS)), targets=targets.astype(np.int64),
        label_names=("low", "middle", "high"), audio=audio, sample_rate=RATE, clip_samples=SAMPLES,
        manifest_sha256="tones", splits=parts,
    )  # fmt: skip


class Net(nn.Module):
    def __init__(self, task, *, kind):
        super().__init__()
        self.kind, self.started = kind, []
        bias = kind != "batch_norm"
        norms = (nn.BatchNorm2d(4), nn.BatchNorm1d(16)) if not bias else (nn.Identity(), nn.Identity())
        self.conv = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1, bias=bias), norms[0], nn.GELU())
        self.hidden = nn.Sequential(nn.Linear(4 * task.feature_shape[0], 16, bias=bias), norms[1], nn.GELU())
        self.unused = nn.Linear(3, 3)
        self.attention = nn.MultiheadAttention(4, 2, dropout=0.2, batch_first=True)
        self.head = nn.Linear(16, task.num_classes)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x):
        if self.training:
            self.misbehave(x)
        x = self.conv(x.unsqueeze(1))
        if self.kind == "random" and self.training:
            tokens = x.mean(2).transpose(1, 2)
            stored_by_time = tokens.transpose(0, 1).contiguous().transpose(0, 1)
            tokens = tokens + F.dropout(stored_by_time, 0.1, training=True)
            x = x + self.attention(tokens, tokens, tokens)[0].transpose(1, 2).unsqueeze(2)
            x = x * (torch.rand(len(x), 1, 1, 1) > 0.1) * x.new_empty(len(x), 1, 1, 1).bernoulli_(0.9)
            x = F.dropout(x, 0.1, training=True) + 0.01 * torch.randn_like(x)
        return self.head(self.hidden(x.mean(3).flatten(1)))

    def misbehave(self, x):
        import torch.distributed as dist

        if self.kind == "keeps":
            self.seen += x.mean()
        if not dist.is_initialized() or dist.get_rank() != 1:
            return
        if self.kind == "raises":
            raise ValueError("one of two broke")
        if self.kind == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.kind == "leaves":
            os._exit(0)
        if self.kind == "starts" and not self.started:
            self.started.append(subprocess.Popen(["sleep", "600"]))
