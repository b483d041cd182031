"""The user's own table as a data set: ``path,label[,fold,split,group,text,image]``, no code needed.

Paths are relative to the table's folder. ``label`` may hold several labels joined by ``|``; then the task is
multi-label. Every bad row is reported at once, with its line number.
"""

from __future__ import annotations

import csv
import zlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
from PIL import Image, UnidentifiedImageError

from bench import Clips, DataError
from bench_datasets._common import manifest_digest, sha256

RATE = 16_000
LONGEST_SECONDS = 10.0
FOLDS = 5
_REQUIRED = ("path", "label")
_OPTIONAL = ("fold", "split", "group", "text", "image")
_SPLITS = ("train", "val", "test")
_IMAGE_SIDE = 224


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    line: int
    values: dict[str, str]
    audio: Path
    image: Path | None
    seconds: float = 0.0
    shape: tuple[int, int, int] | None = None


@dataclass(frozen=True, slots=True)
class FileImages:
    """Image files, decoded when asked for and brought to one shape.

    Attributes:
        files: One per clip.
        shape: ``(channels, height, width)``; 1 channel = grey, 3 = RGB.
    """

    files: tuple[Path, ...]
    shape: tuple[int, int, int]

    def __call__(self, indices: Sequence[int]) -> npt.NDArray[np.float32]:
        """``(len(indices), channels, height, width)`` float32 in [0, 1]."""
        channels, height, width = self.shape
        images = np.empty((len(indices), *self.shape), dtype=np.float32)
        for row, index in enumerate(indices):
            with Image.open(self.files[index]) as image:
                pixels = image.convert("L" if channels == 1 else "RGB")
                if pixels.size != (width, height):
                    pixels = pixels.resize((width, height), Image.Resampling.BILINEAR)
            images[row] = np.asarray(pixels, dtype=np.float32).reshape(height, width, channels).transpose(2, 0, 1)
        return images / np.float32(255)


def load(root: Path | None) -> Clips:
    """The clips of a CSV file.

    Args:
        root: The CSV file, or a folder with a ``manifest.csv``.

    Raises:
        DataError: No table, a missing column, or bad rows (all of them, with line numbers).
    """
    table = root / "manifest.csv" if root is not None and root.is_dir() else root
    if table is None or not table.is_file():
        raise DataError(f"data set 'manifest' needs a CSV file, found none at {table}; give it with --data my.csv")
    columns, lines = _read(table)
    rows, problems = _parse(table.parent, columns, lines)
    if problems:
        raise DataError("\n  ".join([f"{table} has {len(problems)} problem(s):", *problems]))
    return _clips(table, columns, rows)


def _read(table: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restkey="", restval="")
            columns = [name.strip() for name in reader.fieldnames or []]
            reader.fieldnames = columns
            lines = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read {table}: {error}") from error
    if missing := [column for column in _REQUIRED if column not in columns]:
        raise DataError(
            f"{table} has no column {' and no column '.join(missing)}; its first line is {','.join(columns)!r}. "
            f"Needed: path,label; possible: {','.join(_OPTIONAL)}"
        )
    if not lines:
        raise DataError(f"{table} holds no clip below its first line")
    return columns, lines


def _parse(folder: Path, columns: list[str], lines: list[tuple[int, dict[str, str]]]) -> tuple[list[_Row], list[str]]:
    rows: list[_Row] = []
    problems: list[str] = []
    seen: dict[Path, int] = {}
    for line, values in lines:
        extra = values.pop("", None)
        clean = {key: (value or "").strip() for key, value in values.items()}
        bad = ["has more cells than the first line"] if extra else []
        bad += _bad_cells(clean, columns)
        row, unreadable = _files(folder, line, clean)
        bad += unreadable
        if clean["path"] and row.audio in seen:
            bad.append(f"path {clean['path']!r} stands already on line {seen[row.audio]}")
        seen.setdefault(row.audio, line)
        problems += [f"line {line}: {what}" for what in bad]
        rows.append(row)
    return rows, problems


def _bad_cells(values: dict[str, str], columns: list[str]) -> list[str]:
    bad = []
    if not values["path"]:
        bad.append("path is empty")
    if not all(part.strip() for part in values["label"].split("|")):
        bad.append("label is empty" if not values["label"] else f"label {values['label']!r} has an empty part")
    if "fold" in columns and not _is_integer(values["fold"]):
        bad.append(f"fold {values['fold']!r} is not a whole number")
    if "split" in columns and values["split"] not in _SPLITS:
        bad.append(f"split {values['split']!r} is unknown; allowed are {', '.join(_SPLITS)}")
    if "group" in columns and not values["group"]:
        bad.append("group is empty")
    return bad


def _is_integer(text: str) -> bool:
    try:
        int(text)
    except ValueError:
        return False
    return True


def _files(folder: Path, line: int, values: dict[str, str]) -> tuple[_Row, list[str]]:
    """The row with the length of its audio and the shape of its image, and what is wrong with these files."""
    bad: list[str] = []
    audio = folder / values["path"]
    seconds, shape = 0.0, None
    if values["path"]:
        try:
            seconds = soundfile.info(audio).duration
        except (soundfile.SoundFileError, OSError) as error:
            bad.append(f"{audio}: {'no such file' if not audio.exists() else f'not readable as audio ({error})'}")
        else:
            if seconds == 0:
                bad.append(f"{audio}: no samples")
    image = folder / values["image"] if "image" in values else None
    if image is not None:
        try:
            with Image.open(image) as picture:
                shape = (1 if picture.mode in ("L", "1") else 3, picture.height, picture.width)
        except (OSError, UnidentifiedImageError) as error:
            bad.append(f"{image}: {'no such file' if not image.is_file() else f'not readable as image ({error})'}")
    return _Row(line=line, values=values, audio=audio, image=image, seconds=seconds, shape=shape), bad


def _clips(table: Path, columns: list[str], rows: list[_Row]) -> Clips:
    ids = tuple(Path(row.values["path"]).as_posix() for row in rows)
    targets, names = _targets([row.values["label"] for row in rows])
    if len(names) < 2:
        raise DataError(f"{table} holds only the label {names[0]!r}; a task needs at least 2")
    seconds = min(LONGEST_SECONDS, max(row.seconds for row in rows))
    notes = [f"clips are brought to {seconds:.3g} s at {RATE} Hz (the longest clip, at most {LONGEST_SECONDS:g} s)"]
    groups = _column(rows, columns, "group")
    splits = _column(rows, columns, "split")
    folds: npt.NDArray[np.int64] | None = None
    if "fold" in columns:
        folds = np.array([int(row.values["fold"]) for row in rows], dtype=np.int64)
    elif splits is None:
        folds = draw_folds([row.values["label"] for row in rows], groups or ids)
        notes.append(f"no column fold or split: {FOLDS} folds were drawn, each group in one fold, labels spread evenly")
    if ignored := [name for name in columns if name not in (*_REQUIRED, *_OPTIONAL)]:
        notes.append(f"columns not used: {', '.join(ignored)}")
    images = _images(rows, notes)
    audio = tuple(row.audio for row in rows)
    texts = _column(rows, columns, "text")
    files = (*audio, *(images.files if images else ()))
    return Clips(
        title=table.stem,
        ids=ids,
        targets=targets,
        label_names=names,
        audio=audio,
        sample_rate=RATE,
        clip_samples=max(1, round(seconds * RATE)),
        manifest_sha256=manifest_digest(files, table=sha256(table), targets=targets, folds=folds),
        folds=folds,
        groups=groups,
        splits=splits,
        images=images,
        image_shape=images.shape if images else None,
        texts=texts,
        notes=tuple(notes),
    )


def _targets(labels: list[str]) -> tuple[npt.NDArray[np.int64] | npt.NDArray[np.float32], tuple[str, ...]]:
    """Class indices, or indicators where any label has several parts; names in alphabetical order."""
    parts = [[part.strip() for part in label.split("|")] for label in labels]
    names = tuple(sorted({part for found in parts for part in found}))
    index = {name: i for i, name in enumerate(names)}
    if all(len(found) == 1 for found in parts):
        return np.array([index[found[0]] for found in parts], dtype=np.int64), names
    indicators = np.zeros((len(labels), len(names)), dtype=np.float32)
    for row, found in zip(indicators, parts, strict=True):
        row[[index[part] for part in found]] = 1.0
    return indicators, names


def draw_folds(labels: Sequence[str], groups: Sequence[str], folds: int = FOLDS) -> npt.NDArray[np.int64]:
    """Fold numbers from 1, the same on every machine: a group never spans folds, each label is spread evenly.

    Args:
        labels: One per clip.
        groups: One per clip; a clip without mates is a group of its own.
        folds: How many.
    """
    members: dict[str, list[int]] = defaultdict(list)
    for index, group in enumerate(groups):
        members[group].append(index)
    load: dict[str, list[int]] = defaultdict(lambda: [0] * folds)
    totals = [0] * folds
    drawn = np.zeros(len(labels), dtype=np.int64)
    for group in sorted(members, key=lambda name: (-len(members[name]), zlib.crc32(name.encode()), name)):
        counts = Counter(labels[i] for i in members[group])
        common = counts.most_common(1)[0][0]
        best = min(range(folds), key=lambda fold: (load[common][fold], totals[fold], fold))
        drawn[members[group]] = best + 1
        totals[best] += len(members[group])
        for label, count in counts.items():
            load[label][best] += count
    return drawn


def _column(rows: list[_Row], columns: list[str], name: str) -> tuple[str, ...] | None:
    return tuple(row.values[name] for row in rows) if name in columns else None


def _images(rows: list[_Row], notes: list[str]) -> FileImages | None:
    files = tuple(row.image for row in rows if row.image is not None)
    if not files:
        return None
    shapes = {row.shape for row in rows}
    shape = next(iter(shapes))
    if len(shapes) > 1 or shape is None:
        shape = (3, _IMAGE_SIDE, _IMAGE_SIDE)
        notes.append(f"images differ in shape and are resized to {_IMAGE_SIDE} x {_IMAGE_SIDE} RGB")
    return FileImages(files, shape)
