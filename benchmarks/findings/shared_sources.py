"""Shuffled folds and splits that share speakers."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import soundfile
import torch
from sklearn.neighbors import KNeighborsClassifier

from bench import TaskInfo
from bench.frontends import mfcc
from bench_datasets.digits import load_official
from findings.entry import Finding, Number, Study

SHUFFLES = 20
Array = np.ndarray


def shuffled_leaks(groups: Array, classes: Array, most: int) -> list[float]:
    """Per shuffle: share of the test clips, over five random folds, whose source also stands in training.

    Of the training clips the first ``most`` of each class are used, in the order of the shuffle.
    """
    shares = []
    for seed in range(SHUFFLES):
        order = np.random.default_rng(seed).permutation(len(groups))
        fold = np.empty(len(groups), dtype=np.int64)
        fold[order] = np.arange(len(groups)) % 5
        leaking = 0
        for k in range(5):
            train = order[fold[order] != k]
            used = np.concatenate([train[classes[train] == label][:most] for label in np.unique(classes)])
            leaking += int(np.isin(groups[fold == k], groups[used]).sum())
        shares.append(leaking / len(groups))
    return shares


def official_leaks(groups: Array, folds: Array) -> float:
    """Share of the test clips of the official folds whose source also stands in training."""
    return sum(int(np.isin(groups[folds == k], groups[folds != k]).sum()) for k in set(folds)) / len(groups)


def spoken(data: Path) -> tuple[Array, Array, Array, Array]:
    """Mean and deviation of 13 cepstra ``(3000, 26)``, digit, speaker and official part of every recording."""
    clips = load_official(data / "digits")
    with (data / "digits" / "pairs.csv").open(encoding="utf-8") as file:
        speaker = np.array([row["speaker"] for row in csv.DictReader(file)])

    front = mfcc.build(TaskInfo(num_classes=10, sample_rate=8_000, clip_samples=8_000), n_mfcc=13, n_mels=40, fmin=20,
                       fmax=4_000, n_fft=512, window=200, hop=80)  # fmt: skip
    rows = []
    for path in clips.audio:
        wave = torch.from_numpy(soundfile.read(path, dtype="float32")[0])
        with torch.no_grad():
            cepstra = front(torch.nn.functional.pad(wave, (0, max(0, 1_024 - len(wave))))[None])[0]
        rows.append(torch.cat([cepstra.mean(1), cepstra.std(1)]).numpy())
    return np.stack(rows), clips.targets, speaker, np.asarray(clips.splits)


def neighbour_accuracy(x: Array, y: Array, train: Array) -> float:
    """Accuracy in % of the nearest neighbour, trained where ``train`` holds, tested elsewhere."""
    mean, deviation = x[train].mean(axis=0), x[train].std(axis=0)
    scaled = (x - mean) / deviation
    return 100 * float(KNeighborsClassifier(1).fit(scaled[train], y[train]).score(scaled[~train], y[~train]))


def find(data: Path | None) -> Finding:
    assert data is not None
    with (data / "esc50" / "meta" / "esc50.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    groups, folds = np.array([row["src_file"] for row in rows]), np.array([int(row["fold"]) for row in rows])
    classes = np.array([int(row["target"]) for row in rows])
    leaks = {most: shuffled_leaks(groups, classes, most) for most in (len(rows), 16, 8)}
    x, y, speaker, part = spoken(data)
    known = 100 * float(np.isin(speaker[part == "test"], speaker[part == "train"]).mean())
    unheard = [neighbour_accuracy(x, y, speaker != name) for name in np.unique(speaker)]
    return Finding(
        title="Shuffled folds test on sources that were trained on",
        source="Random folds of ESC-50 as in mteb (five shuffled folds, of which it trains on 8 clips a class: "
        "`mteb/abstasks/classification.py`, `n_splits` and `samples_per_label` @ 012fa96) and ARCH (validation split); "
        "FSDD's official split (takes 0 to 4 are the test)",
        practice="Clips are divided at random, though several are cut from one recording, or by take, though every "
        "speaker recorded all takes.",
        method=f"ESC-50's own table of source recordings under {SHUFFLES} shuffles into five folds. FSDD's 3 000 "
        "recordings: nearest neighbour on mean and deviation of 13 cepstra, official split against leaving one speaker "
        "out.",
        numbers=(
            *(
                Number(what=f"ESC-50, shuffled folds{used}: test clips whose source recording is in training",
                       value=100 * float(np.mean(leaks[most])), unit="%", tolerance=0.5,
                       spread=f"sd {100 * float(np.std(leaks[most])):.1f} over {SHUFFLES} shuffles")
                for most, used in ((len(rows), ""), (16, ", 16 training clips a class"),
                                   (8, ", 8 training clips a class as in mteb"))
            ),
            Number(what="ESC-50, official folds", value=100 * official_leaks(groups, folds), unit="%", tolerance=1e-6,
                   spread="four recordings with two classes each"),
            Number(what="FSDD, official split: test clips whose speaker is in training", value=known, unit="%"),
            Number(what="FSDD, nearest neighbour, official split", value=neighbour_accuracy(x, y, part != "test"),
                   unit="%", tolerance=1.0),
            Number(what="FSDD, nearest neighbour, unheard speaker", value=float(np.mean(unheard)), unit="%",
                   spread=f"{min(unheard):.0f} to {max(unheard):.0f} over six speakers", tolerance=1.5),
        ),
        instead="Splits assert that no group stands on both sides; a shuffled ESC-50 ends with the leak rate as its "
        "error. `digits-speaker` and `fsdd` have speaker folds.",
    )  # fmt: skip


STUDY = Study(find=find, needs_data=True)
