"""Whether what a data set plugin returned is consistent, and what decoding did to its clips, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from bench.clips import Clips
from bench.errors import DataError

_SPLITS = ("train", "val", "test", "predict")


def check_clips(clips: object, name: str) -> Clips:
    """What ``DatasetSpec.load`` of data set ``name`` returned, if it keeps the contract of :class:`bench.clips.Clips`.

    Raises:
        DataError: It is of another type, empty, or its columns disagree in length, range or uniqueness.
    """
    if not isinstance(clips, Clips):
        raise DataError(f"data set {name!r}: load returned {type(clips).__name__}, not bench.Clips")
    problems = [*_lengths(clips), *_targets(clips), *_names(clips), *_sources(clips)]
    if clips.sample_rate < 1 or clips.clip_samples < 1:
        problems.append(f"sample_rate {clips.sample_rate} and clip_samples {clips.clip_samples} must be positive")
    if (clips.images is None) != (clips.image_shape is None):
        problems.append("images and image_shape must be given together")
    if problems:
        raise DataError(f"data set {name!r} is inconsistent: {'; '.join(problems)}")
    return clips


def _lengths(clips: Clips) -> list[str]:
    if not clips.ids:
        return ["it holds no clip"]
    columns = {
        "targets": clips.targets, "folds": clips.folds, "groups": clips.groups, "recordings": clips.recordings,
        "splits": clips.splits, "texts": clips.texts, "features": clips.features,
    }  # fmt: skip
    if not callable(clips.audio):
        columns["audio"] = clips.audio  # type: ignore[assignment]
    return [
        f"{column} has {len(values)} rows for {len(clips)} ids"
        for column, values in columns.items()
        if values is not None and len(values) != len(clips)
    ]


def _sources(clips: Clips) -> list[str]:
    features = clips.features
    if clips.audio is not None and features is not None:
        return ["audio and features exclude each other; published features stand in place of audio"]
    if features is not None and (features.ndim != 3 or features.dtype != np.float32):
        return [f"features have shape {features.shape} and dtype {features.dtype}, not (clips, freq, time) float32"]
    if clips.audio is None and features is None and clips.images is None and clips.texts is None:
        return ["it gives neither audio nor features, images or texts"]
    return []


def _targets(clips: Clips) -> list[str]:
    targets, classes = clips.targets, len(clips.label_names)
    if classes < 2:
        return [f"{classes} label names; at least 2 are needed"]
    if targets.ndim == 1:
        if not np.issubdtype(targets.dtype, np.integer):
            return [f"class indices have dtype {targets.dtype}, not int64"]
        if targets.size and not 0 <= targets.min() <= targets.max() < classes:
            return [f"targets run from {targets.min()} to {targets.max()}; allowed are 0 to {classes - 1}"]
        return []
    if targets.ndim != 2 or targets.shape[1] != classes:
        return [f"targets have shape {targets.shape}; allowed are (clips,) and (clips, {classes})"]
    return [] if np.isin(targets, (0, 1)).all() else ["indicator targets must be 0 or 1"]


def _names(clips: Clips) -> list[str]:
    problems = []
    if nameless := [ascii(clip_id) for clip_id in clips.ids if clip_id.encode(errors="replace").decode() != clip_id]:
        said = f"{len(nameless)} ids are not UTF-8: {', '.join(nameless[:5])}"
        problems.append(f"{said}; rename these files, e.g. convmv -f latin1 -t utf-8 --notest FILE")
    if twice := [clip_id for clip_id, count in Counter(clips.ids).items() if count > 1]:
        problems.append(f"{len(twice)} ids stand twice: {', '.join(twice[:5])}")
    if twice := [label for label, count in Counter(clips.label_names).items() if count > 1]:
        problems.append(f"label names stand twice: {', '.join(twice[:5])}")
    if unknown := sorted(set(clips.splits or ()) - set(_SPLITS)):
        problems.append(f"unknown splits {', '.join(unknown)}; allowed are {', '.join(_SPLITS)}")
    if unknown := sorted(set(clips.listed_bad) - set(clips.ids)):
        problems.append(f"listed_bad names no clip: {', '.join(unknown[:5])}")
    return problems


PHRASES = {
    "resampled": "resampled",
    "mixed_down": "mixed down to mono",
    "cancelled": "cancelled by mixing down (channels out of phase)",
    "clipped": "cut at full scale (overshoot)",
    "overdriven": "more than 6 dB beyond full scale (kept at their level)",
    "cut": "cut short in the file",
    "silent": "silent",
    "quiet": "quieter than -60 dBFS",
    "trimmed": "trimmed at silent ends",
    "truncated": "truncated to the length of a clip",
    "padded": "padded with zeros",
    "tiled": "repeated to the length of a clip",
}
"""Change of a clip -> what is said of it."""

FAULTS = ("cancelled", "overdriven", "cut", "silent", "quiet")
"""Changes that nobody means to have in a data set."""

TOLERATED = 0.01
"""Share of clips with one fault above which a result is not publishable."""


def decoding_note(report: Mapping[str, Any]) -> str:
    """One sentence with the count of every change, such as ``What decoding changed in 9 clips: 2 resampled.``."""
    said = [f"{report[name]} {words}" for name, words in PHRASES.items() if report.get(name)]
    return f"What decoding changed in {_clips(report)} clips: {', '.join(said) or 'nothing'}."


def decoding_faults(report: Mapping[str, Any]) -> list[str]:
    """Each fault of more than one clip in a hundred, with the first clips that have it."""
    total = _clips(report)
    return [
        f"{report[name]} of {total} clips are {PHRASES[name]}: {', '.join(report['named'][name])}, ..."
        for name in FAULTS
        if report.get(name, 0) > TOLERATED * total
    ]


def _clips(report: Mapping[str, Any]) -> int:
    return int(report["decoded"]) + len(report["failed"])
