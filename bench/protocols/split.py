"""What the host keeps in its own hands whatever divides the clips: valid parts, the sealed test split, leak checks.

A protocol says how clips are divided and which checkpoint is kept. Bound to a data set it has a hash; rows of
different hashes are never averaged.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from inspect import getsource, signature
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError, DataError, LeakError, PluginError, SealedError
from bench.plugins.factories import load_factory
from bench.plugins.registry import Entry
from bench.plugins.sources import describe
from bench.plugins.specs import Need, ProtocolSpec
from bench.protocols.groups import units

if TYPE_CHECKING:
    from bench.clips import Clips
    from bench.plugins.interfaces import Indices, Parts

    Protocol = Entry[ProtocolSpec]

PARTS = ("train", "validation", "test")
HOME = "bench.protocols.divisions:"
"""Where the host's own divisions are; records and hashes name them without it."""
NEEDS: dict[Need, str] = {
    "folds": "folds",
    "groups": "groups",
    "splits": "published train/test split",
    "validation": "validation clips",
}
"""What a protocol may need, in words."""

NAMED_GROUPS = 20
"""Shared groups that a record names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """Groups that a split shares between its test part and the rest, and how many of ``test_clips`` are of these.

    ``clips`` counts those whose group stands in train or validation, ``train_clips`` those in train alone. ``unknown``
    says why it cannot be told how many these are, ``at_random`` that nothing of the authors divides the clips.
    """

    clips: int
    train_clips: int
    test_clips: int
    groups: tuple[str, ...]
    unknown: str = ""
    at_random: bool = False

    @property
    def rate(self) -> float | None:
        """Leaking fraction of the test clips, 0 to 1; ``None`` where it is unknown."""
        return None if self.unknown or not self.test_clips else self.clips / self.test_clips


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
                "the test split is sealed until training has finalised its checkpoint; use a protocol that selects "
                "on validation, or one that selects on test and is never ranked (`bench list protocols`)"
            )
        return self.test


def protocol_label(spec: ProtocolSpec) -> str:
    """Name and version as cells carry them: ``"4+1@1"``."""
    return f"{spec.name}@{spec.version}"


def protocol_hash(protocol: Protocol, dataset: str, manifest: str, exceptions: Sequence[str] = ()) -> str:
    """Sixteen hex digits over the rule, the data set's manifest and the documented exceptions.

    The rule holds the source of a plugin's functions: two that differ never count as one, whatever their version says.
    """
    spec = protocol.spec
    rule: dict[str, Any] = {key: getattr(spec, key) for key in ("name", "version", "validation", "select_on", "ranked")}
    rule["scheme"] = spec.divide.removeprefix(HOME)
    if spec.options:
        rule["options"] = dict(spec.options)
    outside = [protocol.home(name) for name in (spec.divide, spec.folds) if name and not name.startswith(HOME)]
    if outside:
        rule["source"] = [_source(factory) for factory in outside]
    content = json.dumps([rule, dataset, manifest, sorted(exceptions)], sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def authors_parts(spec: ProtocolSpec) -> bool:
    """Whether a protocol tests on folds of the authors or on their split; else a fold may hold any clip."""
    return spec.folds is None and not {"folds", "splits"}.isdisjoint(spec.needs)


def offered(clips: Clips) -> frozenset[Need]:
    """What a protocol may need and these clips have."""
    splits = set(clips.splits or ())
    has: dict[Need, bool] = {
        "folds": clips.folds is not None,
        "groups": clips.groups is not None,
        "splits": {"train", "test"} <= splits,
        "validation": "val" in splits,
    }
    return frozenset(need for need, there in has.items() if there)


def check_needs(spec: ProtocolSpec, clips: Clips) -> None:
    """Raises :class:`DataError` where the clips lack what the protocol needs."""
    if lacking := [NEEDS[need] for need in spec.needs if need not in offered(clips)]:
        raise DataError(f"{clips.title} has no {' and no '.join(lacking)}, which protocol {spec.name!r} needs")


def available_folds(protocol: Protocol, clips: Clips) -> tuple[int, ...]:
    """The test folds that a protocol has on these clips, ascending; ``(0,)`` for a fixed split."""
    import numpy as np

    spec = protocol.spec
    check_needs(spec, clips)
    if spec.folds is None and "folds" not in spec.needs:
        return (0,)
    if spec.folds is None:
        numbers = np.asarray(clips.folds)
    else:
        numbers = np.asarray(_call(protocol, protocol.home(spec.folds), clips))
        if numbers.shape != (len(clips),) or not np.issubdtype(numbers.dtype, np.integer):
            raise PluginError(
                f"{_name(protocol)}: folds {spec.folds!r} gave {numbers.dtype} {numbers.shape}; "
                f"it must give a whole number for each clip: ({len(clips)},)"
            )
    folds = tuple(np.unique(numbers[clips.known]).tolist())
    if len(folds) < 2:
        raise DataError(f"{clips.title} has one fold only; protocol {spec.name!r} needs at least two")
    return folds


def takes_seed(protocol: Protocol) -> bool:
    """Whether another seed gives other parts."""
    return "seed" in signature(load_factory(protocol.factory)).parameters


def make_split(protocol: Protocol, clips: Clips, fold: int, *, seed: int = 0, known_leaks: Sequence[str] = ()) -> Split:
    """Divide the clips of one cell and refuse a division that leaks.

    Raises:
        LeakError: Train or validation shares a group with test that is not one of ``known_leaks``, and the protocol is
            not one that exists to report its leak.
        DataError: The data set lacks the folds or splits that the protocol needs, or a part is empty.
        PluginError: The division raises, or its parts overlap, leave the clips or hold clips with no known target.
    """
    spec = protocol.spec
    check_needs(spec, clips)
    train, validation, test = _checked(protocol, clips, _call(protocol, protocol.factory, clips, fold, seed=seed))
    wanted = {"train": train, "test": test} | ({"validation": validation} if spec.select_on == "validation" else {})
    for name, part in wanted.items():
        if len(part) == 0:
            raise DataError(f"{clips.title}: {_name(protocol)}, fold {fold}: the {name} part is empty")
    drawn = bool(clips.folds_to_draw) or not spec.needs
    leak = replace(find_leak(units(clips), train, validation, test), at_random=drawn)
    if clips.groups is None and not leak.groups:
        leak = replace(leak, unknown="the data name no groups (recordings, speakers) of their clips")
    undocumented = sorted(set(leak.groups) - set(known_leaks))
    if undocumented and spec.leaks == "refused":
        raise LeakError(
            f"{clips.title}: protocol {spec.name!r} leaks: the group of {leak.rate or 0:.1%} of the test clips also "
            f"stands in train or validation ({leak.train_clips / leak.test_clips:.1%} in train; e.g. "
            f"{_shared(clips, undocumented[0], (train, validation, test))}). A score on it is not a test score; "
            "use one of the data set's own protocols (`bench list datasets`)",
            leak.rate or 0.0,
        )
    return Split(train=train, validation=test if spec.select_on == "test" else validation, test=test, leak=leak)


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


def _shared(clips: Clips, group: str, parts: Parts) -> str:
    """Two clips of a group that stand in two parts; where two are copies of one recording, these, and what to do."""
    names = units(clips) or ()
    rows = [(part, int(row)) for part, rows in zip(PARTS, parts, strict=True) for row in rows if names[row] == group]
    whole = [0] * len(clips)
    for same in (whole if clips.copies is None else clips.copies.tolist(), whole):
        seen: dict[int, tuple[str, int]] = {}
        for part, row in reversed(rows):
            first, other = seen.setdefault(same[row], (part, row))
            if first != part:
                pair = f"{clips.ids[other]!r} ({first}) and {clips.ids[row]!r} ({part})"
                told = "are the same recording: leave one out, or give both one fold"
                return f"{pair} {f'are of group {group!r}' if same is whole else told}"
    return f"group {group!r}"


def _call(protocol: Protocol, factory: str, clips: Clips, *fold: int, seed: int = 0) -> Any:
    """What a function of the protocol answers, called with what its signature asks for."""
    spec = protocol.spec
    function = load_factory(factory)
    given = {"seed": seed, "validation": spec.validation, "version": spec.version}
    taken = signature(function).parameters
    try:
        return function(clips, *fold, **{key: given[key] for key in given if key in taken}, **spec.options)
    except BenchError:
        raise
    except Exception as error:
        raise PluginError(f"{_name(protocol)}: {factory} raised {describe(error, protocol.provenance.file)}") from error


def _checked(protocol: Protocol, clips: Clips, parts: Any) -> Parts:
    """The parts as ascending int64 indices; they must be disjoint, in range and of clips whose target is known."""
    import numpy as np

    try:
        arrays = [np.asarray(part) for part in parts] if isinstance(parts, (tuple, list)) else []
    except ValueError:  # nested lists of unequal length
        arrays = []
    if len(arrays) != 3:
        raise PluginError(f"{_name(protocol)}: divide must return train, validation and test, not {parts!r:.60}")
    for name, part in zip(PARTS, arrays, strict=True):
        if part.ndim != 1 or (len(part) and not np.issubdtype(part.dtype, np.integer)):
            said = f"{part.dtype} {part.shape}"
            raise PluginError(f"{_name(protocol)}: the {name} part is {said}; it must be indices of clips, (n,)")
        outside = part[(part < 0) | (part >= len(clips))] if len(part) else part
        if len(outside):
            raise PluginError(f"{_name(protocol)}: the {name} part has clip {outside[0]} of {len(clips)}")
    train, validation, test = (np.sort(part).astype(np.int64) for part in arrays)
    if len(validation) and protocol.spec.validation == "none":
        raise PluginError(f"{_name(protocol)}: divide gave validation clips, but validation is 'none'")
    together, counts = np.unique(np.concatenate([train, validation, test]), return_counts=True)
    for fault, places in (
        ("stand in two parts, or twice in one", together[counts > 1]),
        ("have no known target (split 'predict')", together[~clips.known[together]]),
    ):
        if len(places):
            raise PluginError(f"{_name(protocol)}: {len(places)} clips {fault}, e.g. {clips.ids[places[0]]!r}")
    return train, validation, test


def _source(factory: str) -> str:
    """The text of a function, or its name where Python has no text of it."""
    try:
        return getsource(load_factory(factory))
    except (OSError, TypeError):
        return factory


def _name(protocol: Protocol) -> str:
    return f"protocol {protocol.spec.name!r} of {protocol.provenance}"


def describe_split(split: Split, known_leaks: Sequence[str]) -> dict[str, Any]:
    """The leak report as it stands in a record; of many shared groups the first are named."""
    unknown = dict.fromkeys(("clips", "train_clips")) if split.leak.unknown else {}
    return {
        **asdict(split.leak),
        **unknown,
        "rate": split.leak.rate,
        "groups": list(split.leak.groups[:NAMED_GROUPS]),
        "group_count": len(split.leak.groups),
        "documented": bool(split.leak.groups) and set(split.leak.groups) <= set(known_leaks),
    }
