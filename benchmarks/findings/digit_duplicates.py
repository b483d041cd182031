"""Duplicated utterances under a random split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from findings.entry import Finding, Number, Study

ROWS = 60_000
DISTINCT = 34_801
HELD_OUT = 0.2
SPLITS = 20


def as_even_as_possible() -> npt.NDArray[np.int64]:
    """Rows of each utterance where none has two more than another."""
    return np.arange(ROWS) % DISTINCT


def at_random() -> npt.NDArray[np.int64]:
    """Rows where every utterance stands once and the rest are drawn with replacement."""
    rng = np.random.default_rng(0)
    return np.concatenate([np.arange(DISTINCT), rng.integers(DISTINCT, size=ROWS - DISTINCT)])


def heard_before(utterances: npt.NDArray[np.int64]) -> list[float]:
    """Per random split: share of the held-out rows whose utterance also stands in training."""
    shares = []
    for seed in range(SPLITS):
        order = np.random.default_rng(seed).permutation(ROWS)
        cut = int(HELD_OUT * ROWS)
        known = np.zeros(DISTINCT, dtype=bool)
        known[utterances[order[cut:]]] = True
        shares.append(float(known[utterances[order[:cut]]].mean()))
    return shares


def expected(utterances: npt.NDArray[np.int64]) -> float:
    """The mean over all splits: a row with m - 1 twins has none in training with probability 0.2^(m - 1)."""
    rows_of = np.bincount(utterances, minlength=DISTINCT)
    return float((rows_of * (1 - HELD_OUT ** (rows_of - 1))).sum() / ROWS)


def find(data: Path | None) -> Finding:  # noqa: ARG001
    even, random = as_even_as_possible(), at_random()
    simulated = [heard_before(even), heard_before(random)]
    return Finding(
        title="Most validation utterances were heard in training",
        source="Jaron-U/Multimodal-Image-and-Audio-Recognition-Model @ f797aee, `data_process.py`, README; data of "
        "Khacef et al., Zenodo 4452953",
        practice="60 000 pairs are split 80/20 at random. The recordings in them are 34 801 distinct ones: the others "
        "repeat an utterance with another image. The four validation accuracies lie between 98.86 and 99.00 %.",
        method=f"How often each utterance stands is taken in two ways: as even as possible, and every one once with "
        f"the rest drawn at random. {SPLITS} random splits each, and the expectation in closed form.",
        numbers=(
            Number(what="validation pairs whose utterance is in training, repeats spread evenly",
                   value=100 * float(np.mean(simulated[0])), unit="%", origin="computed", tolerance=0.2,
                   spread=f"sd {100 * float(np.std(simulated[0])):.2f} over {SPLITS} splits; "
                   f"expected {100 * expected(even):.1f}"),
            Number(what="validation pairs whose utterance is in training, repeats at random",
                   value=100 * float(np.mean(simulated[1])), unit="%", origin="computed", tolerance=0.2,
                   spread=f"sd {100 * float(np.std(simulated[1])):.2f} over {SPLITS} splits; "
                   f"expected {100 * expected(random):.1f}"),
            Number(what="distinct utterances", value=DISTINCT, origin="cited",
                   spread="counted in the published training file"),
            Number(what="spread of the four published accuracies", value=99.000 - 98.858, unit="points",
                   origin="computed", tolerance=1e-6),
            Number(what="standard error of one of them, 12 000 pairs", value=100 * (0.99 * 0.01 / 12_000) ** 0.5,
                   unit="points", origin="computed", tolerance=1e-6),
        ),
        instead="A split whose test clips share a group with training is refused as a leak, with the rate; the "
        "protocol `random-5fold` exists to be refused.",
    )  # fmt: skip


STUDY = Study(find=find)
