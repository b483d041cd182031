"""A validation set that was cut out of the training set by the wrong index."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from findings.entry import Finding, Number, Study

ROWS = 1310 + 328
"""Cited: the notebook's sizes of training and validation."""
ACCURACY, TRAINING = 0.7012, 0.7504
"""Cited: epoch 19, the last that the notebook shows."""


def overlap(seed: int) -> tuple[int, int]:
    """Validation clips that are also trained on, and validation clips, as the notebook divides its table."""
    table = pd.DataFrame({"clip": range(ROWS)})
    train = table.sample(frac=0.8, random_state=seed).reset_index(drop=True)
    validation = table.drop(train.index)
    return int(validation["clip"].isin(train["clip"]).sum()), len(validation)


def find(data: Path | None) -> Finding:  # noqa: ARG001
    shared, size = overlap(200)
    others = [overlap(seed)[0] / size for seed in range(50)]
    unseen = (ACCURACY * size - TRAINING * shared) / (size - shared)
    return Finding(
        title="Four of five validation clips are training clips",
        source="redkai11/An-Audio-is-Worth-16-x-16-words-Memory-Efficient-Audio-Spectrogram-Transformer @ 0901290, "
        "`model.ipynb`, cells 24, 25, 32 and 35",
        practice="The training table is sampled and renumbered from 0; validation drops those new numbers, not the "
        "sampled rows. Its accuracy, 0.70 on ESC-50 after 20 epochs, is the only result; dropout is not switched off "
        "for it, and the 362 test clips are never scored.",
        method="The notebook's two lines on a table of its size and with its seed; the same with 50 other seeds. What "
        "is left for the unseen clips follows if the seen ones are answered at the training accuracy of that epoch "
        "(0.7504, cited; an assumption).",
        numbers=(
            Number(what="validation clips that are also trained on", value=100 * shared / size, unit="%",
                   tolerance=1e-6, spread=f"{shared} of {size}; "
                   f"{100 * min(others):.0f} to {100 * max(others):.0f} with 50 other seeds"),
            Number(what="published validation accuracy", value=100 * ACCURACY, unit="%", origin="cited"),
            Number(what="accuracy left for the unseen clips", value=100 * unseen, unit="%", origin="computed",
                   tolerance=0.1, spread=f"{size - shared} clips: standard error "
                   f"{100 * float(np.sqrt(unseen * (1 - unseen) / (size - shared))):.0f} points"),
        ),
        instead="Parts of a split are indices into one list, checked to share no clip and no source recording before "
        "anything runs; the test part opens when training has fixed its weights.",
    )  # fmt: skip


STUDY = Study(find=find)
