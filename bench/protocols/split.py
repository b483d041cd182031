"""Folds, groups, the sealed test split and leak checks: pure functions on arrays.

A protocol says how clips are divided and which checkpoint is kept. Bound to a data set it has a hash; rows of
different hashes are never averaged. Sources: Piczak 2015 (official folds of ESC-50), Nadeau & Bengio 1999.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from bench.errors import DataError, LeakError, SealedError
from bench.plugins.specs import ProtocolSpec

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from bench.clips import Clips

    Indices = npt.NDArray[np.int64]


NAMED_GROUPS = 20
"""Shared groups that a record names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """Groups that a split shares between its test part and the rest.

    Attributes:
        clips: Test clips whose group also stands in train or validation.
        train_clips: The same against train only.
        test_clips: Clips of the test part.
        groups: Ids of the shared groups, sorted.
    """

    clips: int
    train_clips: int
    test_clips: int
    groups: tuple[str, ...]

    @property
    def rate(self) -> float:
        """Leaking fraction of the test clips, 0 to 1."""
        return self.clips / self.test_clips if self.test_clips else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Indices of train, validation (maybe empty) and test clips, and what they share."""

    train: Indices
    validation: Indices
    test: Indices
    leak: Leak

    def test_indices(self, *, finalised: bool) -> Indices:
        """The test clips; the one door to them.

        Args:
            finalised: Whether training has fixed the checkpoint that will be scored.

        Raises:
            SealedError: It has not.
        """
        if not finalised:
            raise SealedError(
                "the test split is sealed until training has finalised its checkpoint; "
                "select on validation (--protocol 3+1+1), or say paper-style to select on test, unranked"
            )
        return self.test


def protocol_label(spec: ProtocolSpec) -> str:
    """Name and version as cells carry them: ``"4+1@1"``."""
    return f"{spec.name}@{spec.version}"


def protocol_hash(spec: ProtocolSpec, dataset: str, manifest: str, exceptions: Sequence[str] = ()) -> str:
    """Sixteen hex digits over the rule, the data set's manifest and the documented exceptions."""
    rule = {key: value for key, value in asdict(spec).items() if key != "description"}
    content = json.dumps([rule, dataset, manifest, sorted(exceptions)], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def available_folds(spec: ProtocolSpec, clips: Clips) -> tuple[int, ...]:
    """The test folds that ``spec`` has on these clips, ascending; ``(0,)`` for a fixed split.

    Raises:
        DataError: The data set has no folds (groups, splits) of the kind that the protocol needs.
    """
    if spec.scheme == "split":
        _published(spec, clips)
        return (0,)
    if spec.scheme == "random_split":
        return (0,)
    numbers = tuple(sorted(set(_fold_numbers(spec, clips)[_known(clips)].tolist())))
    if len(numbers) < 2:
        raise DataError(f"{clips.title} has one fold only; protocol {spec.name!r} needs at least two")
    return numbers


def make_split(spec: ProtocolSpec, clips: Clips, fold: int, *, known_leaks: Sequence[str] = ()) -> Split:
    """Divide the clips of one cell and refuse a division that leaks.

    Args:
        spec: The protocol.
        clips: The loaded data set.
        fold: Test fold; 0 for a fixed split.
        known_leaks: Group ids that the official split itself shares; reported, not refused.

    Raises:
        LeakError: Train or validation shares a group with test that is not documented; only ``random_split``, which
            exists to show that leak and is never ranked, is let through.
        DataError: The data set lacks the folds or splits that the protocol needs, or a part is empty.
    """
    train, validation, test = _divide(spec, clips, fold)
    for name, part in (("train", train), ("test", test)):
        if len(part) == 0:
            raise DataError(f"{clips.title}: protocol {spec.name!r}, fold {fold}: the {name} part is empty")
    selecting = validation[:0] if spec.select_on == "test" else validation
    leak = find_leak(clips.groups, train, selecting, test)
    undocumented = sorted(set(leak.groups) - set(known_leaks))
    if undocumented and spec.scheme != "random_split":
        raise LeakError(
            f"{clips.title}: protocol {spec.name!r} leaks: the group of {leak.rate:.1%} of the test clips also "
            f"stands in train or validation ({leak.train_clips / leak.test_clips:.1%} in train; e.g. group "
            f"{undocumented[0]!r}). A score on it is not a test score; use one of the data set's own protocols "
            "(`bench list datasets`)",
            leak.rate,
        )
    return Split(train=train, validation=validation, test=test, leak=leak)


def find_leak(groups: Sequence[str] | None, train: Indices, validation: Indices, test: Indices) -> Leak:
    """Count the test clips whose group also stands in train or validation."""
    if groups is None:
        return Leak(clips=0, train_clips=0, test_clips=len(test), groups=())
    in_train = {groups[i] for i in train}
    seen = in_train | {groups[i] for i in validation}
    shared = [groups[i] for i in test if groups[i] in seen]
    # Train and validation must not share groups either: selection would be on seen sources.
    between = in_train & {groups[i] for i in validation}
    return Leak(
        clips=len(shared),
        train_clips=sum(groups[i] in in_train for i in test),
        test_clips=len(test),
        groups=tuple(sorted(set(shared) | between)),
    )


def _divide(spec: ProtocolSpec, clips: Clips, fold: int) -> tuple[Indices, Indices, Indices]:
    import numpy as np

    everything = np.arange(len(clips), dtype=np.int64)
    if spec.scheme == "split":
        return _published(spec, clips)
    if spec.scheme == "random_split":
        return _random_split(spec, clips)
    known = _known(clips)
    everything, numbers = everything[known], _fold_numbers(spec, clips)[known]
    present = sorted(set(numbers.tolist()))
    if fold not in present:
        raise DataError(f"{clips.title}: no fold {fold}; it has {', '.join(map(str, present))}")
    held: tuple[int, ...] = (fold,)
    validation = everything[:0]
    if spec.validation == "next_fold":
        following = present[(present.index(fold) + 1) % len(present)]
        validation = everything[numbers == following]
        held = (fold, following)
    test = everything[numbers == fold]
    train = everything[~np.isin(numbers, held)]
    if spec.select_on == "test":
        validation = test
    return train, validation, test


def _published(spec: ProtocolSpec, clips: Clips) -> tuple[Indices, Indices, Indices]:
    import numpy as np

    if clips.splits is None:
        raise DataError(f"{clips.title} has no published train/test split; use --protocol 4+1")
    everything = np.arange(len(clips), dtype=np.int64)
    splits = np.asarray(clips.splits)
    validation = everything[splits == "val"]
    train = everything[splits == "train"]
    if spec.validation == "none":
        train, validation = np.concatenate([train, validation]), everything[:0]
        train.sort()
    elif len(validation) == 0:
        raise DataError(f"{clips.title} has no validation clips, which protocol {spec.name!r} needs")
    return train, validation, everything[splits == "test"]


def _known(clips: Clips) -> npt.NDArray[np.bool_]:
    """``(clips,)``: true where the target is known; clips to predict are in no part of a division."""
    import numpy as np

    return np.asarray([split != "predict" for split in clips.splits or [""] * len(clips)], dtype=np.bool_)


def _random_split(spec: ProtocolSpec, clips: Clips) -> tuple[Indices, Indices, Indices]:
    """The first four fifths of the shuffled clips, and the rest; the same on every machine."""
    import numpy as np

    known = np.flatnonzero(_known(clips)).astype(np.int64)
    order = np.random.default_rng(spec.version).permutation(known)
    cut = len(order) * 4 // 5
    return np.sort(order[:cut]), order[:0], np.sort(order[cut:])


def _hashed(group: str, version: int) -> int:
    """Fold 1 to 5 of a group, from its name alone: clips that are added later move no other clip."""
    return int(hashlib.sha256(f"{version}:{group}".encode()).hexdigest(), 16) % 5 + 1


def _fold_numbers(spec: ProtocolSpec, clips: Clips) -> Indices:
    import numpy as np

    if spec.scheme == "random":
        known = np.flatnonzero(_known(clips))
        order = known[np.random.default_rng(spec.version).permutation(len(known))]
        numbers = np.zeros(len(clips), dtype=np.int64)
        numbers[order] = np.arange(len(order)) % 5 + 1
        return numbers
    if spec.scheme in ("group", "grouped"):
        if clips.groups is None:
            raise DataError(f"{clips.title} names no groups, which protocol {spec.name!r} needs")
        if spec.scheme == "grouped":
            return np.asarray([_hashed(group, spec.version) for group in clips.groups], dtype=np.int64)
        return np.unique(np.asarray(clips.groups), return_inverse=True)[1].astype(np.int64) + 1
    if clips.folds is None:
        raise DataError(f"{clips.title} has no folds, which protocol {spec.name!r} needs; use --protocol official")
    return np.asarray(clips.folds, dtype=np.int64)


def describe_split(split: Split, known_leaks: Sequence[str]) -> dict[str, Any]:
    """The leak report as it stands in a record; of many shared groups the first are named."""
    return {
        "rate": split.leak.rate,
        "clips": split.leak.clips,
        "train_clips": split.leak.train_clips,
        "test_clips": split.leak.test_clips,
        "groups": list(split.leak.groups[:NAMED_GROUPS]),
        "group_count": len(split.leak.groups),
        "documented": bool(split.leak.groups) and set(split.leak.groups) <= set(known_leaks),
    }
