"""What the data sets share: finding files, reading tables, and the checksum over a clip list."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from bench import DataError, file_size, read_text

if TYPE_CHECKING:
    from PIL.Image import Image

T = TypeVar("T")
AUDIO_SUFFIXES = (".wav", ".flac", ".ogg")
MOST_PIXELS = 1 << 26
_SHOWN = 8
_SPLITS = ("train", "val", "test")


def find_root(root: Path | None, marker: str, names: Sequence[str]) -> Path:
    """The folder below ``root`` that holds ``marker``: ``root`` itself, one of ``names``, or any subfolder."""
    if root is None or not root.is_dir():
        raise DataError(f"{root} is no folder; this data set needs the one that holds {marker}")
    try:
        for place in (root, *(root / name for name in names), *sorted(root.iterdir())):
            if (place / marker).exists():
                return place
    except OSError as error:
        raise DataError(f"cannot look for {marker} in {root}: {error}") from error
    raise DataError(f"no {marker} in {root}, nor in its subfolders")


def read_lines(path: Path, *, spaced: bool = False) -> list[tuple[int, list[str]]]:
    """The lines of a CSV file that are not blank, each with its number from 1 and its cells.

    ``spaced``: blanks after a comma belong to the comma, and lines that begin with ``#`` are remarks.
    """
    try:
        reader = csv.reader(io.StringIO(read_text(path), newline=""), skipinitialspace=spaced)
        return [(reader.line_num, row) for row in reader if any(row) and not (spaced and row[0].startswith("#"))]
    except csv.Error as error:
        raise DataError(f"cannot read {path}: {error}") from error


def read_table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a CSV file that must have ``columns``."""
    lines = read_lines(path)
    found = lines.pop(0)[1] if lines else []
    if missing := [column for column in columns if column not in found]:
        raise DataError(f"{path} has no column {', '.join(missing)}; its columns are {', '.join(found) or 'none'}")
    if not lines:
        raise DataError(f"{path} holds no row")
    if ragged := [number for number, cells in lines if len(cells) != len(found)]:
        raise DataError(
            f"{path}: {len(ragged)} lines have more or fewer cells than the first one: lines {shorten(ragged)}"
        )
    return [dict(zip(found, cells, strict=True)) for _, cells in lines]


def indicators(labels: Sequence[Sequence[str]], names: Sequence[str], where: Path) -> npt.NDArray[np.float32]:
    """``(clips, classes)``: 1 where a clip has a label, else 0."""
    index = {name: column for column, name in enumerate(names)}
    if unknown := sorted({label for found in labels for label in found} - set(index)):
        raise DataError(f"{where} has {len(unknown)} labels that are no class: {shorten(unknown)}")
    if bare := [row + 1 for row, found in enumerate(labels) if not found]:
        raise DataError(f"{where}: {len(bare)} clips have no label: rows {shorten(bare)}")
    targets = np.zeros((len(labels), len(names)), dtype=np.float32)
    for row, found in zip(targets, labels, strict=True):
        row[[index[label] for label in found]] = 1.0
    return targets


def read_each(path: Path, parse: Callable[[int, list[str]], T], *, spaced: bool = False) -> list[T]:
    """What ``parse`` makes of each line (number, cells) of a list that has no first line of names.

    All lines for which it raises ``ValueError`` are counted and the first ones named.
    """
    found, problems = [], []
    for number, cells in read_lines(path, spaced=spaced):
        try:
            found.append(parse(number, cells))
        except ValueError as error:
            problems.append(f"line {number}: {error}")
    if problems:
        raise DataError(f"{path} has {len(problems)} problem(s): {shorten(problems)}")
    if not found:
        raise DataError(f"{path} holds no line")
    return found


def read_picture(path: Path, mode: str = "") -> Image:
    """An image file, decoded to ``mode``; without one only its header is read.

    Raises:
        DataError: It is missing, damaged, or claims more pixels than a picture of a clip has.
    """
    import PIL.Image

    file_size(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it warns of is refused below
            with path.open("rb") as file, PIL.Image.open(file) as picture:
                width, height = picture.size
                if width * height <= MOST_PIXELS:
                    return picture.convert(mode) if mode else picture
    except Exception as error:  # a decoder of damaged bytes may raise anything
        raise DataError(f"cannot read {path} as an image: {error or type(error).__name__}") from error
    raise DataError(f"{path} claims {width} x {height} pixels; allowed are {MOST_PIXELS}: make it smaller")


def re_encoded(audio: Iterable[Path], what: str) -> list[str]:
    """A note where the files are not the publishers' ``.wav``; ``what`` they are."""
    others = sorted({path.suffix.lower() for path in audio} - {".wav"})
    return [f"re-encoded {what} ({', '.join(others)}), not the publishers' .wav files"] if others else []


def left_out(listed: Sequence[str], present: Sequence[str], lacking: str) -> tuple[str, ...]:
    """A note on listed clips that are not there, by split; none where all are."""
    wanted, found = Counter(listed), Counter(present)
    counts = ", ".join(
        f"{wanted[split] - found[split]} of {wanted[split]} {split}" for split in _SPLITS if wanted[split]
    )
    return () if wanted == found else (f"clips left out because their {lacking} is not there: {counts}",)


def find_audio(folder: Path, names: Sequence[str]) -> tuple[Path, ...]:
    """The file of each name, whatever its audio extension; ``.wav`` before ``.flac`` before ``.ogg``."""
    wanted = [Path(name).parent / Path(name).stem for name in names]
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
    """Checksum of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def manifest_digest(files: Sequence[Path] = (), **columns: Any) -> str:
    """64 hex digits over the columns of a clip list and the names and sizes of its files."""
    plain = {key: values.tolist() if hasattr(values, "tolist") else values for key, values in columns.items()}
    identity = [(path.name, path.stat().st_size) for path in files]
    return hashlib.sha256(json.dumps([identity, plain], sort_keys=True).encode()).hexdigest()


def integer(row: Mapping[str, str], column: str, allowed: range) -> int:
    """The whole number in a column; one outside ``allowed`` is refused."""
    text = row[column]
    try:
        value = int(text)
    except (TypeError, ValueError):
        value = allowed.start - 1
    if value not in allowed:
        name = row.get("filename") or row.get("slice_file_name") or "a row"
        raise DataError(f"{column} of {name} is {text!r}; allowed are {allowed.start} to {allowed.stop - 1}")
    return value
