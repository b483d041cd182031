"""The user's own table as a data set: ``path,label[,fold,split,group,text,image]``, no code needed.

Paths are relative to the table's folder. ``label`` may hold several labels joined by ``|``; then the task is
multi-label. Every bad row is reported at once, with its line number.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bench import Clips, DataError, audio_seconds
from bench_datasets._common import indicators, manifest_digest, read_picture, sha256
from bench_datasets._containers import open_container
from bench_datasets._table import Table, alike, plain, read_table, shown, split_labels

RATE = 16_000
LONGEST_SECONDS = 10.0
FOLDS = 5
LARGEST_FOLD = 10_000
_SPLITS = ("train", "val", "test")
_IMAGE_SIDE = 224
_SHOWN = 200


class _Row(NamedTuple):
    values: dict[str, str]
    audio: Path
    image: Path | None
    seconds: float
    shape: tuple[int, int, int] | None


@dataclass(frozen=True, slots=True)
class FileImages:
    """Image files, decoded when asked for and brought to one ``(channels, height, width)``; 1 channel = grey."""

    files: tuple[Path, ...]
    shape: tuple[int, int, int]

    def __call__(self, indices: Sequence[int]) -> npt.NDArray[np.float32]:
        """``(len(indices), channels, height, width)`` float32 in [0, 1]."""
        from PIL.Image import Resampling

        channels, height, width = self.shape
        images = np.empty((len(indices), *self.shape), dtype=np.float32)
        for row, index in enumerate(indices):
            pixels = read_picture(self.files[index], "L" if channels == 1 else "RGB")
            if pixels.size != (width, height):
                pixels = pixels.resize((width, height), Resampling.BILINEAR)
            images[row] = np.asarray(pixels, dtype=np.float32).reshape(height, width, channels).transpose(2, 0, 1)
        return images / np.float32(255)


def load(root: Path | None, *, columns: str = "", label_separator: str = "") -> Clips:
    """The clips of a table.

    Args:
        root: The table (comma, semicolon or tab separated, UTF-8 or UTF-16), or a folder with a ``manifest.csv``; a
            folder per class, Parquet or Arrow files with audio in their cells, WebDataset shards, Croissant metadata.
        columns: Which of its columns are meant: ``path=filename,label=category``; ``split=`` leaves one out.
        label_separator: What joins several labels of a clip, ``none`` = nothing does; empty = ``|``.

    Raises:
        DataError: No table, a missing column, a doubtful label, or bad rows (all of them, with line numbers).
    """
    path = root / "manifest.csv" if root is not None and (root / "manifest.csv").is_file() else root
    if path is None or not path.exists():
        raise DataError(f"data set 'manifest' needs a CSV file, found none at {path}; give it with --data my.csv")
    held = open_container(path, columns)
    folder, table = held or (path.parent, read_table(path, columns))
    if {"fold", "split"} <= set(table.columns):
        raise DataError(
            f"{path} has both fold and split: which one divides the clips? --data '{path.name}?columns=split=' leaves "
            "split out (folds are tested in turn), columns=fold= leaves fold out (train, val and test once)"
        )
    rows, problems = _parse(folder, table)
    if problems:
        more = [f"... and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
        raise DataError("\n  ".join([f"{path} has {len(problems)} problem(s):", *problems[:_SHOWN], *more]))
    return _clips(path, table, rows, split_labels([row.values["label"] for row in rows], label_separator))


def _parse(folder: Path, table: Table) -> tuple[list[_Row], list[str]]:
    rows: list[_Row] = []
    problems: list[str] = []
    seen: dict[Path, int] = {}
    for line, values in table.lines:
        bad = ["has more cells than the first line"] if values.pop("", None) is not None else []
        bad += _bad_cells(values, table.columns)
        row, unreadable = _files(folder, values)
        bad += unreadable
        same = _resolved(row.audio)
        if values["path"] and same in seen:
            bad.append(f"path {values['path']!r} stands already on line {seen[same]}")
        seen.setdefault(same, line)
        problems += [f"line {line}: {shown(what)}" for what in bad]
        rows.append(row)
    return rows, problems


def _resolved(path: Path) -> Path:
    """Where a path leads; one that no file can have stays as it is."""
    try:
        return path.resolve()
    except (OSError, ValueError, RuntimeError):  # too long, a zero byte, links in a circle
        return path


def _bad_cells(values: dict[str, str], columns: Sequence[str]) -> list[str]:
    bad = []
    if not values["path"]:
        bad.append("path is empty")
    if not all(part.strip() for part in values["label"].split("|")):
        bad.append("label is empty" if not values["label"] else f"label {values['label']!r} has an empty part")
    if "fold" in columns and not (re.fullmatch("[0-9]{1,9}", values["fold"]) and int(values["fold"]) < LARGEST_FOLD):
        bad.append(f"fold {values['fold']!r} is not a whole number from 0 to {LARGEST_FOLD - 1}")
    if "split" in columns and values["split"] not in _SPLITS:
        bad.append(f"split {values['split']!r} is unknown; allowed are {', '.join(_SPLITS)}")
    if "group" in columns and not values["group"]:
        bad.append("group is empty")
    return bad


def _files(folder: Path, values: dict[str, str]) -> tuple[_Row, list[str]]:
    """The row with the length of its audio and the shape of its image, and what is wrong with these files."""
    bad: list[str] = []
    audio = folder / values["path"]
    seconds, shape = 0.0, None
    if values["path"]:
        try:
            seconds = audio_seconds(audio)
        except DataError as error:
            bad.append(f"{error}{_other_spelling(folder, values['path'])}")
        else:
            if seconds == 0:
                bad.append(f"{audio}: no samples")
    image = folder / values["image"] if "image" in values else None
    if image is not None:
        try:
            picture = read_picture(image)
            shape = (1 if picture.mode in ("L", "1") else 3, picture.height, picture.width)
        except DataError as error:
            bad.append(str(error))
    return _Row(values, audio, image, seconds, shape), bad


def _other_spelling(folder: Path, path: str) -> str:
    """What a file that is not there may be called: with other slashes, in other case, in another form of Unicode."""
    try:
        wanted = (folder / path.replace("\\", "/")).resolve()
        there = [] if (folder / path).exists() or not wanted.parent.is_dir() else sorted(wanted.parent.iterdir())
    except (OSError, ValueError, RuntimeError):  # a path that no file can have
        return ""
    close = next((found for found in there if plain(found.name) == plain(wanted.name)), None)
    return "" if close is None else f"; did you mean {os.path.relpath(close, folder.resolve())!r}?"


def _clips(path: Path, table: Table, rows: list[_Row], labels: Sequence[tuple[str, ...]]) -> Clips:
    ids = tuple(Path(row.values["path"]).as_posix() for row in rows)
    names, targets = _targets(path, labels)
    seconds = min(LONGEST_SECONDS, max(row.seconds for row in rows))
    notes = [
        *table.notes,
        f"clips are brought to {seconds:.3g} s at {RATE} Hz (the longest clip, at most {LONGEST_SECONDS:g} s)",
    ]
    groups, splits, texts = (
        tuple(row.values[name] for row in rows) if name in table.columns else None
        for name in ("group", "split", "text")
    )
    folds: npt.NDArray[np.int64] | None = None
    if "fold" in table.columns:
        folds = np.array([int(row.values["fold"]) for row in rows], dtype=np.int64)
    if clashes := alike(groups or ()):
        notes.append(f"groups differ in spelling only, each counts as its own: {clashes}")
    drawn = FOLDS if folds is None and splits is None else 0
    if drawn:
        notes.append(f"no column fold or split: {FOLDS} folds were drawn, each group in one fold, labels spread evenly")
    if table.unused:
        notes.append(f"columns not used: {', '.join(table.unused)}")
    images = _images(rows, notes)
    audio = tuple(row.audio for row in rows)
    files = (*audio, *(images.files if images else ()))
    return Clips(
        title=path.stem,
        ids=ids,
        targets=targets,
        label_names=names,
        audio=audio,
        sample_rate=RATE,
        clip_samples=max(1, round(seconds * RATE)),
        manifest_sha256=manifest_digest(files, table=_identity(path, table), targets=targets, folds=folds),
        folds=folds,
        folds_to_draw=drawn,
        groups=groups,
        splits=splits,
        images=images,
        image_shape=images.shape if images else None,
        texts=texts,
        notes=tuple(notes),
    )


def _targets(
    path: Path, labels: Sequence[tuple[str, ...]]
) -> tuple[tuple[str, ...], npt.NDArray[np.int64] | npt.NDArray[np.float32]]:
    """Names of the classes; their numbers where each clip has one label, else indicators."""
    names = tuple(sorted({part for found in labels for part in found}))
    many = indicators(labels, names, path)
    if len(names) < 2:
        raise DataError(f"{path} holds only the label {names[0]!r}; a task needs at least 2")
    if all(len(found) == 1 for found in labels):
        return names, np.array([names.index(found[0]) for found in labels], dtype=np.int64)
    return names, many


def _identity(path: Path, table: Table) -> str:
    """What a table says: of a file its checksum, of a container its rows."""
    return sha256(path) if path.is_file() else manifest_digest(rows=[values for _, values in table.lines])


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
