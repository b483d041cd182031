"""Speech Commands v0.02 as 12 classes: ten words, ``unknown`` and ``silence``.

The convention is that of TensorFlow's speech_commands example, which came with the data: in each of
train, validation and test, ``unknown`` and ``silence`` each hold one tenth, rounded up, of the number of recordings
of the ten words. On the published archive that gives 4074 + 408 + 408 = 4890 test clips, as in the publishers' own
test archive, and 3703 + 371 + 371 = 4445 for validation.

Which clips these are was left to a random generator; here it is fixed. ``unknown``: the recordings of the other 25
words with the smallest sha256 of their id. ``silence``: windows of 1 s from the six recordings of
``_background_noise_`` at their recorded level, spread evenly. Of each recording the first 60 % are for training, the
next 20 % for validation and the rest for test, so no sample is shared; but the recordings are, and as documented
leaks (:data:`NOISES`) they are counted in every record.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import soundfile

from bench import Clips, DataError
from bench_datasets._common import find_audio, manifest_digest
from bench_datasets.speech_commands import CLIP_SAMPLES, RATE, WORDS, Recordings, read_recordings

COMMANDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
LABELS = (*COMMANDS, "unknown", "silence")
NOISES = ("doing_the_dishes", "dude_miaowing", "exercise_bike", "pink_noise", "running_tap", "white_noise")
"""The recordings of ``_background_noise_``; groups of the ``silence`` clips, shared by all parts."""

_MOST = 1 << 24
"""Values of one clip."""
PARTS = {"train": (0.0, 0.6), "val": (0.6, 0.8), "test": (0.8, 1.0)}
"""Beginning and end of each part of a noise recording, as fractions of its length."""

_SHARE = 10
"""``unknown`` and ``silence`` hold one clip for so many of the ten words, each."""

_NOTE = (
    "unknown and silence hold a tenth of the ten words' clips each, as in the publishers' test archive, but other "
    "clips, drawn by a fixed rule; silence of all parts comes from the same six noise recordings, from other seconds"
)


@dataclass(frozen=True, slots=True)
class Windows:
    """Audio source over files (start ``None``) and one second of files from a first sample at the file's own rate."""

    files: tuple[Path, ...]
    starts: tuple[int | None, ...]

    def __call__(self, index: int) -> tuple[npt.NDArray[np.float32], int]:
        """``(channels, samples)`` float32 of clip ``index`` and its rate in Hz."""
        path, start = self.files[index], self.starts[index]
        try:
            with soundfile.SoundFile(path) as file:
                wanted = file.frames if start is None else file.samplerate
                if wanted * file.channels > _MOST:
                    raise DataError(f"cannot read {path}: its header claims {wanted} frames; a clip lasts a second")
                file.seek(start or 0)
                samples = file.read(wanted, dtype="float32", always_2d=True)
                rate = int(file.samplerate)
        except (soundfile.SoundFileError, OSError, ValueError) as error:
            raise DataError(f"cannot read {path}: {error}") from error
        if len(samples) < wanted:
            raise DataError(f"cannot read {path}: it ends after {len(samples)} of {wanted} frames")
        return np.asarray(samples.T, dtype=np.float32), rate


class _Row(NamedTuple):
    clip_id: str
    label: str
    group: str
    split: str
    file: Path
    start: int | None = None


def load(root: Path | None) -> Clips:
    """The ten words, ``unknown`` and ``silence``, with the publishers' split.

    Args:
        root: The folder with the words, the two lists and ``_background_noise_``, or one that holds it.

    Raises:
        DataError: As :func:`bench_datasets.speech_commands.load`; a noise recording is missing, unreadable or too
            short; or a part has no recording of the ten words.
    """
    found = read_recordings(root)
    noises = find_audio(found.place / "_background_noise_", [f"{name}.wav" for name in NOISES])
    rows: list[_Row] = []
    for split in PARTS:
        commands = _commands(found, split)
        share = -(-len(commands) // _SHARE)
        rows += [*commands, *_unknown(found, split, share), *_silence(noises, split, share)]
    ids, labels, groups, splits, files, starts = zip(*rows, strict=True)
    targets = np.array([LABELS.index(label) for label in labels], dtype=np.int64)
    return Clips(
        title="Speech Commands v2-12" if not found.notes else "Speech Commands v2-12 (altered copy)",
        ids=ids,
        targets=targets,
        label_names=LABELS,
        audio=Windows(files, starts),
        sample_rate=RATE,
        clip_samples=CLIP_SAMPLES,
        manifest_sha256=manifest_digest(files, ids=ids, targets=targets, groups=groups, splits=splits, starts=starts),
        groups=groups,
        splits=splits,
        notes=(*found.notes, _NOTE),
        faithful=not found.notes,
    )


def _commands(found: Recordings, split: str) -> list[_Row]:
    rows = [_recording(found, i, word) for i, word in enumerate(found.words) if word in COMMANDS]
    rows = [row for row in rows if row.split == split]
    if not rows:
        raise DataError(f"{found.place}: the {split} part holds no recording of {', '.join(COMMANDS)}")
    return rows


def _unknown(found: Recordings, split: str, count: int) -> list[_Row]:
    others = set(WORDS) - set(COMMANDS)
    candidates = [i for i, word in enumerate(found.words) if word in others and found.splits[i] == split]
    if len(candidates) < count:
        raise DataError(
            f"{found.place}: the {split} part holds {len(candidates)} recordings of the other {len(others)} words; "
            f"the class unknown needs {count}"
        )
    drawn = sorted(candidates, key=lambda i: hashlib.sha256(found.ids[i].encode()).digest())[:count]
    return [_recording(found, i, "unknown") for i in sorted(drawn)]


def _recording(found: Recordings, index: int, label: str) -> _Row:
    return _Row(found.ids[index], label, found.speakers[index], found.splits[index], found.files[index])


def _silence(noises: Sequence[Path], split: str, count: int) -> list[_Row]:
    """``count`` windows over the noise recordings in turn, evenly spread over the part of ``split`` in each."""
    rows = []
    for number, (name, path) in enumerate(zip(NOISES, noises, strict=True)):
        starts = _starts(path, split, len(range(number, count, len(NOISES))))
        rows += [_Row(f"silence/{name}_{start}", "silence", name, split, path, start) for start in starts]
    return rows


def _starts(path: Path, split: str, count: int) -> list[int]:
    """First samples of ``count`` windows of 1 s in the part of ``split``."""
    try:
        info = soundfile.info(path)
    except (soundfile.SoundFileError, OSError) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    first, last = (round(fraction * info.frames) for fraction in PARTS[split])
    room = last - first - info.samplerate + 1
    if room < max(count, 1):
        raise DataError(
            f"{path} lasts {info.duration:.2f} s; its {split} part of {(last - first) / info.samplerate:.2f} s "
            f"does not hold {max(count, 1)} different windows of 1 s"
        )
    return [first + i * (room - 1) // max(count - 1, 1) for i in range(count)]
