"""A mean over the batch instead of over time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from bench import TaskInfo
from bench_datasets.demo import LABELS
from bench_plugins.calm import bench_add_models
from bench_plugins.calm.as_coded import build
from findings.clips import demo_features, other_mates
from findings.entry import Finding, Number, Study

FRONTEND = next(dict(spec.frontend_options) for spec in bench_add_models() if spec.name == "calm.as_coded")
BATCH = 32
SEEDS = 5


def ceiling(classes: int, batch: int, draws: int = 20_000) -> tuple[float, float]:
    """Mean and standard deviation over batches of the best accuracy that one answer for a whole batch can have."""
    labels = np.random.default_rng(0).integers(classes, size=(draws, batch))
    best = np.array([np.bincount(row).max() for row in labels]) / batch
    return float(best.mean()), float(best.std())


def find(data: Path | None) -> Finding:  # noqa: ARG001
    features, _, folds = demo_features("mfcc", FRONTEND)
    test = features[folds == 5][: 2 * BATCH]
    task = TaskInfo(num_classes=10, feature_shape=tuple(features.shape[1:]), clip_samples=16_000, label_names=LABELS)
    shifts, answers = [], 0
    for seed in range(SEEDS):
        torch.manual_seed(seed)
        net = build(task).train()
        with torch.no_grad():
            for part in features[folds != 5].split(BATCH):
                net(part)  # moves the running statistics of its input scaling
            net.eval()
            alone = torch.cat([net(clip[None]) for clip in test])
            together = torch.cat([net(part) for part in test.split(BATCH)])
        answers = max(answers, other_mates(net, test, BATCH, 2, seed).answers)
        spread = alone.std(dim=0).square().mean().sqrt()
        shifts.append(float((together - alone).square().mean().sqrt() / spread))
    best, deviation = ceiling(10, BATCH)
    best50, deviation50 = ceiling(50, BATCH)
    return Finding(
        title="The mean over the batch gives one answer for all its clips",
        source="developerdhruv/Cross-Attention-Based-Large-Audio-Model, `lam.py`, `layers/`",
        practice="Attention gets matrices of (clips, 1024) and takes the clips for a sequence; the pooling averages "
        "dimension 0, the batch.",
        method=f"The published graph (`calm.as_coded`) at random weights on test clips of the demo set, alone and in "
        f"batches of {BATCH}. Change: root mean square difference of a clip's logits, in standard deviations between "
        "clips scored alone. The ceiling is what an ideal choice of that one answer reaches on shuffled, balanced "
        "classes.",
        numbers=(
            Number(what=f"different answers in a batch of {BATCH}", value=answers, spread=f"most of {SEEDS} seeds"),
            Number(what="change of a clip's logits, in a batch against alone", value=float(np.mean(shifts)), unit="sd",
                   spread=f"{min(shifts):.2f} to {max(shifts):.2f} over {SEEDS} seeds", tolerance=0.1),
            Number(what="best accuracy possible, 10 classes", value=100 * best, unit="%", origin="computed",
                   spread=f"sd {100 * deviation:.1f} over batches", tolerance=0.2),
            Number(what="best accuracy possible, 50 classes", value=100 * best50, unit="%", origin="computed",
                   spread=f"sd {100 * deviation50:.1f} over batches", tolerance=0.2),
        ),
        instead="`calm.conv` attends over the time steps of one clip and pools over them, masked. `calm.as_coded` is "
        "declared not inductive and never ranked.",
    )  # fmt: skip


STUDY = Study(find=find)
