"""What is checked of a data set's recordings: that they decode, what is wrong with them, which hold the same sound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from bench.analysis.phrases import plural
from bench.clips import Clips
from bench.data import near_copies as search
from bench.data.check import FAULTS, PHRASES
from bench.data.waveforms import Recordings, open_recordings
from bench.errors import some
from bench.protocols.groups import units
from bench.testing.results import CheckResult, Listed, passed, skipped

if TYPE_CHECKING:
    from bench.testing.datasets import DatasetCase

DECODED = 8
"""Clips that are decoded, spread over the data set, where it has more than ``EVERY``."""
EVERY = 20_000
"""Clips up to which a check decodes all of them."""
COMPARED = 10_000
"""Clips up to which near copies are sought: time grows with the square of their number."""
_FIRST = 20
_HEARD = 10
_EMPTY = "more than half digital silence"


def decodes(case: DatasetCase) -> CheckResult:
    """Clips can be decoded; counts and names those with faults, and those that come at another rate or length."""
    clips = case.clips
    if clips.audio is None:
        return skipped("the publishers give features, there is nothing to decode")
    if len(clips) > EVERY:
        clips = _some_of(clips, [i for i in spread(len(clips), DECODED) if clips.ids[i] not in clips.listed_bad])
    recordings = open_recordings(clips)
    listed = [
        one
        for change, rows in recordings.changed.items()
        for one in _listed(PHRASES[change], [clips.ids[row] for row in rows], recordings.report[change])
    ]
    for words, rows in _seen(recordings, clips).items():
        listed += _listed(words, [clips.ids[row] for row in rows])
    bad = {*(PHRASES[fault] for fault in FAULTS), _EMPTY}
    notes = [f"{one.count} {one.what}{f': {some(list(one.first))}' if one.what in bad else ''}" for one in listed]
    said = f"{len(clips)} clips to {clips.sample_rate} Hz and {clips.clip_samples} samples"
    return replace(passed(f"{said} ({'; '.join(notes) or 'none changed'})", float(len(clips))), listed=tuple(listed))


def _seen(recordings: Recordings, clips: Clips) -> dict[str, list[int]]:
    """Rows of clips that are shorter or longer than a clip shall be, or hold little."""
    lengths = np.diff(recordings.offsets)
    nothing = [np.count_nonzero(samples) for samples in recordings] < lengths / 2
    silent = set(recordings.changed["silent"])
    return {
        PHRASES["truncated"]: np.flatnonzero(lengths > clips.clip_samples).tolist(),
        PHRASES["padded"]: np.flatnonzero(lengths < clips.clip_samples).tolist(),
        _EMPTY: [row for row in np.flatnonzero(nothing).tolist() if row not in silent],
    }


def copies(case: DatasetCase) -> CheckResult:
    """Which clips hold the same samples; each is one group with its original, and no division may part them."""
    clips = case.clips
    if clips.copies is None:
        return skipped(f"they are sought where there is sound, of at most {EVERY} clips")
    known, targets = clips.copies.tolist(), clips.targets
    rows = [row for row, first in enumerate(known) if row != first]
    other = [row for row in rows if not np.array_equal(targets[row], targets[known[row]])]
    pairs, torn = ([f"{clips.ids[known[row]]} = {clips.ids[row]}" for row in found] for found in (rows, other))
    if not pairs:
        return passed("no clip holds the samples of another", 0.0)
    said = f"{len(pairs)} clips hold the samples of another, each is one group with it: {some(pairs)}"
    said += f"; {len(torn)} of them with another label than it: {some(torn)}" if torn else ""
    listed = (*_listed("the same samples as another clip", pairs), *_listed("the same with another label", torn))
    return replace(passed(said, float(len(pairs))), listed=listed)


def near_copies(case: DatasetCase) -> CheckResult:
    """Which clips sound alike, to be listened to: they are listed, never merged; those in other folds come first."""
    clips = case.clips
    if clips.audio is None or clips.copies is None or len(clips) > COMPARED:
        return skipped(f"they are sought where there are recordings, of at most {COMPARED} clips")
    recordings = open_recordings(clips)
    every = search.near_copies(recordings, clips.sample_rate)
    found = [pair for pair in every if all(clips.copies[row] == row for row in (pair.first, pair.second))]
    groups, parts = units(clips), clips.folds if clips.folds is not None else clips.splits
    apart = [pair for pair in found if groups is None or groups[pair.first] != groups[pair.second]]
    across = [pair for pair in apart if parts is not None and parts[pair.first] != parts[pair.second]]
    apart.sort(key=lambda pair: pair not in across)
    shown, split = (
        [f"{clips.ids[pair.first]} ~ {clips.ids[pair.second]} ({pair.correlation:.2f})" for pair in pairs]
        for pairs in (apart, across)
    )
    listed = (
        *_listed("pairs that sound alike, of other groups", shown),
        *_listed("such pairs in different folds or parts", split),
    )
    same = f"{len(found) - len(apart)} of one group, " if groups is not None else ""
    said = f"{plural(len(found), 'pair')} of clips sounding alike ({same}{len(across)} in different folds or parts)"
    heard = [
        f"\n{pair.correlation:.2f} at {pair.shift_s:+.2f} s: {_file(case, pair.first)} {_file(case, pair.second)}"
        for pair in apart[:_HEARD]
    ]
    said += f"; listen to those of different groups:{''.join(heard)}" if heard else ""
    return replace(passed(said, float(len(found))), listed=listed)


def _listed(what: str, names: Sequence[str], count: int | None = None) -> tuple[Listed, ...]:
    """What was found, if anything was; ``count`` where ``names`` are not all of it."""
    return (Listed(what=what, count=count or len(names), first=tuple(names[:_FIRST])),) if names else ()


def _file(case: DatasetCase, row: int) -> str:
    """The file of a clip, below the data set's folder; its name where it is generated."""
    audio = case.clips.audio
    if audio is None or callable(audio):
        return case.clips.ids[row]
    root = case.root if case.root is None or case.root.is_dir() else case.root.parent
    return str(audio[row].relative_to(root) if root is not None and audio[row].is_relative_to(root) else audio[row])


def _some_of(clips: Clips, rows: Sequence[int]) -> Clips:
    """A few clips of a data set: their names and sounds."""
    audio = clips.sounds
    return replace(
        clips, ids=tuple(clips.ids[row] for row in rows), targets=clips.targets[list(rows)], listed_bad=(),
        audio=(lambda row: audio(rows[row])) if callable(audio) else [audio[row] for row in rows],
    )  # fmt: skip


def spread(count: int, wanted: int) -> Sequence[int]:
    """At most ``wanted`` rows from first to last.

    >>> spread(100, 3)
    [0, 50, 99]
    """
    return sorted({int(i) for i in np.linspace(0, count - 1, min(count, wanted)).round()})
