"""The musical instruments of VGGSound: 57 classes, 10 s clips cut from videos, sound and picture.

Source: H. Chen, W. Xie, A. Vedaldi, A. Zisserman, "VGGSound: A Large-Scale Audio-Visual Dataset", ICASSP 2020. Its
``vggsound.csv`` has no first line of names; each line is ``YouTube id,start second,label,train or test``. The choice
of classes follows Vincent9339/Transformers-Audio-Visual-Classification, ``src/filter_csv.py``: the 64 labels that
start with "playing " without :data:`EXCLUDED`. That list overlooks lacrosse, a sport, and VGGSound itself has both
"playing timpani" and "playing tympani"; both are kept, because 57 is the published number of classes.

Clips lie in ``audio/`` (or right in the folder) as ``<id>_<start, six digits>.wav``; frames in ``frames/`` (or right
in the folder) as ``<id>_<start>.jpg`` or as several ``.jpg`` in a folder of that name. Videos vanish from YouTube, so
clips that are not there are left out and counted in the notes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from bench import Clips, DataError
from bench_datasets._common import (
    AUDIO_SUFFIXES,
    MOST_PIXELS,
    find_root,
    left_out,
    list_audio,
    manifest_digest,
    read_each,
    read_picture,
    shorten,
)  # fmt: skip

PREFIX = "playing "
EXCLUDED = (
    "playing badminton", "playing darts", "playing hockey", "playing squash", "playing table tennis",
    "playing tennis", "playing volleyball",
)  # fmt: skip
"""What is played and is no instrument, as the source has it."""

CLASSES = 57
SIDE = 224
_TABLE = "vggsound.csv"
_FOLDERS = ("vggsound_instruments", "vggsound", "VGGSound")
_SPLITS = ("train", "test")
_RATE = 16_000
_SECONDS = 10
_OWN_COPY = "clips cut from videos by whoever made this folder: nothing says that they equal the authors'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A line of ``vggsound.csv``; ``name`` is ``<YouTube id>_<start second, six digits>``, ``video`` the id."""

    name: str
    video: str
    label: str
    split: str


@dataclass(frozen=True, slots=True)
class FrameImages:
    """A frame per clip, read when asked for: shorter side scaled to 224 pixels, the middle 224 x 224 of that, RGB."""

    files: tuple[Path, ...]

    def __call__(self, indices: Sequence[int]) -> npt.NDArray[np.float32]:
        """``(len(indices), 3, 224, 224)`` float32 in [0, 1]."""
        images = np.empty((len(indices), 3, SIDE, SIDE), dtype=np.float32)
        for row, index in enumerate(indices):
            images[row] = _pixels(self.files[index]).transpose(2, 0, 1)
        return images / np.float32(255)


def load(root: Path | None) -> Clips:
    """The clips of 57 instruments with sound and the middle frame of each.

    Args:
        root: The folder with ``vggsound.csv`` and the clips, or one that holds it.

    Raises:
        DataError: The list is missing, malformed or not VGGSound's, or no clip has both sound and frame.
    """
    return _clips(root, pictures=True)


def load_audio(root: Path | None) -> Clips:
    """The same without pictures; needs no frames."""
    return _clips(root, pictures=False)


def instruments(labels: Sequence[str]) -> tuple[str, ...]:
    """The distinct instrument labels among ``labels``, in alphabetical order.

    >>> instruments(["playing harp", "dog barking", "playing tennis", "playing harp"])
    ('playing harp',)
    """
    return tuple(sorted({label for label in labels if label.startswith(PREFIX)} - set(EXCLUDED)))


def _clips(root: Path | None, *, pictures: bool) -> Clips:
    place = find_root(root, _TABLE, _FOLDERS)
    listed = _read(place / _TABLE)
    labels = instruments([row.label for row in listed])
    if len(labels) != CLASSES:
        raise DataError(f"{place / _TABLE} lists {len(labels)} instruments, VGGSound {CLASSES}: not the whole list")
    wanted = [row for row in listed if row.label in labels]
    sounds = list_audio(_part(place, "audio"))
    frames = _frames(_part(place, "frames"), wanted) if pictures else {}
    rows = [row for row in wanted if row.name in sounds and (row.name in frames or not pictures)]
    if not rows:
        raise DataError(_nothing(place, len(wanted), pictures=pictures, sounds=any(r.name in sounds for r in wanted)))
    audio = tuple(sounds[row.name] for row in rows)
    images = tuple(frames[row.name] for row in rows) if pictures else ()
    ids = tuple(row.name for row in rows)
    targets = np.array([labels.index(row.label) for row in rows], dtype=np.int64)
    groups, splits = tuple(row.video for row in rows), tuple(row.split for row in rows)
    lacking = "sound or frame" if pictures else "sound"
    have = {row.label for row in rows}
    empty = [label for label in labels if label not in have]
    silent = (f"{len(empty)} classes have no clip: {shorten(empty)}",) if empty else ()
    complete = "" if len(rows) == len(wanted) else f" ({len(rows)} of {len(wanted)} clips)"
    return Clips(
        title=f"VGGSound instruments{complete}",
        ids=ids,
        targets=targets,
        label_names=labels,
        audio=audio,
        sample_rate=_RATE,
        clip_samples=_RATE * _SECONDS,
        manifest_sha256=manifest_digest((*audio, *images), ids=ids, targets=targets, groups=groups, splits=splits),
        groups=groups,
        recordings=tuple(f"youtube:{video}" for video in groups),
        splits=splits,
        images=FrameImages(images) if pictures else None,
        image_shape=(3, SIDE, SIDE) if pictures else None,
        notes=(_OWN_COPY, *left_out([row.split for row in wanted], splits, lacking), *silent),
        faithful=False,
    )


def _read(table: Path) -> list[Listed]:
    """The lines of the list, each clip once."""
    seen: dict[str, int] = {}

    def parse(number: int, cells: list[str]) -> Listed:
        row = _parse(cells)
        if seen.setdefault(row.name, number) != number:
            raise ValueError(f"{row.name} stands already on line {seen[row.name]}")
        return row

    return read_each(table, parse)


def _parse(cells: Sequence[str]) -> Listed:
    if len(cells) != 4:
        raise ValueError(f"{len(cells)} cells; needed are YouTube id, start second, label, split")
    video, start, label, split = cells
    if not video:
        raise ValueError("the YouTube id is empty")
    if not re.fullmatch(r"[0-9]{1,6}", start):
        raise ValueError(f"start second {start!r} is no whole number of at most six digits")
    if split not in _SPLITS:
        raise ValueError(f"split {split!r} is unknown; allowed are {', '.join(_SPLITS)}")
    return Listed(name=f"{video}_{int(start):06d}", video=video, label=label, split=split)


def _part(place: Path, name: str) -> Path:
    return place / name if (place / name).is_dir() else place


def _frames(folder: Path, wanted: Sequence[Listed]) -> dict[str, Path]:
    """One frame for each clip that has any: the single picture, else the middle one of its folder."""
    found: dict[str, Path] = {}
    try:
        entries = {path.name: path for path in folder.iterdir()}
        for row in wanted:
            if (single := entries.get(f"{row.name}.jpg")) is not None:
                found[row.name] = single
            elif (several := entries.get(row.name)) is not None and several.is_dir():
                pictures = sorted((path for path in several.iterdir() if path.suffix.lower() == ".jpg"), key=_natural)
                if pictures:
                    found[row.name] = pictures[len(pictures) // 2]
    except OSError as error:
        raise DataError(f"cannot look for frames in {folder}: {error}") from error
    return found


def _natural(path: Path) -> tuple[tuple[int, str], ...]:
    """Sorts ``frame_2`` before ``frame_10``."""
    return tuple((int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]+)", path.name))


def _pixels(path: Path) -> npt.NDArray[np.float32]:
    """``(224, 224, 3)`` float32 in [0, 255]."""
    picture = read_picture(path, "RGB")
    scale = SIDE / min(picture.size)
    width, height = (max(SIDE, round(length * scale)) for length in picture.size)
    if width * height > MOST_PIXELS:
        raise DataError(f"{path} is {picture.width} x {picture.height} pixels, a strip rather than a frame")
    picture = picture.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - SIDE) // 2, (height - SIDE) // 2
    return np.asarray(picture.crop((left, top, left + SIDE, top + SIDE)), dtype=np.float32)


def _nothing(place: Path, count: int, *, pictures: bool, sounds: bool) -> str:
    audio = f"<YouTube id>_<start second, six digits> with {', '.join(AUDIO_SUFFIXES)} in {_part(place, 'audio')}"
    if pictures and sounds:
        return (
            f"none of the {count} listed clips has sound and a frame: looked for <id>_<start>.jpg or .jpg files in a "
            f"folder <id>_<start> in {_part(place, 'frames')}; `--dataset vggsound_instruments-audio` needs no frames"
        )
    return f"all {count} listed clips are missing: looked for {audio}"
