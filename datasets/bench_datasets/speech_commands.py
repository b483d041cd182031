"""Speech Commands v0.02: 105 829 recordings of 35 words at 16 kHz, official lists of validation and test clips.

Source: P. Warden, "Speech Commands: A Dataset for Limited-Vocabulary Speech Recognition", arXiv 1804.03209. One
folder a word; ``validation_list.txt`` and ``testing_list.txt`` name the clips of these parts, all others are for
training. The name before ``_nohash_`` is the speaker.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench import Clips, DataError, read_text
from bench_datasets._common import find_root, list_audio, manifest_digest, re_encoded, sha256, shorten

WORDS = (
    "backward", "bed", "bird", "cat", "dog", "down", "eight", "five", "follow", "forward", "four", "go", "happy",
    "house", "learn", "left", "marvin", "nine", "no", "off", "on", "one", "right", "seven", "sheila", "six", "stop",
    "three", "tree", "two", "up", "visual", "wow", "yes", "zero",
)  # fmt: skip
"""The 35 words, in the order of the class indices."""

OFFICIAL_CLIPS = 105_829
"""Recordings of the published archive, its background noise not counted."""

OFFICIAL_LISTS = {
    "val": "ff4df7307bd5db78ee9bdf3a59febcfc7391c44006a59550093508683bd8f5b8",
    "test": "128df49699a6aecb84d916465d52c08c1a94042eed8b01bdd9268c8cd06191fc",
}
"""sha256 of the published ``validation_list.txt`` (9981 clips) and ``testing_list.txt`` (11 005)."""

LISTS = {"val": "validation_list.txt", "test": "testing_list.txt"}
RATE = 16_000
CLIP_SAMPLES = 16_000
_NAME = re.compile(r"(?P<speaker>[0-9a-f]+)_nohash_\d+")
_FOLDERS = (
    "speech_commands", "speech_commands_v0.02", "SpeechCommands/speech_commands_v0.02",
    "speech_commands/speech_commands_v0.02",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Recordings:
    """The recordings of a tree in the publishers' layout, sorted by word and name (``word/speaker_nohash_take``)."""

    place: Path
    ids: tuple[str, ...]
    files: tuple[Path, ...]
    speakers: tuple[str, ...]
    splits: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def words(self) -> tuple[str, ...]:
        """The word of each recording."""
        return tuple(clip_id.partition("/")[0] for clip_id in self.ids)


def load(root: Path | None) -> Clips:
    """All recordings of the 35 words with the publishers' split; ``_background_noise_`` is left out.

    Args:
        root: The folder with the words and the two lists, or one that holds it.

    Raises:
        DataError: A word or list is missing, a list names files that are not there, or names have another form.
    """
    found = read_recordings(root)
    targets = np.array([WORDS.index(word) for word in found.words], dtype=np.int64)
    return Clips(
        title="Speech Commands v2" if not found.notes else "Speech Commands v2 (altered copy)",
        ids=found.ids,
        targets=targets,
        label_names=WORDS,
        audio=found.files,
        sample_rate=RATE,
        clip_samples=CLIP_SAMPLES,
        manifest_sha256=manifest_digest(
            found.files, ids=found.ids, targets=targets, groups=found.speakers, splits=found.splits
        ),
        groups=found.speakers,
        splits=found.splits,
        notes=found.notes,
        faithful=not found.notes,
    )


def read_recordings(root: Path | None) -> Recordings:
    """The recordings below ``root``; see :func:`load`."""
    place = find_root(root, LISTS["test"], _FOLDERS)
    clips = _walk(place)
    parts = _read_lists(place, clips)
    ids = tuple(clips)
    return Recordings(
        place=place,
        ids=ids,
        files=tuple(clips.values()),
        speakers=_speakers(place, ids),
        splits=tuple(parts.get(clip_id, "train") for clip_id in ids),
        notes=_differences(place, clips),
    )


def _walk(place: Path) -> dict[str, Path]:
    """Each recording's file by its id."""
    if missing := [word for word in WORDS if not (place / word).is_dir()]:
        raise DataError(
            f"{place} has no folder for {len(missing)} of the {len(WORDS)} words of Speech Commands v0.02: "
            f"{shorten(missing)}"
        )
    known = {*WORDS, "_background_noise_"}
    folders = sorted(path.name for path in place.iterdir() if path.is_dir() and not path.name.startswith("."))
    if unknown := [name for name in folders if name not in known]:
        raise DataError(f"{place} has folders that are no word of Speech Commands v0.02: {shorten(unknown)}")
    clips = {f"{word}/{stem}": path for word in WORDS for stem, path in list_audio(place / word).items()}
    if silent := sorted(set(WORDS) - {clip_id.partition("/")[0] for clip_id in clips}):
        raise DataError(f"{place} holds no recording of {shorten(silent)}")
    return clips


def _read_lists(place: Path, clips: Mapping[str, Path]) -> dict[str, str]:
    """``val`` or ``test`` of the recordings that the two lists name."""
    parts: dict[str, str] = {}
    for split, name in LISTS.items():
        listed = _read_list(place / name)
        if missing := [clip_id for clip_id in listed if clip_id not in clips]:
            raise DataError(
                f"{len(missing)} of {len(listed)} clips of {name} are missing in {place}: {shorten(missing)}"
            )
        if both := [clip_id for clip_id in listed if clip_id in parts]:
            raise DataError(f"{len(both)} clips stand in both lists of {place}: {shorten(both)}")
        parts.update(dict.fromkeys(listed, split))
    return parts


def _read_list(path: Path) -> list[str]:
    listed = [str(Path(line).parent / Path(line).stem) for line in read_text(path).split()]
    if not listed:
        raise DataError(f"{path} names no clip")
    if twice := [clip_id for clip_id, count in Counter(listed).items() if count > 1]:
        raise DataError(f"{path} names {len(twice)} clips twice: {shorten(twice)}")
    return listed


def _speakers(place: Path, ids: tuple[str, ...]) -> tuple[str, ...]:
    matches = [_NAME.fullmatch(clip_id.partition("/")[2]) for clip_id in ids]
    if wrong := [clip_id for clip_id, match in zip(ids, matches, strict=True) if match is None]:
        raise DataError(f"{len(wrong)} files in {place} are not named speaker_nohash_take: {shorten(wrong)}")
    return tuple(match["speaker"] for match in matches if match is not None)


def _differences(place: Path, clips: Mapping[str, Path]) -> tuple[str, ...]:
    changed = [name for split, name in LISTS.items() if sha256(place / name) != OFFICIAL_LISTS[split]]
    notes = [f"{name} is not the official one" for name in changed]
    if len(clips) != OFFICIAL_CLIPS:
        notes.append(f"{len(clips)} recordings where the published archive holds {OFFICIAL_CLIPS}")
    return (*notes, *re_encoded(clips.values(), "recordings"))
