"""Pairs of a spoken digit (FSDD) and a handwritten one (MNIST), no image used twice.

``pairs.csv`` names for each pair the recording, the idx file and the row of the image in it. Official splits of both
sources are kept: test recordings go with test images.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench import Clips, DataError
from bench_datasets._common import find_root, integer, manifest_digest, read_table, sha256

OFFICIAL_PAIRS = "4b083a0389e3c202255427fcad97a6c43e2765683f826549c1373e70b44b3908"
"""sha256 of the published ``pairs.csv``."""

SIDE = 28
_RATE = 8_000
_CLIP_SAMPLES = 8_000
_IMAGES_MAGIC = 2051
_COLUMNS = ("pair_id", "split", "digit", "audio", "speaker", "speaker_fold", "image_file", "image_index")


def load_official(root: Path | None) -> Clips:
    """All pairs with the publishers' train and test parts.

    Args:
        root: The folder with ``pairs.csv``, ``fsdd/`` and ``mnist/``, or one that holds it.

    Raises:
        DataError: The table is malformed or names files that are missing.
    """
    return _clips(root, speaker=False)


def load_speaker(root: Path | None) -> Clips:
    """All pairs with one fold per speaker."""
    return _clips(root, speaker=True)


@dataclass(frozen=True)
class IdxImages:
    """The image of each clip by its gzipped idx file and row there; read when first asked for, then kept as bytes."""

    files: tuple[Path, ...]
    rows: tuple[int, ...]
    _kept: list[npt.NDArray[np.uint8]] = field(default_factory=list, repr=False, compare=False)

    def __call__(self, indices: Sequence[int]) -> npt.NDArray[np.float32]:
        """``(len(indices), 1, 28, 28)`` float32 in [0, 1]."""
        if not self._kept:
            self._kept.append(self._read())
        pixels = self._kept[0][np.asarray(indices)][:, None]
        return np.asarray(pixels / np.float32(255), dtype=np.float32)

    def _read(self) -> npt.NDArray[np.uint8]:
        images = np.empty((len(self.rows), SIDE, SIDE), dtype=np.uint8)
        rows = np.asarray(self.rows)
        for path in sorted(set(self.files)):
            here = np.array([file == path for file in self.files])
            content = read_idx(path)
            if rows[here].max() >= len(content):
                raise DataError(f"{path} holds {len(content)} images; pairs.csv asks for row {rows[here].max()}")
            images[here] = content[rows[here]]
        return images


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """The images ``(images, 28, 28)`` of a gzipped idx3 file (http://yann.lecun.com/exdb/mnist/)."""
    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    header = np.frombuffer(content[:16], dtype=">u4").tolist() if len(content) >= 16 else []
    expected = header[1] * SIDE * SIDE if len(header) == 4 else -1
    if len(header) != 4 or header[0] != _IMAGES_MAGIC or header[2:] != [SIDE, SIDE] or len(content) - 16 != expected:
        raise DataError(f"{path} is no idx file of {SIDE} x {SIDE} images (header {header}, {len(content)} bytes)")
    return np.frombuffer(content, dtype=np.uint8, offset=16).reshape(-1, SIDE, SIDE)


def _clips(root: Path | None, *, speaker: bool) -> Clips:
    place = find_root(root, "pairs.csv", ("digits",))
    rows = read_table(place / "pairs.csv", _COLUMNS)
    audio = tuple(place / row["audio"] for row in rows)
    files = tuple(place / row["image_file"] for row in rows)
    if missing := sorted({str(path) for path in {*audio, *files} if not path.is_file()}):
        raise DataError(f"{len(missing)} files of {place / 'pairs.csv'} are missing: {', '.join(missing[:5])}")
    if wrong := sorted({row["split"] for row in rows} - {"train", "val", "test"}):
        raise DataError(f"{place / 'pairs.csv'} has unknown splits {', '.join(wrong)}; allowed are train, val, test")
    targets = np.array([integer(row, "digit", range(10)) for row in rows], dtype=np.int64)
    image_rows = tuple(integer(row, "image_index", range(10**6)) for row in rows)
    folds = np.array([integer(row, "speaker_fold", range(1, 7)) for row in rows], dtype=np.int64) if speaker else None
    splits = None if speaker else tuple(row["split"] for row in rows)
    speakers = tuple(row["speaker"] for row in rows)
    ids = tuple(f"{Path(row['audio']).stem}+{row['image_index']}" for row in rows)
    official = sha256(place / "pairs.csv") == OFFICIAL_PAIRS
    digest = manifest_digest(
        (*audio, *sorted(set(files))), ids=ids, targets=targets, folds=folds, groups=speakers if speaker else None,
        splits=splits,
    )  # fmt: skip
    return Clips(
        title="Digits (FSDD + MNIST)" if official else "Digits (FSDD + MNIST, altered pairs)",
        ids=ids,
        targets=targets,
        label_names=tuple(str(digit) for digit in range(10)),
        audio=audio,
        sample_rate=_RATE,
        clip_samples=_CLIP_SAMPLES,
        manifest_sha256=digest,
        folds=folds,
        groups=speakers,
        splits=splits,
        images=IdxImages(files, image_rows),
        image_shape=(1, SIDE, SIDE),
        notes=() if speaker else ("the official split has every speaker in train and test",),
        faithful=official,
    )
