"""A test set that is standardised with its own statistics."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

from bench_datasets.digits import load_official
from findings.entry import Finding, Number, Study

SHARE = 4
"""Every fourth training pair, which is enough for a linear classifier."""
Array = np.ndarray


def standardised(x: Array, of: Array) -> Array:
    """``x`` with the mean and deviation of ``of`` per feature, as the published program does it."""
    return (x - of.mean(axis=0)) / (of.std(axis=0) + 1e-10)


def find(data: Path | None) -> Finding:
    assert data is not None
    pairs = load_official(data / "digits")
    splits = np.asarray(pairs.splits)
    train, test = np.flatnonzero(splits == "train")[::SHARE], np.flatnonzero(splits == "test")
    x, y = pairs.images(train).reshape(len(train), -1), pairs.targets[train]
    held, truth = pairs.images(test).reshape(len(test), -1), pairs.targets[test]
    model = LogisticRegression(C=0.01, max_iter=200).fit(standardised(x, x), y)

    def score(parts: list[Array], *, own: bool) -> float:
        right = [model.predict(standardised(held[p], held[p] if own else x)) == truth[p] for p in parts]
        return 100 * float(np.concatenate(right).mean())

    order = np.random.default_rng(0).permutation(len(test))
    whole, tens, ones = [order], list(order.reshape(-1, 10)), list(order.reshape(-1, 1))
    by_digit = [np.flatnonzero(truth == digit) for digit in range(10)]
    return Finding(
        title="Standardised with its own statistics, a test set is scored by its company",
        source="Jaron-U/Multimodal-Image-and-Audio-Recognition-Model @ f797aee, `predict.py`",
        practice="Mean and deviation of every pixel and cepstrum are taken from the test set itself.",
        method=f"A linear classifier on the images of the digits set ({len(train)} training and {len(test)} test "
        "images, official split): the same images, standardised with the training statistics and with those of what "
        "is scored together. The published test set is large and balanced, where the effect is small (third row).",
        numbers=(
            Number(what="accuracy, scored one digit at a time, own statistics", value=score(by_digit, own=True),
                   unit="%", tolerance=2.0),
            Number(what="accuracy, training statistics, in any company", value=score(whole, own=False), unit="%",
                   tolerance=2.0),
            Number(what="accuracy, all test images together, own statistics", value=score(whole, own=True), unit="%",
                   tolerance=2.0),
            Number(what="accuracy, ten images at a time, own statistics", value=score(tens, own=True), unit="%",
                   tolerance=2.0),
            Number(what="accuracy, one image at a time, own statistics", value=score(ones, own=True), unit="%",
                   tolerance=2.0),
        ),
        instead="Statistics come from the training clips of the cell, are part of the checkpoint, and never change "
        "with what is scored.",
    )  # fmt: skip


STUDY = Study(find=find, needs_data=True)
