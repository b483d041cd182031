"""Small generated trees in the layouts of multi-label data sets: few clips, every class of the vocabulary."""

from __future__ import annotations

import csv
import zlib
from pathlib import Path

import numpy as np
import soundfile

FSD_CLASSES = tuple(f"Sound_{i:03d}" for i in range(200))
MIDS = tuple(f"/m/0{i:03d}" for i in range(527))
AUDIOSET_NAMES = ("Speech", "Child speech, kid speaking", *(f"Event {i}" for i in range(2, 527)))


def tone(path: Path, pitches: tuple[int, ...], *, seconds: float = 0.5, rate: int = 16_000) -> None:
    """A clip that holds one tone for each of its first classes, from a phase of its own: no two files are copies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(int(seconds * rate)) / rate
    phase = zlib.crc32(path.stem.encode())
    wave = sum(0.1 * np.sin(2 * np.pi * (300 + 400 * pitch) * time + phase) for pitch in pitches)
    soundfile.write(path, wave, rate)


def classes_of(number: int, among: int = 0, classes: int = 4) -> tuple[int, ...]:
    """One or two of the first four classes; ``among`` clips share the other classes, so that each has one."""
    first = (number % 4,) if number % 3 else (number % 4, (number + 1) % 4)
    return (*first, *(range(4 + number, classes, among) if among else ()))


def fsd50k(folder: Path, clips: dict[str, int], *, suffix: str = ".wav") -> Path:
    """``clips``: how many of ``train``, ``val`` and ``test``."""
    truth = folder / "FSD50K.ground_truth"
    truth.mkdir(parents=True)
    lines = [f"{i},{name},/m/{i}" for i, name in enumerate(FSD_CLASSES)]
    (truth / "vocabulary.csv").write_text("\n".join(lines) + "\n")
    number = 64_760
    for part, splits in {"dev": ("train", "val"), "eval": ("test",)}.items():
        with (truth / f"{part}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["fname", "labels", "mids", *(["split"] if part == "dev" else [])])
            for split in splits:
                for place in range(clips.get(split, 0)):
                    number += 1
                    found = classes_of(place, clips[split] if split == "test" else 0, 200)
                    labels, mids = (",".join(names[i] for i in found) for names in (FSD_CLASSES, MIDS))
                    writer.writerow([number, labels, mids, *([split] if part == "dev" else [])])
                    tone(folder / f"FSD50K.{part}_audio" / f"{number}{suffix}", found[:2])
    return folder


def segments(folder: Path, name: str, rows: list[tuple[str, tuple[int, ...]]]) -> None:
    """A list of AudioSet: three remarks, then id, start, end and quoted label ids, blanks after the commas."""
    folder.mkdir(parents=True, exist_ok=True)
    count = len(rows)
    lines = [
        "# Segments csv created Sun Mar  5 10:54:31 2017",
        f"# num_ytids={count}, num_segs={count}, num_unique_labels=527, num_positive_labels={2 * count}",
        "# YTID, start_seconds, end_seconds, positive_labels",
        *(f'{video}, 30.000, 40.000, "{",".join(MIDS[i] for i in found)}"' for video, found in rows),
    ]
    (folder / f"{name}_segments.csv").write_text("\n".join(lines) + "\n")


def audioset(folder: Path, clips: dict[str, int], *, file: str = "{}.wav", within: str = "{}_segments") -> Path:
    """``clips``: how many of each list; an id may begin with a dash, as real ones do."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "class_labels_indices.csv").open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["index", "mid", "display_name"])
        writer.writerows([i, mid, AUDIOSET_NAMES[i]] for i, mid in enumerate(MIDS))
    for name, count in clips.items():
        among = count if name == "eval" else 0
        rows = [(f"-{name[:4]}{place:05d}_", classes_of(place, among, 527)) for place in range(count)]
        segments(folder, name, rows)
        for video, found in rows:
            tone(folder / within.format(name) / file.format(video), found[:2])
    return folder
