"""Attention dropout that stays on at test time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bench import TaskInfo
from bench_datasets.demo import load
from bench_plugins.digit_fusion import bench_add_models
from bench_plugins.digit_fusion.as_coded import AsCoded, build
from findings.clips import demo_features
from findings.entry import Finding, Number, Study

FRONTEND = next(dict(s.frontend_options) for s in bench_add_models() if s.name == "digit_fusion.transformer_attention")
EPOCHS = 4
PASSES = 20


def trained(audio: Tensor, image: Tensor, targets: Tensor) -> AsCoded:
    """The published transformer with attention fusion, its test-time dropout on, trained for a few epochs."""
    torch.manual_seed(0)
    task = TaskInfo(num_classes=10, feature_shape=tuple(audio.shape[1:]), image_shape=(1, 28, 28))
    net = build(task, encoder="transformer", fusion="attention", kernel=5, drop_in_eval=True).train()
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-4, fused=True)
    for _ in range(EPOCHS):
        for index in torch.randperm(len(targets)).split(32):
            optimizer.zero_grad()
            F.cross_entropy(net(audio[index], image[index]), targets[index]).backward()
            optimizer.step()
    return net.eval()


def find(data: Path | None) -> Finding:  # noqa: ARG001
    audio, targets, folds = demo_features("mfcc", FRONTEND)
    image = torch.from_numpy(load(None).images(range(len(targets))))
    seen, test = folds != 5, folds == 5
    net = trained(audio[seen], image[seen], targets[seen])
    with torch.no_grad():
        logits = torch.stack([net(audio[test], image[test]) for _ in range(PASSES)])  # (passes, clips, classes)
    within = logits.std(dim=0).square().mean().sqrt()
    between = logits.mean(dim=0).std(dim=0).square().mean().sqrt()
    answers = logits.argmax(dim=2)
    unstable = (answers != answers[0]).any(dim=0).float().mean()
    scores = 100 * (answers == targets[test]).float().mean(dim=1).numpy()
    return Finding(
        title="The same clip gets other logits at every pass",
        source="Jaron-U/Multimodal-Image-and-Audio-Recognition-Model @ f797aee, `multi_model_fusion.py`, "
        "`_scaled_dot_product_attention`",
        practice="`F.dropout(attention_weights, p=dropout)` has `training=True` by default: one attention head in ten "
        "is set to zero in `eval()` too. With one key a dropped weight removes the head's whole output.",
        method=f"The published network with that dropout (`drop_in_eval`), trained {EPOCHS} epochs on the demo set, "
        f"scores its 80 test clips {PASSES} times in `eval()`. Spread of a clip's logits over passes, in standard "
        "deviations between clips.",
        numbers=(
            Number(what="spread of a clip's logits over passes", value=float(within / between), unit="sd",
                   spread=f"{PASSES} passes, 80 clips", tolerance=0.1),
            Number(what="clips whose answer is not the same in all passes", value=100 * float(unstable), unit="%",
                   spread=f"{PASSES} passes", tolerance=25.0),
            Number(what="accuracy, highest minus lowest pass", value=float(np.ptp(scores)), unit="points",
                   spread=f"{PASSES} passes, 80 clips", tolerance=6.0),
        ),
        instead="Dropout follows the mode of the module; `bench check` scores every model twice and refuses logits "
        "that differ. The registered `digit_fusion.as_coded_*` have this one fault off, since a score must be "
        "repeatable.",
    )  # fmt: skip


STUDY = Study(find=find)
