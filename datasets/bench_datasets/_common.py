"""What the data sets share: finding files, reading tables, and the checksum over a clip list."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import DataError

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg")
_SHOWN = 8


def find_root(root: Path | None, marker: str, names: Sequence[str]) -> Path:
    """The folder below ``root`` that holds ``marker``: ``root`` itself, one of ``names``, or any subfolder.

    Args:
        root: Folder the host located.
        marker: Relative path that must exist in it.
        names: Subfolders tried first, in order.

    Raises:
        DataError: ``root`` is a file, or no such folder holds the marker.
    """
    if root is None or not root.is_dir():
        raise DataError(f"{root} is no folder; this data set needs the one that holds {marker}")
    try:
        for place in (root, *(root / name for name in names), *sorted(root.iterdir())):
            if (place / marker).exists():
                return place
    except OSError as error:
        raise DataError(f"cannot look for {marker} in {root}: {error}") from error
    raise DataError(f"no {marker} in {root}, nor in its subfolders")


def read_table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a CSV file that must have ``columns``.

    Raises:
        DataError: The file cannot be read, is not UTF-8 CSV, is empty, lacks a column, or has lines of another length
            than the first one.
    """
    ragged: list[int] = []
    rows: list[dict[str, str]] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            for row in reader:
                rows.append(row)
                if None in row or None in row.values():
                    ragged.append(reader.line_num)
            found = reader.fieldnames or []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    if missing := [column for column in columns if column not in found]:
        raise DataError(f"{path} has no column {', '.join(missing)}; its columns are {', '.join(found) or 'none'}")
    if not rows:
        raise DataError(f"{path} holds no row")
    if ragged:
        raise DataError(
            f"{path}: {len(ragged)} lines have more or fewer cells than the first one: lines {shorten(ragged)}"
        )
    return rows


def find_audio(folder: Path, names: Sequence[str]) -> tuple[Path, ...]:
    """The file of each name, whatever its audio extension; ``.wav`` before ``.flac`` before ``.ogg``.

    Args:
        folder: Where the clips lie.
        names: File names as the publishers wrote them, with a subfolder where they have one.

    Raises:
        DataError: Files are missing; says how many and which.
    """
    wanted = [Path(name).with_suffix("") for name in names]
    found: dict[Path, Path] = {}
    for part in {stem.parent for stem in wanted}:
        found.update({part / stem: path for stem, path in list_audio(folder / part).items()})
    if missing := [name for name, stem in zip(names, wanted, strict=True) if stem not in found]:
        raise DataError(
            f"{len(missing)} of {len(names)} clips are missing in {folder}: {shorten(missing)} "
            f"(looked for {', '.join(AUDIO_SUFFIXES)})"
        )
    return tuple(found[stem] for stem in wanted)


def list_audio(folder: Path) -> dict[str, Path]:
    """The audio files right in ``folder`` by stem, sorted; none where there is no such folder.

    Where a stem has several extensions, ``.wav`` comes before ``.flac`` before ``.ogg``.
    """
    if not folder.is_dir():
        return {}
    files = sorted(folder.iterdir())
    found: dict[str, Path] = {}
    for suffix in reversed(AUDIO_SUFFIXES):
        found.update({path.stem: path for path in files if path.suffix.lower() == suffix})
    return dict(sorted(found.items()))


def shorten(items: Sequence[object]) -> str:
    """The first few of ``items`` for a message.

    >>> shorten([1, 2])
    '1, 2'
    """
    return f"{', '.join(map(str, items[:_SHOWN]))}{', ...' if len(items) > _SHOWN else ''}"


def sha256(path: Path) -> str:
    """Checksum of a small file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def manifest_digest(files: Sequence[Path] = (), **columns: Any) -> str:
    """64 hex digits over the columns of a clip list and the names and sizes of its files.

    Args:
        files: Audio or image files, in the order of the clips.
        columns: Sequences or arrays, one entry per clip, and constants.
    """
    plain: Mapping[str, Any] = {
        key: values.tolist() if hasattr(values, "tolist") else values for key, values in columns.items()
    }
    identity = [(path.name, path.stat().st_size) for path in files]
    return hashlib.sha256(json.dumps([identity, plain], sort_keys=True).encode()).hexdigest()


def integer(row: Mapping[str, str], column: str, allowed: range) -> int:
    """The whole number in a column.

    Raises:
        DataError: It is none, or outside ``allowed``.
    """
    text = row[column]
    try:
        value = int(text)
    except (TypeError, ValueError):
        value = allowed.start - 1
    if value not in allowed:
        name = row.get("filename") or row.get("slice_file_name") or "a row"
        raise DataError(f"{column} of {name} is {text!r}; allowed are {allowed.start} to {allowed.stop - 1}")
    return value
