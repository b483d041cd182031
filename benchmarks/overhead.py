"""The engine's training loop against a hand-written one over the same model, data and order: interleaved ratios.

``python benchmarks/overhead.py [--pairs N] [--json]``. The promise: at most 1 % overhead.
"""

from __future__ import annotations

import argparse
import json
import math
import time

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import bootstrap
from torch import nn

from bench.data.batches import Batches
from bench.execution.pipeline import Pipeline
from bench.execution.step import StepSettings, TrainStep
from bench.execution.train import train
from bench.recipe import Recipe

CLIPS, SAMPLES, CLASSES, BATCH, EPOCHS = 320, 16_000, 10, 16, 3


class Net(nn.Module):
    """A strided convolutional network on the waveform: about 10 ms a step on one core."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(1, 32, 64, stride=16), nn.BatchNorm1d(32), nn.GELU(),
            nn.Conv1d(32, 64, 8, stride=4), nn.BatchNorm1d(64), nn.GELU(),
            nn.Conv1d(64, 128, 8, stride=4), nn.BatchNorm1d(128), nn.GELU(),
        )  # fmt: skip
        self.head = nn.Linear(128, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x[:, None]).mean(dim=2))


def clips() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(-8000, 8000, (CLIPS, SAMPLES)).astype(np.int16), rng.integers(CLASSES, size=CLIPS)


def engine(waves: np.ndarray, targets: np.ndarray) -> float:
    """Seconds of the engine's loop."""
    torch.manual_seed(0)
    pipeline = Pipeline(Net(), frontend=None, normaliser=None, modalities=("audio",), num_classes=CLASSES)
    recipe = Recipe(epochs=EPOCHS, batch=BATCH, ema=None, normalise="none")
    batches = Batches({"audio": waves}, targets, np.arange(CLIPS), BATCH, seed=0)
    start = time.perf_counter()
    train(TrainStep(pipeline, StepSettings(recipe=recipe, seed=0), len(batches)), batches)
    return time.perf_counter() - start


def by_hand(waves: np.ndarray, targets: np.ndarray) -> float:
    """Seconds of the loop that a careful person writes."""
    torch.manual_seed(0)
    net = Net()
    matrices = [p for p in net.parameters() if p.ndim > 1]
    vectors = [p for p in net.parameters() if p.ndim <= 1]
    groups = [{"params": matrices}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, weight_decay=0.05, fused=True)
    labels = torch.from_numpy(targets)
    steps = EPOCHS * CLIPS // BATCH
    warm = round(0.08 * steps)
    step = 0
    net.train()
    start = time.perf_counter()
    for epoch in range(1, EPOCHS + 1):
        order = torch.randperm(CLIPS, generator=torch.Generator().manual_seed(epoch)).numpy()
        total = torch.zeros(())
        for first in range(0, CLIPS, BATCH):
            index = order[first : first + BATCH]
            factor = (step + 1) / (warm + 1)
            if step >= warm:
                factor = 0.5 * (1 + math.cos(math.pi * (step - warm) / (steps - warm)))
            for group in optimizer.param_groups:
                group["lr"] = 1e-3 * factor
            x = torch.from_numpy(waves[index]).float() / 32768
            loss = F.cross_entropy(net(x), labels[torch.from_numpy(index)], label_smoothing=0.1)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            total += loss.detach()
            step += 1
        float(total)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = clips()
    engine(*data), by_hand(*data)
    ratios = []
    for pair in range(options.pairs):
        if pair % 2:
            hand, ours = by_hand(*data), engine(*data)
        else:
            ours, hand = engine(*data), by_hand(*data)
        ratios.append(ours / hand)
    values = np.log(ratios)
    interval = bootstrap((values,), np.median, confidence_level=0.95, rng=np.random.default_rng(0)).confidence_interval
    result = {
        "pairs": options.pairs,
        "ratio": float(np.exp(np.median(values))),
        "low": float(np.exp(interval.low)),
        "high": float(np.exp(interval.high)),
        "ratios": ratios,
    }
    if options.json:
        print(json.dumps(result))
    else:
        print(
            f"engine / hand-written: {result['ratio']:.4f} [{result['low']:.4f}, {result['high']:.4f}] "
            f"(median of {options.pairs} interleaved pairs, {EPOCHS * CLIPS // BATCH} steps each)"
        )


if __name__ == "__main__":
    main()
