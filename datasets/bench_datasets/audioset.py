"""AudioSet: 10 s clips of YouTube videos in 527 classes, several labels a clip.

Source: J. F. Gemmeke et al., "Audio Set: An ontology and human-labeled dataset for audio events", ICASSP 2017;
https://research.google.com/audioset/download.html. Each ``..._segments.csv`` begins with three lines of remarks; a
line is ``YTID, start_seconds, end_seconds, "label ids"``. ``class_labels_indices.csv`` gives ids and names of the
classes. A video has one segment in all three lists together.

The publishers give no sound. Clips lie in a folder for each list (``balanced_train_segments``, ``bal_train``, ...),
in ``audio``, or right in the data set's folder, named by any of :func:`stems`. Videos vanish from YouTube, so clips
that are not there are left out and counted in the notes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import Clips, DataError
from bench_datasets import _common as common

CLASSES = 527
RATE = 16_000
SECONDS = 10
LISTS = {
    "balanced_train": ("train", ("balanced_train_segments", "balanced_train", "bal_train")),
    "unbalanced_train": ("train", ("unbalanced_train_segments", "unbalanced_train", "unbal_train")),
    "eval": ("test", ("eval_segments", "eval")),
}
"""The split of each ``NAME_segments.csv`` and the folders that may hold its clips."""

_NAMES = "class_labels_indices.csv"
_FOLDERS = ("audioset", "AudioSet")
_OWN_COPY = "clips cut from videos by whoever made this folder: nothing says that they are those of the publishers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A line of a list: a YouTube id, the first and last second, and ids of classes."""

    video: str
    start: float
    end: float
    labels: tuple[str, ...]
    split: str


def load(root: Path | None) -> Clips:
    """The clips of both training lists and of the evaluation list.

    Args:
        root: The folder with the three lists, ``class_labels_indices.csv`` and the clips, or one that holds it.

    Raises:
        DataError: A list is missing, malformed or not AudioSet's, or a split has no clip.
    """
    return _clips(root, tuple(LISTS), "AudioSet")


def load_balanced(root: Path | None) -> Clips:
    """The clips of the balanced training list and of the evaluation list."""
    return _clips(root, ("balanced_train", "eval"), "AudioSet, balanced training")


def stems(segment: Segment) -> tuple[str, ...]:
    """The file names that a clip may have, without extension: the id alone or with its times in s or ms.

    >>> stems(Segment(video="-0RW", start=420.0, end=430.0, labels=(), split="train"))[:4]
    ('-0RW', 'Y-0RW', '-0RW_420', '-0RW_420_430')
    """
    video, start, end = segment.video, segment.start, segment.end
    return (
        video,
        f"Y{video}",
        f"{video}_{start:.0f}",
        f"{video}_{start:.0f}_{end:.0f}",
        f"{video}_{start:.3f}_{end:.3f}",
        f"{video}_{1000 * start:.0f}_{1000 * end:.0f}",
        f"{video}_{start:06.0f}",
    )


def _clips(root: Path | None, lists: Sequence[str], title: str) -> Clips:
    place = common.find_root(root, _NAMES, _FOLDERS)
    classes = common.read_table(place / _NAMES, ("index", "mid", "display_name"))
    if len(classes) != CLASSES:
        raise DataError(f"{place / _NAMES} lists {len(classes)} classes, AudioSet has {CLASSES}: not the whole list")
    listed: list[Segment] = []
    found: list[tuple[Segment, Path]] = []
    for name in lists:
        segments = _read(place / f"{name}_segments.csv", LISTS[name][0])
        listed += segments
        found += _present(place, LISTS[name][1], segments)
    kept = [segment for segment, _ in found]
    splits = tuple(segment.split for segment in kept)
    if missing := [split for split in ("train", "test") if split not in splits]:
        looked = ", ".join(folder for name in lists for folder in LISTS[name][1])
        raise DataError(
            f"{place} has none of the {len(listed)} listed clips for {' and '.join(missing)}: looked for "
            f"{' or '.join(stems(listed[0])[:4])}, ... in {looked}, audio and the folder itself"
        )
    ids = tuple(segment.video for segment in kept)
    audio = tuple(path for _, path in found)
    labels = [segment.labels for segment in kept]
    gone = sorted({segment.video for segment in listed} - set(ids))
    missing_clips = (f"missing clips: {common.shorten(gone)}",) if gone else ()
    complete = "" if len(kept) == len(listed) else f" ({len(kept)} of {len(listed)} clips)"
    return Clips(
        title=f"{title}{complete}",
        ids=ids,
        targets=common.indicators(labels, [row["mid"] for row in classes], place),
        label_names=tuple(row["display_name"] for row in classes),
        audio=audio,
        sample_rate=RATE,
        clip_samples=RATE * SECONDS,
        manifest_sha256=common.manifest_digest(audio, ids=ids, labels=labels, splits=splits),
        groups=ids,
        recordings=tuple(f"youtube:{name}" for name in ids),
        splits=splits,
        notes=(_OWN_COPY, *common.left_out([segment.split for segment in listed], splits, "sound"), *missing_clips),
        faithful=False,
    )


def _read(path: Path, split: str) -> list[Segment]:
    def parse(_number: int, cells: list[str]) -> Segment:
        if len(cells) != 4:
            raise ValueError(f"{len(cells)} cells; needed are YTID, start, end and label ids")
        video, start, end, labels = cells
        return Segment(video=video, start=float(start), end=float(end), labels=tuple(labels.split(",")), split=split)

    return common.read_each(path, parse, spaced=True)


def _present(place: Path, folders: Sequence[str], segments: Sequence[Segment]) -> list[tuple[Segment, Path]]:
    """The segments whose clip is there, each with its file."""
    files: dict[str, Path] = {}
    for folder in (place, place / "audio", *(top / name for name in folders for top in (place / "audio", place))):
        files |= common.list_audio(folder)
    named = ((segment, next((files[stem] for stem in stems(segment) if stem in files), None)) for segment in segments)
    return [(segment, path) for segment, path in named if path is not None]
