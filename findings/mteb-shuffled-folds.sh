#!/usr/bin/env bash
# MTEB's audio tasks deal out clips at random where the data set's authors publish folds that keep a recording together:
# an encoder that knows recordings again, and no class at all, scores and overtakes one that knows classes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip() { "$folder/venv/bin/pip" install -q --disable-pip-version-check "$@"; }
pip mteb==2.26.24 datasets==5.2.0 transformers==5.24.0 torch==2.11.0 numpy==2.3.5 scikit-learn==1.8.0
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys
from importlib.metadata import version

import numpy as np
from datasets import Dataset, DatasetDict
from mteb.tasks.classification.zxx.urban_sound8k import UrbanSound8kClassification
from sklearn.base import clone

FOLDS, CLASSES, RECORDINGS, CUTS, DIM = 10, 10, 20, 10, 256
rng = np.random.default_rng(0)
recording = rng.permutation(np.repeat(np.arange(CLASSES * RECORDINGS), CUTS))
target, fold = recording // RECORDINGS, recording % FOLDS  # a recording lies in one fold, as in UrbanSound8K
noise = rng.standard_normal((len(target), DIM))
encoders = {
    "recordings, no class": 2 * rng.standard_normal((CLASSES * RECORDINGS, DIM))[recording] + noise,
    "classes, no recording": 0.12 * rng.standard_normal((CLASSES, DIM))[target] + noise,
}


class Encoder:
    """What MTEB asks of an encoder; a clip's only sample is its number."""

    mteb_model_meta = "none"

    def __init__(self, vectors: np.ndarray) -> None:
        self.vectors = vectors

    def encode(self, inputs, **_) -> np.ndarray:
        return self.vectors[[int(clip["array"][0]) for batch in inputs for clip in batch["audio"]]]

    def similarity(self, one, other): ...
    def similarity_pairwise(self, one, other): ...


def by_mteb(vectors: np.ndarray) -> float:
    """Accuracy of MTEB's own task, given these clips with their folds."""
    sounds = [{"array": [float(number)], "sampling_rate": 16_000} for number in range(len(target))]
    clips = {"audio": sounds, "classID": target.tolist(), "fold": fold.tolist()}
    task = UrbanSound8kClassification()
    task.dataset, task.data_loaded = DatasetDict(train=Dataset.from_dict(clips)), True
    return task.evaluate(Encoder(vectors), split="train", encode_kwargs={})["default"]["accuracy"]


def by_folds(vectors: np.ndarray) -> float:
    """The same classifier on as many clips of a class, trained outside the fold that it is tested on."""
    rates = []
    for held in range(FOLDS):
        train, test = np.flatnonzero(fold != held), fold == held
        few = np.concatenate([train[target[train] == c][: UrbanSound8kClassification.samples_per_label] for c in range(CLASSES)])
        model = clone(UrbanSound8kClassification.evaluator_model).fit(vectors[few], target[few])
        rates.append(model.score(vectors[test], target[test]))
    return float(np.mean(rates))


print(f"mteb {version('mteb')}, its task UrbanSound8k: {CLASSES} classes, {RECORDINGS} recordings each, {CUTS} clips of each")
found = {}
for known, vectors in encoders.items():
    found[known] = by_mteb(vectors), by_folds(vectors)
    print(f"an encoder that knows {known}: MTEB {found[known][0]:.1%}, the folds given {found[known][1]:.1%}")
(loud, none), (little, plain) = found.values()
sys.exit(0 if none < 0.15 and loud > 0.35 and loud > little and plain > none and abs(little - plain) < 0.05 else 1)
PYTHON
