"""FSD50K: 51 197 sounds of Freesound in 200 classes of AudioSet's ontology, several labels a clip.

Source: E. Fonseca, X. Favory, J. Pons, F. Font, X. Serra, "FSD50K: an Open Dataset of Human-Labeled Sound Events",
IEEE/ACM TASLP 30, 2022 (arXiv 2010.00475; Zenodo 4060432). ``FSD50K.ground_truth/dev.csv`` names the clips of
``FSD50K.dev_audio`` with labels, their Freebase ids and ``train`` or ``val``; ``eval.csv`` those of
``FSD50K.eval_audio``, which are the test; ``vocabulary.csv`` the classes with their indices. Labels already include
their parents in the ontology. Development and evaluation clips have no uploader in common.
"""

from __future__ import annotations

from pathlib import Path

from bench import Clips, DataError
from bench_datasets import _common as common

CLASSES = 200
DEV_CLIPS, EVAL_CLIPS = 40_966, 10_231
"""What the published lists name."""

RATE = 16_000
SECONDS = 10
_TRUTH = "FSD50K.ground_truth"
_FOLDERS = ("fsd50k", "FSD50K")
_CUT = f"clips of 0.3 to 30 s are brought to {SECONDS} s: longer ones keep their beginning, with all of their labels"


def load(root: Path | None) -> Clips:
    """All clips with the publishers' train, validation and evaluation parts.

    Args:
        root: The folder with ``FSD50K.ground_truth``, ``FSD50K.dev_audio`` and ``FSD50K.eval_audio``, or one that holds
            it.

    Raises:
        DataError: A table is malformed or not FSD50K's, a label is no class, or clips are missing.
    """
    place = common.find_root(root, f"{_TRUTH}/dev.csv", _FOLDERS)
    truth = place / _TRUTH
    names = _vocabulary(truth / "vocabulary.csv")
    dev = common.read_table(truth / "dev.csv", ("fname", "labels", "split"))
    test = common.read_table(truth / "eval.csv", ("fname", "labels"))
    if wrong := [f"{row['fname']}: {row['split']!r}" for row in dev if row["split"] not in ("train", "val")]:
        raise DataError(f"{truth / 'dev.csv'} has clips that are neither train nor val: {common.shorten(wrong)}")
    rows = [*dev, *test]
    ids = tuple(row["fname"] for row in rows)
    splits = tuple(row.get("split", "test") for row in rows)
    targets = common.indicators([[label for label in row["labels"].split(",") if label] for row in rows], names, truth)
    audio = tuple(
        path
        for part, listed in (("dev", dev), ("eval", test))
        for path in common.find_audio(place / f"FSD50K.{part}_audio", [f"{row['fname']}.wav" for row in listed])
    )
    counts = f"{len(dev)} of {DEV_CLIPS} development and {len(test)} of {EVAL_CLIPS} evaluation clips"
    partial = (len(dev), len(test)) != (DEV_CLIPS, EVAL_CLIPS)
    notes = ((f"the lists name {counts}",) if partial else ()) + tuple(common.re_encoded(audio, "clips"))
    return Clips(
        title="FSD50K" if not notes else "FSD50K (altered copy)",
        ids=ids,
        recordings=tuple(f"freesound:{name}" for name in ids),
        targets=targets,
        label_names=names,
        audio=audio,
        sample_rate=RATE,
        clip_samples=RATE * SECONDS,
        manifest_sha256=common.manifest_digest(audio, ids=ids, splits=splits, labels=[row["labels"] for row in rows]),
        splits=splits,
        notes=(_CUT, *notes),
        faithful=not notes,
    )


def _vocabulary(path: Path) -> tuple[str, ...]:
    """The classes in the order of their indices: lines of index, name and Freebase id, without a first line."""
    lines = common.read_lines(path)
    if wrong := [number for place, (number, cells) in enumerate(lines) if len(cells) != 3 or cells[0] != str(place)]:
        raise DataError(f"{path}: line {wrong[0]} is not index, name and id with indices that count up from 0")
    if len(lines) != CLASSES:
        raise DataError(f"{path} lists {len(lines)} classes, FSD50K has {CLASSES}: not the whole list")
    return tuple(cells[1] for _, cells in lines)
