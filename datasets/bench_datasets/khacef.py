"""Written and spoken digits of Khacef et al. as published: arrays, no recordings.

Source: Khacef, Rodriguez & Miramond, "Written and spoken digits database for multimodal learning" (Zenodo 4452953).
MNIST images beside MFCC of the digits of Speech Commands: 50 ms windows every 25 ms make 39 frames of 13 values from
one second at 16 kHz. Recordings were repeated until there was one for each image, so that many clips share one. The
files are those that Jaron-U/Multimodal-Image-and-Audio-Recognition-Model reads; its test part has no labels.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench import Clips, DataError
from bench_datasets._common import find_root, manifest_digest, read_lines, sha256

FRAMES, COEFFICIENTS, SIDE = 39, 13, 28
TRAIN_CLIPS, TEST_CLIPS, TRAIN_UTTERANCES = 60_000, 10_000, 34_801
"""What the published files hold."""

_RATE = 16_000
_IMAGES = ("x_train_wr.npy", "x_test_wr.npy")
_SPEECH = ("x_train_sp.npy", "x_test_sp.npy")
_LABELS = "y_train.csv"
_DIGITS_COLUMN = "label"
_LAGS = 20
_LEAST_CORRELATION = 0.3
"""Frame after frame the same coefficient correlates 0.78 on spoken digits at this spacing, shuffled values 0.04."""
_LOOKED_AT = 2_000

Floats = npt.NDArray[np.float32]


def load(root: Path | None) -> Clips:
    """The training clips with their labels, and the test clips to predict.

    Args:
        root: The folder with the four arrays and ``y_train.csv``, or one that holds it.

    Raises:
        DataError: A file is missing, is no such array, or does not fit the others.
    """
    place = find_root(root, _IMAGES[0], ("digits-khacef", "khacef"))
    if missing := [name for name in (*_IMAGES, *_SPEECH, _LABELS) if not (place / name).is_file()]:
        raise DataError(f"{place} lacks {', '.join(missing)}; it needs all five published files")
    train, test = (_open(place / name, SIDE * SIDE) for name in _IMAGES)
    spoken = [_open(place / name, FRAMES * COEFFICIENTS) for name in _SPEECH]
    for image, speech, names in zip((train, test), spoken, zip(_IMAGES, _SPEECH, strict=True), strict=True):
        if len(image) != len(speech):
            raise DataError(f"{place}: {names[0]} has {len(image)} rows, {names[1]} has {len(speech)}; they are pairs")
    vectors = _finite(place, spoken)
    return _clips(place, PublishedImages(train=train, test=test, scale=_scale(place, (train, test))), vectors)


def _clips(place: Path, images: PublishedImages, vectors: Floats) -> Clips:
    train, test = len(images.train), len(images.test)
    labels = read_labels(place / _LABELS, train)
    correlation = check_order(vectors[:train], place / _SPEECH[0])
    groups = tuple(hashlib.blake2b(row.tobytes(), digest_size=8).hexdigest() for row in vectors)
    twofold = _twofold(place, groups[:train], labels)
    splits = ("train",) * train + ("predict",) * test
    ids = tuple(f"train-{i:05d}" for i in range(train)) + tuple(f"test-{i:05d}" for i in range(test))
    targets = np.concatenate([labels, np.zeros(test, dtype=np.int64)])
    distinct = len(set(groups[:train]))
    faithful = (train, test, distinct, twofold) == (TRAIN_CLIPS, TEST_CLIPS, TRAIN_UTTERANCES, 0)
    pictures = [sha256(place / name) for name in _IMAGES]
    return Clips(
        title=f"Written and spoken digits (Khacef et al.{'' if faithful else ', altered'})",
        ids=ids,
        targets=targets,
        label_names=tuple(str(digit) for digit in range(10)),
        audio=None,
        sample_rate=_RATE,
        clip_samples=_RATE,
        manifest_sha256=manifest_digest(ids=ids, targets=targets, groups=groups, splits=splits, images=pictures),
        groups=groups,
        features=np.ascontiguousarray(vectors.reshape(-1, FRAMES, COEFFICIENTS).transpose(0, 2, 1)),
        splits=splits,
        images=images,
        image_shape=(1, SIDE, SIDE),
        notes=(
            f"{distinct} distinct utterances among {train} training clips",
            f"images stored as 0 to {images.scale:.0f}{', divided by 255' if images.scale > 1 else ''}",
            f"frame by frame order confirmed: values 13 apart correlate {correlation:.2f}",
            *([f"{twofold} utterances carry two labels"] if twofold else []),
        ),
        faithful=faithful,
    )


@dataclass(frozen=True, slots=True, eq=False)
class PublishedImages:
    """The rows ``(clips, 784)`` of the two image arrays, read when asked for; white is stored as ``scale``."""

    train: npt.NDArray[Any]
    test: npt.NDArray[Any]
    scale: float

    def __call__(self, indices: Sequence[int]) -> Floats:
        """``(len(indices), 1, 28, 28)`` float32 in [0, 1]."""
        wanted = np.asarray(indices, dtype=np.int64)
        first = wanted < len(self.train)
        pixels = np.empty((len(wanted), SIDE * SIDE), dtype=np.float32)
        pixels[first] = self.train[wanted[first]]
        pixels[~first] = self.test[wanted[~first] - len(self.train)]
        pixels /= np.float32(self.scale)
        return pixels.reshape(-1, 1, SIDE, SIDE)


def check_order(vectors: Floats, path: Path) -> float:
    """Make sure that 507 values are 39 frames of 13 coefficients, in this order.

    The same coefficient changes little from one frame to the next: of all distances, values 13 apart must correlate
    most. Stored coefficient by coefficient, neighbours would.

    Returns:
        The correlation of values 13 apart over the clips, averaged over the columns that vary.
    """
    step = max(1, len(vectors) // _LOOKED_AT)
    centred = vectors[::step].astype(np.float64)
    centred -= centred.mean(axis=0)
    spread = centred.std(axis=0)
    steady = spread <= 1e-6 * max(float(spread.max()), 1e-30)
    if steady.all():
        raise DataError(f"{path}: all {len(vectors)} rows are equal; the order of their values cannot be checked")
    unit = np.where(steady, 0.0, centred / np.where(steady, 1.0, spread))
    found = {lag: _correlation(unit, steady, lag) for lag in range(1, _LAGS + 1)}
    here, best = found[COEFFICIENTS], max(found, key=lambda lag: found[lag])
    if best == COEFFICIENTS and here >= _LEAST_CORRELATION:
        return here
    other = max((lag for lag in found if lag != COEFFICIENTS), key=lambda lag: found[lag])
    hint = "; it looks stored coefficient by coefficient (13 x 39)" if best == 1 else ""
    raise DataError(
        f"{path} is not {FRAMES} frames of {COEFFICIENTS} coefficients one after the other: values {COEFFICIENTS} "
        f"apart correlate {here:.2f}, values {other} apart {found[other]:.2f}; expected is at least "
        f"{_LEAST_CORRELATION} and the most at {COEFFICIENTS}{hint}"
    )


def _correlation(unit: npt.NDArray[np.float64], steady: npt.NDArray[np.bool_], lag: int) -> float:
    both = ~(steady[:-lag] | steady[lag:])
    products = (unit[:, :-lag] * unit[:, lag:]).mean(axis=0)
    return float(products[both].mean()) if both.any() else 0.0


def _open(path: Path, columns: int) -> npt.NDArray[Any]:
    """An array of numbers ``(clips, columns)``, mapped from its file."""
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"cannot read {path} as an array of numbers: {error}") from error
    shape = getattr(values, "shape", None)
    if not isinstance(values, np.ndarray) or values.ndim != 2 or values.shape[1] != columns or len(values) == 0:
        raise DataError(f"{path} has shape {shape}; expected is (clips, {columns})")
    if not (np.issubdtype(values.dtype, np.floating) or np.issubdtype(values.dtype, np.integer)):
        raise DataError(f"{path} holds {values.dtype}; expected are numbers")
    return values


def _scale(place: Path, written: Sequence[npt.NDArray[Any]]) -> float:
    """1 or 255: what white is stored as, the same in both files."""
    ends = [(float(values.min()), float(values.max())) for values in written]
    scales = [1.0 if high <= 1 else 255.0 for _, high in ends]
    for name, (low, high) in zip(_IMAGES, ends, strict=True):
        if not (0 <= low <= high <= 255):
            raise DataError(f"{place / name} runs from {low:g} to {high:g}; pixels are 0 to 1 or 0 to 255")
    if len(set(scales)) > 1:
        raise DataError(f"{place}: {_IMAGES[0]} runs to {ends[0][1]:g} but {_IMAGES[1]} to {ends[1][1]:g}; "
                        "both need the same scale, 0 to 1 or 0 to 255")  # fmt: skip
    return scales[0]


def _finite(place: Path, spoken: Sequence[npt.NDArray[Any]]) -> Floats:
    """``(clips, 507)`` float32, the training clips first."""
    parts = [np.asarray(values, dtype=np.float32) for values in spoken]
    for name, part in zip(_SPEECH, parts, strict=True):
        if bad := int((~np.isfinite(part)).any(axis=1).sum()):
            raise DataError(f"{place / name}: {bad} of {len(part)} rows hold values that are not finite")
    return np.concatenate(parts)


def _twofold(place: Path, groups: Sequence[str], labels: npt.NDArray[np.int64]) -> int:
    """Utterances with more than one label; most of the repeated ones having several means labels of other rows."""
    repeated = sum(count > 1 for count in Counter(groups).values())
    said = Counter(group for group, _ in set(zip(groups, labels.tolist(), strict=True)))
    twofold = sum(count > 1 for count in said.values())
    if 2 * twofold > repeated:
        raise DataError(
            f"{place / _LABELS} does not belong to {_SPEECH[0]}: {twofold} of {repeated} repeated utterances have "
            "several labels; its lines must stand in the order of the rows"
        )
    return twofold


def read_labels(path: Path, count: int) -> npt.NDArray[np.int64]:
    """The digit of each row ``(count,)``: a column of digits, or of row numbers that count up and one of digits."""
    lines = [(number, [cell.strip() for cell in cells]) for number, cells in read_lines(path)]
    if not lines:
        raise DataError(f"{path} holds no line")
    widths = {len(cells) for _, cells in lines}
    if not widths <= {1, 2} or len(widths) != 1:
        raise DataError(f"{path} has lines of {', '.join(map(str, sorted(widths)))} cells; expected are 1 or 2 in all")
    column = widths.pop() - 1
    if _digit(lines[0][1][column]) is None:
        column = _named(path, lines.pop(0)[1])
    if len(lines) != count:
        raise DataError(f"{path} holds {len(lines)} labels for {count} training clips")
    labels = [_digit(cells[column]) for _, cells in lines]
    wrong = [(number, cells[column]) for (number, cells), label in zip(lines, labels, strict=True) if label is None]
    if wrong:
        number, text = wrong[0]
        raise DataError(f"{path}: {len(wrong)} labels are no digit; line {number} has {text!r}, allowed are 0 to 9")
    if len(lines[0][1]) > 1:
        _check_numbers(path, [(number, cells[1 - column]) for number, cells in lines])
    return np.array(labels, dtype=np.int64)


def _named(path: Path, head: list[str]) -> int:
    """The column of the digits by the header."""
    if len(head) == 1:
        return 0
    if head.count(_DIGITS_COLUMN) != 1:
        raise DataError(f"{path} has columns {', '.join(map(repr, head))}; one of two must be named {_DIGITS_COLUMN!r}")
    return head.index(_DIGITS_COLUMN)


def _digit(text: str) -> int | None:
    """``"7"`` or ``"7.0"`` as 7."""
    try:
        value = float(text)
    except ValueError:
        return None
    return int(value) if value in range(10) else None


def _check_numbers(path: Path, numbers: list[tuple[int, str]]) -> None:
    """Row numbers must count up from 0 or 1, or labels would go to other rows."""
    start = 1 if numbers[0][1] in ("1", "1.0") else 0
    for place, (line, text) in enumerate(numbers):
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if value != place + start:
            raise DataError(f"{path}: line {line} is row {text!r}, not {place + start}; rows must stand in order")
