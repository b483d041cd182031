#!/usr/bin/env bash
# The vector that a fused CLAP gives a clip of 5 s depends on chance and on how many clips stand beside it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check transformers==5.24.0 torch==2.11.0 numpy==2.3.5
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import torch
import transformers
from transformers import ClapAudioConfig, ClapAudioModel, ClapFeatureExtractor

RATE, CALLS = 48_000, 24
rng = np.random.default_rng(0)
clips = [0.1 * rng.standard_normal(5 * RATE).astype(np.float32) for _ in range(4)]
extract = ClapFeatureExtractor(truncation="fusion")  # its default, and that of the published fused networks
torch.manual_seed(0)
sizes = {"depths": [1, 1, 1, 1], "num_attention_heads": [1, 1, 1, 1], "patch_embeds_hidden_size": 16, "hidden_size": 128}
network = ClapAudioModel(ClapAudioConfig(enable_fusion=True, **sizes)).eval()


def seen(batch):
    """Which clips are marked as longer than 10 s, and the vector of the first."""
    features = extract(batch, sampling_rate=RATE, return_tensors="pt")
    with torch.no_grad():
        return features["is_longer"][:, 0].tolist(), network(**features).pooler_output[0]


alone = seen(clips[:1])
together = [seen(clips) for _ in range(CALLS)]
marked = {marks.index(True) for marks, _ in together if sum(marks) == 1}
kinds = {tuple(np.round(vector.numpy(), 4)) for _, vector in together}
plain = next(vector for marks, vector in together if not marks[0])
change = float((alone[1] - plain).norm() / plain.norm())
print(f"transformers {transformers.__version__}, four clips of 5 s, the same call {CALLS} times:")
print(f"one clip of each batch is marked as longer than 10 s; which one changes: {sorted(marked)}")
print(f"the first clip has {len(kinds)} vectors; alone it is always marked ({alone[0][0]}),")
print(f"and its vector is {100 * change:.0f} % of its length away from the one without a mark (random weights).")
same = alone[0] == [True] and len(marked) > 1 and len(kinds) == 2 and change > 0.01
sys.exit(0 if same else 1)
PYTHON
