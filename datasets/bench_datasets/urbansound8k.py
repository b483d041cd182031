"""UrbanSound8K: 8732 slices of up to 4 s in 10 classes, 10 official folds.

Source: J. Salamon, C. Jacoby, J. P. Bello, "A Dataset and Taxonomy for Urban Sound Research", ACM Multimedia 2014;
https://urbansounddataset.weebly.com/urbansound8k.html. ``metadata/UrbanSound8K.csv`` gives folds and source
recordings (``fsID``); the slices lie in ``audio/fold1`` to ``audio/fold10``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from bench import Clips, DataError
from bench_datasets import _common as common

OFFICIAL_CSV = "d69575a159ba4135597c7f4c08cee6916b997ed47c5260349e5d2e7415e28924"
"""sha256 of the published ``metadata/UrbanSound8K.csv`` (lines end with CR LF)."""

CLASSES = (
    "air_conditioner", "car_horn", "children_playing", "dog_bark", "drilling",
    "engine_idling", "gun_shot", "jackhammer", "siren", "street_music",
)  # fmt: skip
"""In the order of ``classID``."""

FOLDS = range(1, 11)
_META = "metadata/UrbanSound8K.csv"
_COLUMNS = ("slice_file_name", "fsID", "fold", "classID", "class")
_FOLDERS = ("urbansound8k", "UrbanSound8K")
_RATE = 16_000
_SECONDS = 4


def load(root: Path | None) -> Clips:
    """All slices of the table, with their official folds.

    Args:
        root: The folder with ``metadata/UrbanSound8K.csv`` and ``audio/fold1`` ..., or one that holds it.

    Raises:
        DataError: The table is not UrbanSound8K's or slices are missing.
    """
    place = common.find_root(root, _META, _FOLDERS)
    rows = common.read_table(place / _META, _COLUMNS)
    _check_classes(place / _META, rows)
    targets = np.array([common.integer(row, "classID", range(len(CLASSES))) for row in rows], dtype=np.int64)
    folds = np.array([common.integer(row, "fold", FOLDS) for row in rows], dtype=np.int64)
    audio = common.find_audio(place / "audio", [f"fold{int(row['fold'])}/{row['slice_file_name']}" for row in rows])
    ids = tuple(Path(row["slice_file_name"]).stem for row in rows)
    groups = tuple(row["fsID"] for row in rows)
    altered = [] if common.sha256(place / _META) == OFFICIAL_CSV else [f"{_META} is not the official one"]
    notes = (*altered, *common.re_encoded(audio, "slices"))
    return Clips(
        title="UrbanSound8K" if not notes else "UrbanSound8K (altered copy)",
        ids=ids,
        targets=targets,
        label_names=CLASSES,
        audio=audio,
        sample_rate=_RATE,
        clip_samples=_RATE * _SECONDS,
        manifest_sha256=common.manifest_digest(audio, ids=ids, targets=targets, folds=folds, groups=groups),
        folds=folds,
        groups=groups,
        recordings=tuple(f"freesound:{group}" for group in groups),
        notes=notes,
        faithful=not notes,
    )


def _check_classes(table: Path, rows: Sequence[Mapping[str, str]]) -> None:
    wrong = [
        f"{row['slice_file_name']} is {row['class']!r} and not {CLASSES[target]!r}"
        for row in rows
        if row["class"] != CLASSES[target := common.integer(row, "classID", range(len(CLASSES)))]
    ]
    if wrong:
        raise DataError(f"{table}: class and classID disagree in {len(wrong)} rows: {common.shorten(wrong)}")
    if nameless := [number for number, row in enumerate(rows, 2) if not (row["slice_file_name"] and row["fsID"])]:
        raise DataError(f"{table}: slice_file_name or fsID is empty on lines {common.shorten(nameless)}")
