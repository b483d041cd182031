"""ESC-50 and its subset ESC-10, in the publishers' layout.

Source: K. J. Piczak, "ESC: Dataset for Environmental Sound Classification", ACM Multimedia 2015;
https://github.com/karolpiczak/ESC-50. ``meta/esc50.csv`` gives folds and source recordings; clips are found by
their stem, so a re-encoded copy loads too and says so in its title.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile

from bench import Clips, DataError
from bench_datasets._common import find_audio, find_root, integer, manifest_digest, read_table, sha256

OFFICIAL_CSV = "ca660da60191a97de289983a05821c9382d852a38a2ba8428980816b68cf6246"
"""sha256 of the official ``meta/esc50.csv``."""

_META = "meta/esc50.csv"
_COLUMNS = ("filename", "fold", "target", "category", "esc10", "src_file")
_ESC10_FOLDERS = ("esc10", "ESC-10-master", "esc50", "ESC-50-master")
_ESC50_FOLDERS = ("esc50", "ESC-50-master")
_RATE = 16_000
_SECONDS = 5


def load_esc50(root: Path | None) -> Clips:
    """All 2000 clips: 50 classes, 5 folds of 400.

    Args:
        root: The folder with ``meta/esc50.csv`` and ``audio/``, or one that holds it.

    Raises:
        DataError: The table is not ESC-50's or clips are missing.
    """
    place = find_root(root, _META, _ESC50_FOLDERS)
    return _clips(place, read_table(place / _META, _COLUMNS), "ESC-50", official=(".wav",))


def load_esc10(root: Path | None) -> Clips:
    """The 400 clips that ``meta/esc50.csv`` marks as ESC-10: 10 classes, 5 folds of 80."""
    place = find_root(root, _META, _ESC10_FOLDERS)
    rows = [row for row in read_table(place / _META, _COLUMNS) if row["esc10"].strip().lower() == "true"]
    if not rows:
        raise DataError(f"{place / _META} marks no clip as ESC-10 (column esc10 is never True)")
    return _clips(place, rows, "ESC-10", official=(".wav", ".ogg"))


def load_esc50_titles(root: Path | None) -> Clips:
    """ESC-50 with the title that each recording's author gave it as text."""
    clips = load_esc50(root)
    path = find_root(root, _META, _ESC50_FOLDERS) / "meta" / "titles.csv"
    titles = {Path(row["filename"]).stem: row["title"] for row in read_table(path, ("filename", "title"))}
    if missing := [clip_id for clip_id in clips.ids if clip_id not in titles]:
        raise DataError(f"{path} has no title for {len(missing)} clips: {', '.join(missing[:5])}")
    texts = tuple(titles[clip_id] for clip_id in clips.ids)
    note = "text is the recording's title, which names the sound: naive Bayes on titles alone scores 83.8 %"
    return replace(
        clips,
        title=f"{clips.title} + titles",
        texts=texts,
        notes=(*clips.notes, note),
        manifest_sha256=manifest_digest(base=clips.manifest_sha256, texts=texts),
    )


def _clips(place: Path, rows: list[dict[str, str]], name: str, official: tuple[str, ...]) -> Clips:
    original = [integer(row, "target", range(50)) for row in rows]
    classes = sorted(set(original))
    targets = np.array([classes.index(value) for value in original], dtype=np.int64)
    folds = np.array([integer(row, "fold", range(1, 6)) for row in rows], dtype=np.int64)
    ids = tuple(Path(row["filename"]).stem for row in rows)
    groups = tuple(row["src_file"] for row in rows)
    audio = find_audio(place / "audio", [row["filename"] for row in rows])
    title, notes = _describe(name, audio, official)
    if sha256(place / _META) != OFFICIAL_CSV:
        title = f"{title}, altered list"
        notes = (*notes, f"{_META} is not the official one")
    return Clips(
        title=title,
        ids=ids,
        targets=targets,
        label_names=_label_names(rows, original, place),
        audio=audio,
        sample_rate=_RATE,
        clip_samples=_RATE * _SECONDS,
        manifest_sha256=manifest_digest(audio, ids=ids, targets=targets, folds=folds, groups=groups),
        folds=folds,
        groups=groups,
        recordings=tuple(f"freesound:{group}" for group in groups),
        notes=notes,
        faithful=title == name,
    )


def _label_names(rows: list[dict[str, str]], original: list[int], place: Path) -> tuple[str, ...]:
    pairs = sorted({(value, row["category"]) for row, value in zip(rows, original, strict=True)})
    names = {value: [name for other, name in pairs if other == value] for value, _ in pairs}
    if clash := [f"{value}: {', '.join(found)}" for value, found in names.items() if len(found) > 1]:
        raise DataError(f"{place / _META} gives one target several categories ({'; '.join(clash)})")
    return tuple(name for _, name in pairs)


def _describe(name: str, audio: tuple[Path, ...], official: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Title and notes, from the clips' suffixes and the rate of the first one."""
    suffixes = sorted({path.suffix.lower() for path in audio})
    try:
        rate = soundfile.info(audio[0]).samplerate
    except (soundfile.SoundFileError, OSError) as error:
        raise DataError(f"cannot read {audio[0]}: {error}") from error
    if rate == 44_100 and len(suffixes) == 1 and suffixes[0] in official:
        return name, ()
    kind = "/".join(suffix[1:].capitalize() for suffix in suffixes)
    copy = f"{rate / 1000:g} kHz {kind}"
    return f"{name} ({copy})", (
        f"a {copy} copy, not the publishers' 44.1 kHz files: not comparable with published results as equal",
    )
