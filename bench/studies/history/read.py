"""An append-only folder of measurements, a file a commit and run, a JSON line a quantity; and what became of each."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from bench.errors import DataError, StoreError
from bench.gate.baseline import PinnedRow
from bench.results.folder import write_atomic
from bench.results.quantities import QUANTITIES
from bench.statistics.changes import Changes, detect_changes
from bench.statistics.results import Refusal
from bench.textfiles import read_text

SUFFIX = ".jsonl"
EXACT = frozenset(one.gated for one in QUANTITIES if one.exact and one.gated)
"""Quantities without noise, of which every change is one."""

LARGEST = 1e100
"""No quantity is larger; what is, overflows where it is drawn."""
COMMIT = re.compile(r"[0-9A-Za-z][0-9A-Za-z._+-]{0,99}")


class Entry(BaseModel):
    """One quantity of one row at one commit.

    Attributes:
        schema_version: Of the line.
        commit: What was measured: a commit's id, a tag, a version.
        date: When it was made, which orders the history.
        row: Name of the row: data set, protocol, model and axes; a test's full name for pytest-benchmark.
        quantity: A score or a quantity (``latency``, ...).
        unit: As in a baseline.
        higher_is_better: Direction of the quantity.
        hardware: Fingerprint and threads; ``None`` where unknown or, for scores, of no importance.
        identity: Hash of the protocol on these data; empty where speed alone was measured.
        value: Mean score over folds and seeds, or the median over processes.
        measurements: How many cells or processes are behind it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)

    schema_version: Literal[1] = 1
    commit: Annotated[str, Field(pattern=f"^{COMMIT.pattern}$")]
    date: AwareDatetime
    row: str
    quantity: str
    unit: str
    higher_is_better: bool
    hardware: str | None
    identity: str
    value: float = Field(ge=-LARGEST, le=LARGEST)
    measurements: int = Field(ge=1)

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What entries of one timeline share."""
        return (self.row, self.quantity, self.hardware or "", self.identity)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """One quantity of one row on one machine.

    Attributes:
        entries: One per commit, oldest first.
        changes: Steps, creep and what is not resolvable yet, by place in ``entries``; a refusal with too few of them.
        pinned: Value of the baseline that was given, ``None`` without one.
    """

    entries: tuple[Entry, ...]
    changes: Changes | Refusal
    pinned: float | None = None

    @property
    def last(self) -> Entry:
        """The newest one."""
        return self.entries[-1]

    @property
    def eventful(self) -> bool:
        """Whether there is anything to say beyond "level"."""
        found = self.changes
        return isinstance(found, Changes) and bool(found.steps or found.creeps or found.unresolved is not None)


def entries_of(rows: Iterable[PinnedRow], commit: str, date: datetime) -> list[Entry]:
    """What a run measured as entries of one commit."""
    return [
        Entry(
            commit=commit, date=date, row=row.name, quantity=one.name, unit=one.unit, value=one.value,
            higher_is_better=one.higher_is_better, hardware=row.hardware, measurements=one.count,
            identity=row.identity if one.is_score else "",
        )
        for row in rows
        for one in row.numbers()
    ]  # fmt: skip


def add(folder: Path, entries: Sequence[Entry]) -> Path | None:
    """Write entries as a file of their own; ``None`` where the folder holds the same file already."""
    content = "".join(f"{entry.model_dump_json()}\n" for entry in entries).encode()
    first, mark = entries[0], hashlib.sha256(content).hexdigest()[:8]
    name = f"{first.date.strftime('%Y%m%dT%H%M%S')}-{first.commit[:12]}-{mark}{SUFFIX}"
    if (folder / name).exists():
        return None
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / name, content)
    return folder / name


def read(folder: Path) -> list[Entry]:
    """Every entry of a folder.

    Raises:
        StoreError: A file cannot be read, or a line is none of ours; each is named.
    """
    found, bad = [], []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            lines = read_text(path).removesuffix("\n").split("\n")  # a row's name may hold other breaks of lines
        except DataError as error:
            bad.append(str(error))
            continue
        for number, line in enumerate(lines, start=1):
            try:
                found.append(Entry.model_validate_json(line))
            except ValidationError as error:
                first = error.errors(include_input=False, include_url=False)[0]
                where = ".".join(map(str, first["loc"]))
                bad.append(f"{path}, line {number}: {f'{where}: ' if where else ''}{first['msg']}")
    if bad:
        more = [f"... and {len(bad) - 8} more"] if len(bad) > 8 else []
        raise StoreError("\n  - ".join(["the history is damaged", *bad[:8], *more]) + "\nmove these files away")
    return found


def timelines(entries: Iterable[Entry], pinned: Iterable[PinnedRow] = ()) -> list[Timeline]:
    """Every quantity of every row on every machine by name; what was measured twice at a commit is averaged."""
    known = {
        (row.name, one.name, row.hardware or "", row.identity if one.is_score else ""): one.value
        for row in pinned
        for one in row.numbers()
    }
    groups: dict[tuple[str, str, str, str], list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.key, []).append(entry)
    return [_timeline(group, known.get(key)) for key, group in sorted(groups.items())]


def _timeline(entries: Sequence[Entry], pinned: float | None) -> Timeline:
    commits: dict[str, list[Entry]] = {}
    for entry in sorted(entries, key=lambda entry: entry.date):
        commits.setdefault(entry.commit, []).append(entry)
    merged = tuple(_merged(same) for same in commits.values())
    values = [entry.value for entry in merged]
    changes = detect_changes(values, exact=merged[0].quantity in EXACT)
    return Timeline(entries=merged, changes=changes, pinned=pinned)


def _merged(same: Sequence[Entry]) -> Entry:
    total = sum(entry.measurements for entry in same)
    mean = sum(entry.value * entry.measurements for entry in same) / total
    return same[0].model_copy(update={"value": mean, "measurements": total}) if len(same) > 1 else same[0]
