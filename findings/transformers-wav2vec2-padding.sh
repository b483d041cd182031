#!/usr/bin/env bash
# How loud a short clip enters wav2vec 2.0 depends on the longest clip of its batch, unless a mask is asked for.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check transformers==5.24.0 numpy==2.3.5
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import transformers
from transformers import Wav2Vec2FeatureExtractor

RATE = 16_000
rng = np.random.default_rng(0)
short, long = (0.1 * rng.standard_normal(seconds * RATE).astype(np.float32) for seconds in (1, 5))
extract = Wav2Vec2FeatureExtractor()  # its defaults: normalises each clip, returns no attention mask


def level(clips, **options):
    found = extract(clips, sampling_rate=RATE, padding=True, return_tensors="np", **options)["input_values"]
    return float(found[0][:RATE].std())


alone, beside, masked = level([short]), level([short, long]), level([short, long], return_attention_mask=True)
print(f"transformers {transformers.__version__}, a clip of 1 s of unit deviation after normalisation:")
print(f"{alone:.3f} alone\n{beside:.3f} beside a clip of 5 s\n{masked:.3f} beside it, with return_attention_mask=True")
print("The mean and deviation of the default are taken over the padding too.")
same = abs(alone - 1) < 1e-3 and abs(beside - 5**0.5) < 1e-2 and abs(masked - 1) < 1e-3
sys.exit(0 if same else 1)
PYTHON
