"""Records -> board: what may be compared is put together, everything else is kept apart and said."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from bench.analysis.average import Common
from bench.analysis.evidence import check_metric, shown_score
from bench.analysis.family import Family, read_family
from bench.analysis.grouping import Identity, RowKey, SectionGroup, gather, part, titles
from bench.analysis.model import Board, Dataset, Protocol, Published, Row, Section
from bench.analysis.phrases import labelled, plural, protocol
from bench.analysis.predictions import Evaluated, Metrics, Reader
from bench.analysis.speed import environment_words, hardware, hardware_key, hardware_words
from bench.analysis.suites import Part, suite_section
from bench.analysis.tuned import told
from bench.cell import Cell, axes, registered
from bench.config.suites import Suite
from bench.metrics.specs import PRIMARY
from bench.results.predictions import Predictions
from bench.results.records import Record

_NAMED = 3
"""So many models are named in a sentence, more are counted."""

Each = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]
"""``each(function, items)`` gives what the function makes of each item, in their order."""


def build_board(  # noqa: PLR0913  one keyword per source
    records: Sequence[Record],
    *,
    metrics: Metrics,
    metric: str | None = None,
    planned: Sequence[Cell] = (),
    predictions: Predictions | None = None,
    problems: Sequence[str] = (),
    published: Sequence[Published] = (),
    suite: Suite | None = None,
    each: Each = map,
) -> Board:
    """Turn records into a board.

    The same records give the same board, whatever their order.

    Args:
        records: Of one or several runs.
        metrics: What can be computed of stored predictions (``bench.metrics.scoring.catalog``): intervals, ranks, and
            scores that a record lacks.
        metric: Sort and rank by this one instead of each data set's own, wherever it is defined.
        planned: Cells that were planned; those without a record stand as holes.
        predictions: Gives the stored arrays of a record (``bench.results.store.Store.predictions``); without it there
            are no intervals and no ranks. A record whose predictions it refuses is left out and named.
        problems: What could not be read, to be shown on the board.
        published: Results from elsewhere, shown beside the measured ones.
        suite: Says what each section is sorted by unless ``metric`` does, and gives the board one number a model.
        each: Makes the sections, which know nothing of each other: ``map``, or what does it in several processes.

    Returns:
        Sections, never averaged across.

    Raises:
        UnknownNameError: No plugin gives ``metric`` and no record holds it.
    """
    check_metric(metric, records, metrics)
    kept, doubles = _latest(records)
    groups = gather(kept, planned)
    make = _Sections(
        groups=groups,
        titles=titles([group.identity for group in groups]),
        labels={key: hardware_words(one) for key, one in {hardware_key(record): record for record in kept}.items()},
        metrics=metrics,
        metric=metric,
        predictions=predictions,
        suite=suite,
    )
    whole = list(map(make, groups) if suite else each(make, groups))
    sections, parts = [one[0] for one in whole], [one[2] for one in whole if one[2]]
    found = [*problems, *doubles, *itertools.chain.from_iterable(one[1] for one in whole)]
    measured = {registered(section.dataset.name) for section in sections}
    if suite:
        section = suite_section(suite, parts)
        sections.append(dataclasses.replace(section, rows=tuple(sorted(section.rows, key=_order))))
    return Board(
        sections=tuple(sections),
        problems=tuple(sorted(dict.fromkeys(found))),
        environments=tuple(sorted({environment_words(record) for record in kept if record.environment})),
        published=tuple(entry for entry in published if entry.dataset in measured),
        records=len(kept),
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Sections:
    """All that a section of a board is made of; ``labels`` are words for hardware, by its key."""

    groups: Sequence[SectionGroup]
    titles: Mapping[Identity, str]
    labels: Mapping[str, str]
    metrics: Metrics
    metric: str | None
    predictions: Predictions | None
    suite: Suite | None

    def __call__(self, group: SectionGroup) -> tuple[Section, Sequence[str], Part | None]:
        """One section, what could not be read of it, and what a suite takes of it."""
        member = self.suite.datasets.get(registered(group.identity.dataset)) if self.suite else None
        wanted = self.metric or (member.metric if member else None)
        shown = shown_score(group.records(), self.metrics, wanted)
        reader = Reader(self.predictions, self.metrics, shown)
        told = _relatives(group, self.groups)
        if wanted not in (None, shown.name):
            told.append(f"{wanted} is not defined for these clips; sorted by {shown.name}.")
        family = read_family(group, reader)
        section = _section(group, family, reader, self.labels, told)
        section = dataclasses.replace(
            section, dataset=dataclasses.replace(section.dataset, title=self.titles[group.identity])
        )
        return section, reader.problems, Part(section, family, reader) if self.suite else None


def _latest(records: Sequence[Record]) -> tuple[list[Record], list[str]]:
    """One record per cell, the one that started last, and a line for each cell that had more."""
    best: dict[Cell, Record] = {}
    doubled = set()
    for record in sorted(records, key=lambda record: (axes(record.cell), record.started_at, record.fingerprint)):
        if best.setdefault(record.cell, record) is not record:
            doubled.add(record.cell)
            best[record.cell] = record
    lines = [f"{cell.id}: several records of this cell; the one that started last counts" for cell in sorted(doubled)]
    return list(best.values()), lines


def _section(
    group: SectionGroup, family: Family, reader: Reader, labels: Mapping[str, str], relatives: Sequence[str]
) -> Section:
    common = family.common
    return Section(
        dataset=_dataset(group, family.evaluated, reader, common),
        protocol=_protocol(group, family.evaluated),
        primary=reader.shown,
        rows=tuple(sorted(family.rows, key=_order)),
        folds=common.planned,
        common_folds=common.folds,
        seeds=tuple(sorted({seed for row in family.rows for seed in row.seeds_planned})),
        hardware=hardware(group.rows.values(), labels),
        resolution=family.resolution,
        notes=(*_section_notes(family.rows, common, group, relatives), *family.notes),
    )


def _order(row: Row) -> tuple[bool, bool, float, RowKey]:
    value = 0.0 if row.value is None else row.value
    return (row.rank is None, row.value is None, -round(row.primary.sign * value, 12), row.key)


def _dataset(group: SectionGroup, evaluated: Mapping[Cell, Evaluated], reader: Reader, common: Common) -> Dataset:
    records = [one.record for one in evaluated.values()] or [*group.records()] or group.profiles
    block = next((found for record in records if (found := part(record, "dataset"))), {})
    clips = [len({clip for fold in common.folds if fold in reader.folds for clip in reader.folds[fold].ids.tolist()})]
    sizes = {one.record.cell.fold: part(one.record, "dataset").get("test") for one in evaluated.values()}
    if clips == [0]:
        clips = [size for fold in common.folds if isinstance(size := sizes.get(fold), int)]
    groups = reader.groups(common.folds)
    of_accuracy = reader.shown.name == PRIMARY["single_label"]
    return Dataset(
        name=group.identity.dataset,
        title=group.identity.title or group.identity.dataset,
        label_names=group.identity.labels,
        manifest_sha256=group.identity.manifest,
        test_clips=sum(clips) if clips else None,
        groups=str(block.get("groups") or ""),
        group_count=None if groups is None else len(set(groups.tolist())),
        notes=tuple(_copy_notes(records)),
        faithful=bool(block.get("faithful", True)),
        license=str(block.get("license") or ""),
        majority=_mean(evaluated.values(), "dataset", "majority_accuracy") if of_accuracy else None,
        chance=block.get("chance_accuracy") if of_accuracy else _mean(evaluated.values(), "chance", reader.shown.name),
    )


def _copy_notes(records: Iterable[Record]) -> Iterator[str]:
    """What is said of the copy; where models hear it at different rates, of whom each sentence is."""
    said = [(str(note), record.cell.model) for record in records for note in part(record, "dataset").get("notes") or ()]
    models = {model for _, model in said}
    for note in dict.fromkeys(note for note, _ in said):
        whose = dict.fromkeys(model for other, model in said if other == note)
        names = ", ".join(whose) if len(whose) <= _NAMED else plural(len(whose), "model")
        yield note if set(whose) == models else f"{note.rstrip('.')} ({names})"


def _mean(evaluated: Iterable[Evaluated], block: str, name: str) -> float | None:
    """A number that the records of one fold share, averaged over folds."""
    by_fold: dict[int, float] = {}
    for record in (one.record for one in evaluated):
        value = part(record, block).get(name)
        if isinstance(value, int | float):
            by_fold.setdefault(record.cell.fold, float(value))
    return sum(by_fold.values()) / len(by_fold) if by_fold else None


def _protocol(group: SectionGroup, evaluated: Mapping[Cell, Evaluated]) -> Protocol:
    records = [one.record for one in evaluated.values()] or [*group.records()] or group.profiles
    blocks = [found for record in records if (found := part(record, "protocol"))]
    block = next(iter(blocks), {})
    return Protocol(
        name=group.identity.protocol,
        hash=group.identity.protocol_hash,
        words=protocol(block),
        ranked=bool(block.get("ranked", True)),
        leak=_leak(one.record for one in evaluated.values()),
    )


def _leak(records: Iterable[Record]) -> str:
    """Test clips whose group also stands in training, over all folds, or why that is unknown."""
    silent = {"unknown": "the records do not say"}
    by_fold = {record.cell.fold: part(record, "protocol").get("leak") or silent for record in records}
    if unknown := next((str(leak["unknown"]) for leak in by_fold.values() if leak.get("unknown")), ""):
        return f"Whether test clips share a group with training is unknown: {unknown}"
    clips = sum(int(leak.get("clips") or 0) for leak in by_fold.values())
    total = sum(int(leak.get("test_clips") or 0) for leak in by_fold.values())
    if not clips or not total:
        return ""
    shared = sorted({str(name) for leak in by_fold.values() for name in leak.get("groups") or ()})
    documented = all(leak.get("documented", False) for leak in by_fold.values() if leak.get("clips"))
    kind = "the official split's own, documented" if documented else "not documented"
    return f"{clips} of {plural(total, 'test clip')} share a group with training ({kind}: {', '.join(shared[:6])})"


def _relatives(group: SectionGroup, groups: Sequence[SectionGroup]) -> list[str]:
    """Why other sections of the same data set are kept apart from this one."""
    lines = []
    mine = group.identity
    for other in (item.identity for item in groups if item is not group and item.identity.dataset == mine.dataset):
        reasons = [
            word
            for word, differs in (
                ("copy of the data", mine.manifest != other.manifest or mine.title != other.title),
                ("label set", mine.labels != other.labels),
                ("protocol", mine.protocol != other.protocol),
            )
            if differs
        ] or ["meaning of the protocol (hash)"]
        lines.append(
            f"Kept apart from {other.title or other.dataset}, {other.protocol}: other {' and '.join(reasons)}."
        )
    return lines


def _section_notes(rows: Sequence[Row], common: Common, group: SectionGroup, relatives: Sequence[str]) -> Iterable[str]:
    yield from relatives
    if common.whole != common.planned:
        yield f"No row has all folds; averages cover {labelled('fold', common.whole)}, which every row has."
    seen = [(row.key.model, row.seen) for row in rows if row.value is not None]
    if note := told(seen, common.whole, common.folds, clean=common.clean):
        yield note
    holes = [row for row in rows if row.value is not None and row.folds_used != common.folds]
    if holes:
        yield f"{plural(len(holes), 'row')} with missing folds: shown over the folds done, not ranked."
    versions = sorted({environment_words(record) for record in group.records() if record.status == "ok"})
    if len(versions) > 1:
        yield f"Results come from {len(versions)} environments: {' | '.join(versions)}."
