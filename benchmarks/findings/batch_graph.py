"""A graph over the clips of a mini-batch."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench import TaskInfo
from bench_plugins.convnext_attention import bench_add_models
from bench_plugins.convnext_attention.network import build
from findings.clips import demo_features, other_mates
from findings.entry import Finding, Number, Study

SPECS = {spec.name.partition(".")[2]: spec for spec in bench_add_models()}
BATCH = 20
SEEDS = 2
DRAWS = 2
EPOCHS = 8


@cache
def clips() -> tuple[Tensor, Tensor, Tensor]:
    """Normalised log-mel features ``(400, 64, 51)``, targets and folds of the demo clips."""
    return demo_features("torchaudio", dict(SPECS["batch_graph"].frontend_options))


def task(features: Tensor) -> TaskInfo:
    """The demo task with its feature shape."""
    return TaskInfo(num_classes=10, feature_shape=tuple(features.shape[1:]), clip_samples=16_000)


def trained(seed: int) -> nn.Module:
    """The small backbone with the published graph, trained on folds 1 to 4 of the demo clips."""
    features, targets, folds = clips()
    train = torch.nonzero(folds != 5).flatten()
    torch.manual_seed(seed)
    net = build(task(features), **{**SPECS["tiny"].options, "graph": "batch"}).train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.05, fused=True)
    for _ in range(EPOCHS):
        for index in train[torch.randperm(len(train))].split(BATCH):
            optimizer.zero_grad()
            F.cross_entropy(net(features[index]), targets[index]).backward()
            optimizer.step()
    return net.eval()


def find(data: Path | None) -> Finding:  # noqa: ARG001
    features, _, folds = clips()
    test = features[folds == 5]
    changes = []
    for seed in range(SEEDS):
        torch.manual_seed(seed)
        net = build(task(features), **SPECS["batch_graph"].options).eval()
        changes.append(other_mates(net, test[: 2 * BATCH], BATCH, DRAWS, seed).change)
    learnt = [other_mates(trained(seed), test, BATCH, 25, seed) for seed in range(SEEDS)]
    moved, flips = [found.change for found in learnt], [100 * found.flips for found in learnt]
    return Finding(
        title="A clip's score depends on the clips that share its batch",
        source="HazCodesLots/AudioForgeryDetection @ db33ba0, `ConvNeXt/ConvNeXt-SelfAttention.ipynb`, "
        "`GraphGuidedConvNet`",
        practice="The nearest-neighbour graph joins the clips of a mini-batch, in test as in training.",
        method=f"Test clips of the demo set are scored again and again in batches of {BATCH} with other mates. Change: "
        "root mean square of what a clip's logits move between two draws, in standard deviations between clips. Once "
        "the published graph at random weights (30.8 M parameters), once a small backbone with that graph, trained "
        f"{EPOCHS} epochs.",
        numbers=(
            Number(what="change of a clip's logits with its mates, trained", value=float(np.mean(moved)), unit="sd",
                   spread=f"{min(moved):.2f} to {max(moved):.2f} over {SEEDS} seeds", tolerance=0.15),
            Number(what="test clips that get another answer in at least one of 25 draws", value=float(np.mean(flips)),
                   unit="%", spread=f"{min(flips):.1f} to {max(flips):.1f} over {SEEDS} seeds", tolerance=20.0),
            Number(what="change of a clip's logits with its mates, published size, random weights",
                   value=float(np.mean(changes)), unit="sd",
                   spread=f"{min(changes):.2f} to {max(changes):.2f} over {SEEDS} seeds", tolerance=0.1),
        ),
        instead="The graph joins the tokens of one clip. `convnext_attention.batch_graph` keeps the published graph, "
        "is declared not inductive, never ranked and never timed on single clips; `bench check` finds such models.",
    )  # fmt: skip


STUDY = Study(find=find)
