#!/usr/bin/env bash
# torchmetrics guesses for each batch whether scores are logits: zero-shot cosines get another mAP with each batch size,
# and the same cosines times 100, as CLAP gives them, nearly that of chance.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip() { "$folder/venv/bin/pip" install -q --disable-pip-version-check "$@"; }
pip torchmetrics==1.9.0 torch==2.11.0 numpy==2.3.5 scikit-learn==1.8.0
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import torch
import torchmetrics
from sklearn.metrics import average_precision_score
from torchmetrics.classification import MultilabelAveragePrecision

CLIPS, CLASSES = 2000, 10
made = torch.Generator().manual_seed(0)
truth = (torch.rand(CLIPS, CLASSES, generator=made) < 0.1).int()
cosines = 0.2 + 0.1 * torch.randn(CLIPS, CLASSES, generator=made) + 0.2 * truth


def score(scores: torch.Tensor, batch: int) -> float:
    metric = MultilabelAveragePrecision(CLASSES)
    for one, other in zip(scores.split(batch), truth.split(batch), strict=True):
        metric.update(one, other)
    return float(metric.compute())


rank = average_precision_score(truth, cosines, average="macro")
print(f"torchmetrics {torchmetrics.__version__}, {CLIPS} clips, {CLASSES} labels; mAP by scikit-learn {rank:.1%}")
batches = {size: score(cosines, size) for size in (1, 4, 8, 32)}
for size, found in batches.items():
    print(f"cosines, batches of {size}: {found:.1%}")
large = score(100 * cosines, CLIPS)
print(f"cosines times 100, all at once: {large:.1%}; the order is the same, but above 17 a sigmoid in float32 is 1")
print("A batch within 0 and 1 is taken as it is, any other goes through a sigmoid: 0.3 in one is 0.57 in another.")
same = abs(batches[32] - rank) < 1e-3 and batches[1] < 0.4 and batches[4] < 0.55 and batches[8] < 0.65 and large < 0.25
sys.exit(0 if same else 1)
PYTHON
