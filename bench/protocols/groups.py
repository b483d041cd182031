"""Groups of clips that no division may part: the authors' and those that copies of a clip make; folds drawn of them."""

from __future__ import annotations

import zlib
from collections import Counter, defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.errors import some

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.clips import Clips
    from bench.plugins.interfaces import Indices


def with_copies(clips: Clips, copies: Indices) -> Clips:
    """The clips with their copies known: groups that share a recording are one, drawn folds keep copies together.

    Args:
        clips: A loaded data set.
        copies: ``(clips,)``: for each clip the first one that holds the same samples.
    """
    rows = np.flatnonzero(copies != np.arange(len(clips)))
    if not len(rows):
        return replace(clips, copies=copies)
    said = some([f"{clips.ids[copies[row]]} = {clips.ids[row]}" for row in rows], mark="; ")
    note = f"{len(rows)} of {len(clips)} clips are copies of others, each one group with its original: {said}"
    groups = clips.groups and _merged(clips.groups, copies)
    return with_folds(replace(clips, copies=copies, groups=groups, notes=(*clips.notes, note)))


def with_folds(clips: Clips) -> Clips:
    """The clips with the folds that their data set leaves to the host to draw, if it does."""
    if not clips.folds_to_draw:
        return clips
    return replace(clips, folds=draw_folds(clips, count=clips.folds_to_draw))


def units(clips: Clips) -> tuple[str, ...] | None:
    """What must not be parted: the groups, or where there are none each clip with its copies; ``None`` = unknown."""
    if clips.groups is None and clips.copies is not None and (clips.copies != np.arange(len(clips))).any():
        return tuple(clips.ids[first] for first in clips.copies)
    return clips.groups


def draw_folds(clips: Clips, *, count: int) -> Indices:
    """``(clips,)``: folds from 1, the same on every machine: no group in two, every class spread as evenly as may be.

    The largest groups come first, each to the fold that has least of its commonest class. Clips to predict are in
    none (0); fewer groups than ``count`` make fewer folds.
    """
    return _spread(clips.targets, units(clips) or clips.ids, np.flatnonzero(clips.known), count)


def inner_folds(targets: Any, groups: Sequence[str] | None, count: int) -> Indices | None:
    """``(clips,)``: folds from 1 inside some clips, drawn in the same way.

    Args:
        targets: Class indices ``(clips,)``, or indicators ``(clips, classes)``.
        groups: Of each clip; ``None`` = unknown, so that every clip is one.
        count: Folds wanted; fewer where a class has fewer groups, ``None`` where one has a single group.
    """
    names = [str(row) for row in range(len(targets))] if groups is None else groups
    labels = [np.flatnonzero(row > 0) for row in targets] if targets.ndim == 2 else targets[:, None]
    pairs = {(int(label), name) for found, name in zip(labels, names, strict=True) for label in found}
    fewest = min(Counter(label for label, _ in pairs).values(), default=0)
    if fewest < 2:
        return None
    return _spread(targets, names, np.arange(len(targets)), min(count, fewest))


def _spread(targets: Any, names: Sequence[str], rows: Indices, count: int) -> Indices:
    labels = [row.tobytes() for row in targets]
    members: dict[str, list[int]] = defaultdict(list)
    for index in rows.tolist():
        members[names[index]].append(index)
    load: dict[bytes, list[int]] = defaultdict(lambda: [0] * count)
    totals = [0] * count
    drawn = np.zeros(len(targets), dtype=np.int64)
    for name in sorted(members, key=lambda name: (-len(members[name]), zlib.crc32(name.encode()), name)):
        counts = Counter(labels[index] for index in members[name])
        common = counts.most_common(1)[0][0]
        best = min(range(count), key=lambda fold: (load[common][fold], totals[fold], fold))
        drawn[members[name]] = best + 1
        totals[best] += len(members[name])
        for label, times in counts.items():
            load[label][best] += times
    return drawn


def untrained(clips: Clips, train: Indices, test: Indices) -> str:
    """A sentence that names the classes of the test part that no training clip has; empty where there are none."""
    targets: Any = clips.targets
    classes = len(clips.label_names)
    learnt, asked = (
        np.bincount(targets[part], minlength=classes) if targets.ndim == 1 else targets[part].sum(axis=0)
        for part in (train, test)
    )
    names = [repr(clips.label_names[index]) for index in np.flatnonzero((learnt == 0) & (asked > 0))]
    return f"no training clip has class {some(names)}, which can only be guessed" if names else ""


def _merged(groups: Sequence[str], copies: Indices) -> tuple[str, ...]:
    """The group of each clip where groups that share a copy are one, under their joined names.

    >>> _merged(["a", "b", "c", "d"], np.array([0, 0, 2, 1]))
    ('a = b = d', 'a = b = d', 'c', 'a = b = d')
    """
    parents = {name: name for name in groups}

    def root(name: str) -> str:
        while parents[name] != name:
            parents[name] = name = parents[parents[name]]
        return name

    for row, first in enumerate(copies.tolist()):
        parents[root(groups[row])] = root(groups[first])
    together: dict[str, list[str]] = defaultdict(list)
    for name in sorted(parents):
        together[root(name)].append(name)
    joined = {key: " = ".join(names) for key, names in together.items()}
    return tuple(joined[root(name)] for name in groups)
