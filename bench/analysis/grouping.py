"""Records and planned cells, sorted into sections and rows; nothing is computed here."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any

from bench.cell import Cell, axes
from bench.results.records import Record


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class RowKey:
    """The axes that make two results different rows. See :class:`bench.cell.Cell` for their meaning."""

    model: str
    mode: str
    weights: str = "random"
    inputs: str
    frontend: str
    feeding: str
    recipe: str
    precision: str
    clip_samples: int


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Identity:
    """What must be equal for two records to share a section."""

    title: str = ""
    protocol: str
    dataset: str
    protocol_hash: str = ""
    labels: tuple[str, ...] = ()
    manifest: str = ""


@dataclass(slots=True)
class RowGroup:
    """Everything that belongs to one row."""

    key: RowKey
    evaluate: list[Record] = field(default_factory=list)
    profile: list[Record] = field(default_factory=list)
    planned: list[Cell] = field(default_factory=list)


@dataclass(slots=True)
class SectionGroup:
    """Everything that belongs to one section."""

    identity: Identity
    rows: dict[RowKey, RowGroup] = field(default_factory=dict)
    profiles: list[Record] = field(default_factory=list)

    def row(self, key: RowKey) -> RowGroup:
        """The row of that key, made on first use."""
        found = self.rows.get(key)
        return self.rows.setdefault(key, RowGroup(key)) if found is None else found

    def records(self) -> Iterable[Record]:
        """Every evaluate record of the section."""
        return (record for row in self.rows.values() for record in row.evaluate)


_AXES = tuple(axis.name for axis in fields(RowKey))
_axes = attrgetter(*_AXES)


def row_key(cell: Cell) -> RowKey:
    """The axes of a cell that decide its row."""
    return _row_key(_axes(cell))


@functools.lru_cache(maxsize=4096)
def _row_key(found: tuple[Any, ...]) -> RowKey:
    return RowKey(**dict(zip(_AXES, found, strict=True)))


def part(record: Record, name: str) -> Mapping[str, Any]:
    """One block of the provenance, empty where the record has none (planned outcomes, early failures)."""
    value = record.provenance.get(name)
    return value if isinstance(value, dict) else {}


def identity(record: Record) -> Identity | None:
    """What the record was measured on; ``None`` where it ended before that was known."""
    dataset, protocol = part(record, "dataset"), part(record, "protocol")
    if not dataset.get("title") or not dataset.get("manifest_sha256"):
        return None
    return Identity(
        title=str(dataset["title"]),
        protocol=record.cell.protocol,
        dataset=record.cell.dataset,
        protocol_hash=str(protocol.get("hash", "")),
        labels=tuple(dataset.get("label_names") or ()),
        manifest=str(dataset["manifest_sha256"]),
    )


def titles(identities: Sequence[Identity]) -> dict[Identity, str]:
    """What each section calls its data set; what they differ in tells apart those of one title, or of one protocol."""
    shared = Counter(title for title, _ in {(one.title, one.dataset) for one in identities})
    found = {}
    for one in identities:
        twins = [i for i in identities if (i.title, i.dataset, i.protocol) == (one.title, one.dataset, one.protocol)]
        own = {
            one.dataset.rpartition("~")[2]: one.title and shared[one.title] > 1,
            f"data {one.manifest[:6] or 'unknown'}": len({i.manifest for i in twins}) > 1,
            f"protocol hash {one.protocol_hash[:6] or 'unknown'}": len({i.protocol_hash for i in twins}) > 1,
            f"labels {', '.join(one.labels[:3])}, ...": len({i.labels for i in twins}) > 1,
        }
        told = ", ".join(name for name, differs in own.items() if differs)
        found[one] = f"{one.title or one.dataset}{f' ({told})' if told else ''}"
    return found


def gather(records: Sequence[Record], planned: Sequence[Cell]) -> list[SectionGroup]:
    """Sections in the order of their titles, each with its rows.

    A record that ended before its data was read (planned outcomes, early failures) and a planned cell without a
    record join the section of the same data set and protocol.
    """
    sections: dict[Identity, SectionGroup] = {}
    ordered = sorted(records, key=lambda record: (axes(record.cell), record.started_at))
    placed = [(identity(record), record) for record in ordered if record.cell.kind == "evaluate"]
    for where, record in sorted(placed, key=lambda pair: pair[0] is None):
        if where is not None and where not in sections:
            sections[where] = SectionGroup(where)
        home = _home(sections, record.cell) if where is None else sections[where]
        home.row(row_key(record.cell)).evaluate.append(record)
    _join_profiles(sections, [record for record in ordered if record.cell.kind == "profile"])
    for cell in sorted(set(planned).difference(record.cell for record in (ordered if planned else ()))):
        _home(sections, cell).row(row_key(cell)).planned.append(cell)
    return [sections[key] for key in sorted(sections)]


def _home(sections: dict[Identity, SectionGroup], cell: Cell) -> SectionGroup:
    """The section a cell without an identity of its own belongs to."""
    same = [sections[key] for key in sorted(sections) if (key.dataset, key.protocol) == (cell.dataset, cell.protocol)]
    if cell.kind == "profile" and not same:
        same = [sections[key] for key in sorted(sections) if key.dataset == cell.dataset]
    for section in same:
        if row_key(cell) in section.rows:
            return section
    if same:
        return same[0]
    unknown = Identity(protocol=cell.protocol, dataset=cell.dataset)
    return sections.setdefault(unknown, SectionGroup(unknown))


def _join_profiles(sections: dict[Identity, SectionGroup], profiles: Sequence[Record]) -> None:
    """Give every section of a data set the profile records of that data set."""
    for record in profiles:
        where = identity(record)
        homes = [
            section
            for key, section in sorted(sections.items())
            if key.dataset == record.cell.dataset and (where is None or not key.labels or key.labels == where.labels)
        ]
        if not homes:
            homes = [_home(sections, record.cell) if where is None else sections.setdefault(where, SectionGroup(where))]
        for section in homes:
            section.profiles.append(record)
        if not any(matches(key, record.cell) for section in homes for key in section.rows):
            own = [section for section in homes if section.identity.protocol == record.cell.protocol]
            (own or homes)[0].row(row_key(record.cell))
    for section in sections.values():
        for row in section.rows.values():
            row.profile = [record for record in section.profiles if matches(row.key, record.cell)]


def matches(key: RowKey, cell: Cell) -> bool:
    """Whether a profile cell describes the speed of a row: same network on the same input, in the same precision."""
    speed = attrgetter("model", "inputs", "frontend", "feeding", "precision", "clip_samples")
    return bool(speed(key) == speed(cell))
