"""Free Spoken Digit Dataset: 6 speakers, 10 digits, 50 takes each, 8 kHz.

Source: https://github.com/Jakobovski/free-spoken-digit-dataset (takes 0 to 4 are its test split).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench import Clips, DataError
from bench_datasets._common import AUDIO_SUFFIXES, find_audio, find_root, manifest_digest

OFFICIAL_NAMES = "20e71698e9f919ad85513386df54025b40f359479560bf2e414bb45b50ae400d"
"""sha256 over the sorted official file names, one a line."""

SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
"""Fold i of the speaker protocol leaves out the i-th of these."""

RATE = 8_000
CLIP_SAMPLES = 8_000
TEST_TAKES = range(5)
_NAME = re.compile(r"(?P<digit>\d)_(?P<speaker>[a-z]+)_(?P<take>\d+)")
_FOLDERS = ("fsdd", "digits/fsdd", "free-spoken-digit-dataset", "free-spoken-digit-dataset-master")


def load_official(root: Path | None) -> Clips:
    """All recordings with the publishers' split: takes 0 to 4 of every speaker and digit are the test.

    Args:
        root: The folder with ``recordings/``, or one that holds it.

    Raises:
        DataError: No recordings, or names of another form.
    """
    return _clips(root, speaker=False)


def load_speaker(root: Path | None) -> Clips:
    """All recordings with one fold per speaker."""
    return _clips(root, speaker=True)


def speaker_folds(speakers: Sequence[str]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """``(clips,)`` fold numbers 1 to 6."""
    if unknown := sorted(set(speakers) - set(SPEAKERS)):
        raise DataError(f"unknown speakers {', '.join(unknown)}; the six are {', '.join(SPEAKERS)}")
    return np.array([SPEAKERS.index(name) + 1 for name in speakers], dtype=np.int64)


def _clips(root: Path | None, *, speaker: bool) -> Clips:
    folder = find_root(root, "recordings", _FOLDERS) / "recordings"
    names = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in AUDIO_SUFFIXES)
    if not names:
        raise DataError(f"{folder} holds no recording ({', '.join(AUDIO_SUFFIXES)})")
    parsed = [_NAME.fullmatch(Path(name).stem) for name in names]
    if wrong := [name for name, match in zip(names, parsed, strict=True) if match is None]:
        raise DataError(f"{len(wrong)} files in {folder} are not named digit_speaker_take: {', '.join(wrong[:5])}")
    matches = [match for match in parsed if match is not None]
    ids = tuple(Path(name).stem for name in names)
    targets = np.array([int(match["digit"]) for match in matches], dtype=np.int64)
    speakers = tuple(match["speaker"] for match in matches)
    splits = tuple("test" if int(match["take"]) in TEST_TAKES else "train" for match in matches)
    audio = find_audio(folder, names)
    complete = hashlib.sha256("\n".join(names).encode()).hexdigest() == OFFICIAL_NAMES
    folds = speaker_folds(speakers) if speaker else None
    return Clips(
        title="FSDD" if complete else f"FSDD ({len(names)} of its recordings, re-encoded or altered)",
        ids=ids,
        targets=targets,
        label_names=tuple(str(digit) for digit in range(10)),
        audio=audio,
        sample_rate=RATE,
        clip_samples=CLIP_SAMPLES,
        manifest_sha256=manifest_digest(
            audio, ids=ids, targets=targets, splits=splits, folds=folds, groups=speakers if speaker else None
        ),
        folds=folds,
        groups=speakers,
        splits=None if speaker else splits,
        notes=(
            *(() if complete else ("the file names are not the official 3000",)),
            *(() if speaker else ("the official split has every speaker in train and test",)),
        ),
        faithful=complete,
    )
