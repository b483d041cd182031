"""What is checked of a data set: that it can be trusted with a split."""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.clips import Clips
from bench.data.copies import know_copies
from bench.data.download import download_folder
from bench.data.locate import find, open_clips
from bench.errors import DataError, LeakError
from bench.plugins.registry import Entry, Registry
from bench.plugins.specs import DatasetSpec, ProtocolSpec
from bench.protocols.groups import units, untrained
from bench.protocols.split import available_folds, make_split, offered
from bench.testing.recordings import DECODED, EVERY, copies, decodes, near_copies, spread
from bench.testing.results import Check, CheckResult, checks_of, failed, judge, passed, skipped

_METADATA = (".csv", ".tsv", ".txt", ".json")
_LARGEST_METADATA = 16_000_000
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class DatasetCase:
    """A loaded data set: where ``--data`` and the loader looked (``root``), and what was found."""

    registry: Registry
    entry: Entry[DatasetSpec]
    data: Path | None
    root: Path | None
    clips: Clips

    @classmethod
    def of(cls, registry: Registry, entry: Entry[DatasetSpec], data: Path | None) -> DatasetCase:
        """Locate and load; nothing is downloaded. Raises ``DataError`` where it is nowhere, or inconsistent."""
        clips, root = find(entry.spec, data, load=entry.factory, offline=True)
        if len(clips) <= EVERY:
            with contextlib.suppress(DataError):  # a clip that cannot be decoded is for `decodes` to find
                clips = know_copies(clips)
        return cls(registry, entry, data, root, clips)

    @property
    def protocols(self) -> list[Entry[ProtocolSpec]]:
        """Its own protocols whose parts must be clean; those that need nothing of it shuffle, to be refused."""
        entries = [self.registry.protocols[name] for name in self.entry.spec.protocols]
        fitting = [entry for entry in entries if offered(self.clips) >= set(entry.spec.needs)]
        return [entry for entry in fitting or entries if entry.spec.needs or entry.spec.leaks == "reported"]


def at_hand(spec: DatasetSpec, data: Path | None) -> bool:
    """Whether files that carry the data set's name are there, so that a failure to load them is one."""
    if not spec.needs_files:
        return True
    place = data or (Path(os.environ["BENCH_DATA"]) if os.environ.get("BENCH_DATA") else None)
    if place is not None and (place.is_file() or place.name == spec.name or (place / spec.name).is_dir()):
        return True
    return data is None and bool(spec.url) and download_folder(spec).is_dir()


def dataset_checks(case: DatasetCase) -> dict[str, Check]:
    """The checks of one loaded data set, by name, in order."""
    return checks_of(
        case, declared, ids, labels, folds, groups, manifest, repeatable, decodes, copies, near_copies, images, texts
    )


def declared(case: DatasetCase) -> CheckResult:
    """What was declared without reading is what the files hold."""
    spec, clips = case.entry.spec, case.clips
    pairs: list[tuple[str, object, object]] = []
    if spec.folds:
        found = () if clips.folds is None else tuple(sorted({int(fold) for fold in clips.folds}))
        pairs.append(("folds", spec.folds, found))
    if spec.task is not None:
        given = {"audio", *(("image",) if clips.images else ()), *(("text",) if clips.texts else ())}
        pairs += [
            ("num_classes", spec.task.num_classes, len(clips.label_names)),
            ("task_type", spec.task.task_type, "multi_label" if clips.targets.ndim == 2 else "single_label"),
            ("sample_rate", spec.task.sample_rate, clips.sample_rate),
            ("clip_samples", spec.task.clip_samples, clips.clip_samples),
            ("modalities", set(spec.task.modalities), given),
            ("image_shape", spec.task.image_shape, clips.image_shape),
        ]
    wrong = [f"{name} is declared {said} and is {is_}" for name, said, is_ in pairs if said != is_]
    if wrong:
        return failed("; ".join(wrong) + "; mend the DatasetSpec or the loader", float(len(wrong)))
    if not pairs:
        return skipped("the user's files decide: the spec declares neither task nor folds")
    return passed(", ".join(name for name, _, _ in pairs) + " are as declared", 0.0)


def ids(case: DatasetCase) -> CheckResult:
    """Every clip has a name of its own."""
    count, unique = len(case.clips.ids), len(set(case.clips.ids))
    return judge(count == unique and count > 0, f"{unique} names for {count} clips", "make ids unique", float(count))


def labels(case: DatasetCase) -> CheckResult:
    """Class indices lie in range, and each class has a clip."""
    targets, classes = case.clips.targets, len(case.clips.label_names)
    if targets.ndim == 1:
        if targets.min() < 0 or targets.max() >= classes:
            return failed(f"targets run from {targets.min()} to {targets.max()}; allowed are 0 to {classes - 1}")
        counts = np.bincount(targets, minlength=classes)
    else:
        counts = (targets > 0).sum(axis=0)
    empty = [case.clips.label_names[i] for i in np.flatnonzero(counts == 0)]
    said = f"{classes} classes of {counts.min()} to {counts.max()} clips"
    return judge(not empty, said, f"no clip of {', '.join(empty[:5])}: drop the label or the filter", float(classes))


def folds(case: DatasetCase) -> CheckResult:
    """Under every protocol the parts are sound (the host sees to it); over all folds each clip is tested once."""
    said, gaps = [], []
    known = case.clips.known
    for protocol in case.protocols:
        name = protocol.spec.name
        tested = np.zeros(len(case.clips), dtype=np.int64)
        numbers = available_folds(protocol, case.clips)  # leaks are for `groups` to find
        for fold in numbers:
            split = make_split(protocol, case.clips, fold, known_leaks=units(case.clips) or ())
            tested[split.test] += 1
            if gap := untrained(case.clips, split.train, split.test):
                gaps.append(f"; {name}, fold {fold}: {gap}")
        if len(numbers) > 1 and not (tested[known] == 1).all():
            return failed(f"{name}: {int((tested[known] != 1).sum())} clips are not tested exactly once over all folds")
        said.append(f"{name} ({len(numbers)})")
    if not said:
        return skipped("it has no clean protocol")
    return passed(f"parts are disjoint under {', '.join(said)}{''.join(gaps[:_SHOWN])}")


def groups(case: DatasetCase) -> CheckResult:
    """No group (source recording, speaker, ...) stands in train and test, except those that are documented."""
    spec, clips = case.entry.spec, case.clips
    known = units(clips)
    if known is None or (clips.groups is None and spec.groups):
        missing = f"groups are declared as {spec.groups!r} but the loader gives none"
        return failed(missing) if spec.groups else skipped("its clips belong to no groups")
    shared: set[str] = set()
    rate = 0.0
    for protocol in case.protocols:
        for fold in available_folds(protocol, clips):
            try:
                leak = make_split(protocol, clips, fold, known_leaks=spec.known_leaks).leak
            except LeakError as error:
                return failed(f"fold {fold}: {error}", error.rate)
            shared |= set(leak.groups)
            rate = max(rate, leak.rate or 0.0)
    count = len(set(known))
    note = f"; {len(shared)} documented exceptions, in at most {rate:.1%} of a test part" if shared else ""
    if stale := sorted(set(spec.known_leaks) - shared):
        return failed(f"known_leaks names {', '.join(stale[:5])}, which no split shares; leave it out", rate)
    return passed(f"{count} groups ({spec.groups or 'unnamed'}), pure{note}", rate)


def manifest(case: DatasetCase) -> CheckResult:
    """The declared checksum is that of the clip list, of a metadata file or of the audio files' sorted names."""
    spec, clips = case.entry.spec, case.clips
    if not spec.manifest_sha256:
        return skipped("the spec declares no manifest_sha256")
    if spec.manifest_sha256 == clips.manifest_sha256:
        return passed("the clip list has the declared checksum")
    for path in _metadata(case.root):
        if hashlib.sha256(path.read_bytes()).hexdigest() == spec.manifest_sha256:
            return passed(f"{path.name} has the declared checksum")
    if clips.audio is not None and not callable(clips.audio):
        names = "\n".join(sorted(Path(path).name for path in clips.audio))
        if hashlib.sha256(names.encode()).hexdigest() == spec.manifest_sha256:
            return passed("the sorted file names have the declared checksum")
    declared_ = f"nothing here has the declared checksum {spec.manifest_sha256[:12]}..."
    if not clips.faithful:
        return skipped(f"{declared_}; this copy says that it differs: {'; '.join(clips.notes)}")
    return failed(f"{declared_}, yet the copy calls itself faithful; update manifest_sha256 or fetch the data again")


def _metadata(root: Path | None) -> list[Path]:
    if root is None:
        return []
    found = [root] if root.is_file() else [path for suffix in _METADATA for path in root.rglob(f"*{suffix}")]
    return sorted(path for path in found if path.stat().st_size <= _LARGEST_METADATA)


def repeatable(case: DatasetCase) -> CheckResult:
    """Loading twice gives the same clips in the same order."""
    again = open_clips(case.entry.spec, case.data, load=case.entry.factory, offline=True)
    same = (
        again.manifest_sha256 == case.clips.manifest_sha256
        and again.ids == case.clips.ids
        and np.array_equal(again.targets, case.clips.targets)
    )
    return judge(same, f"manifest {case.clips.manifest_sha256[:12]}", "sort what the loader lists; fix its seed")


def images(case: DatasetCase) -> CheckResult:
    """Images are float32 in [0, 1], of the declared shape, and do not depend on what is asked for with them."""
    clips = case.clips
    if clips.images is None or clips.image_shape is None:
        return skipped("it gives no images")
    chosen = spread(len(clips), DECODED)
    found = clips.images(chosen)
    if found.shape != (len(chosen), *clips.image_shape) or found.dtype != np.float32:
        return failed(f"{found.dtype} {found.shape} for {len(chosen)} clips; give float32 {clips.image_shape} each")
    if not (np.isfinite(found).all() and found.min() >= 0 and found.max() <= 1):
        return failed(f"values run from {found.min():g} to {found.max():g}; allowed are 0 to 1: divide by 255")
    same = np.array_equal(clips.images(chosen[::-1])[::-1], found)
    return judge(same, f"float32 {clips.image_shape} in [0, 1]", "images change with the order they are asked for in")


def texts(case: DatasetCase) -> CheckResult:
    """Every clip has a text."""
    if case.clips.texts is None:
        return skipped("it gives no texts")
    empty = sum(not text.strip() for text in case.clips.texts)
    said = f"{len(case.clips.texts)} texts, {empty} empty"
    return judge(not empty, said, "leave texts out, or fill them", float(empty))
