"""Records -> board: what may be compared is put together, everything else is kept apart and said."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from bench.analysis.evidence import Pair, check_metric, shown_score
from bench.analysis.grouping import RowKey, SectionGroup, gather, part, titles
from bench.analysis.model import Board, Dataset, Protocol, Published, Rank, Resolution, Row, Section
from bench.analysis.phrases import labelled, plural, protocol
from bench.analysis.predictions import Evaluated, Groups, Metrics, Reader
from bench.analysis.rows import Common, Draft, draft, finished, folds_by_seed
from bench.analysis.speed import environment_words, hardware, hardware_key, hardware_words
from bench.analysis.tuned import told, unseen
from bench.cell import Cell, registered
from bench.metrics.specs import PRIMARY
from bench.results.predictions import Predictions
from bench.results.records import Record
from bench.statistics.bootstrap import score_interval
from bench.statistics.ranking import RankedModel, ranking
from bench.statistics.results import Refusal


def build_board(  # noqa: PLR0913  one keyword per source
    records: Sequence[Record],
    *,
    metrics: Metrics,
    metric: str | None = None,
    planned: Sequence[Cell] = (),
    predictions: Predictions | None = None,
    problems: Sequence[str] = (),
    published: Sequence[Published] = (),
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

    Returns:
        Sections, never averaged across.

    Raises:
        UnknownNameError: No plugin gives ``metric`` and no record holds it.
    """
    check_metric(metric, records, metrics)
    kept, doubles = _latest(records)
    groups = gather(kept, planned)
    names = titles([group.identity for group in groups])
    labels = {hardware_key(record): hardware_words(record) for record in kept}
    found = list(problems) + doubles
    sections = []
    for group in groups:
        shown = shown_score(group.records(), metrics, metric)
        reader = Reader(predictions, metrics, shown)
        told = _relatives(group, groups)
        if metric not in (None, shown.name):
            told.append(f"{metric} is not defined for these clips; sorted by {shown.name}.")
        section = _section(group, reader, labels, told)
        dataset = dataclasses.replace(section.dataset, title=names[group.identity])
        sections.append(dataclasses.replace(section, dataset=dataset))
        found += reader.problems
    measured = {registered(section.dataset.name) for section in sections}
    return Board(
        sections=tuple(sections),
        problems=tuple(sorted(dict.fromkeys(found))),
        environments=tuple(sorted({environment_words(record) for record in kept if record.environment})),
        published=tuple(entry for entry in published if entry.dataset in measured),
        records=len(kept),
    )


def _latest(records: Sequence[Record]) -> tuple[list[Record], list[str]]:
    """One record per cell, the one that started last, and a line for each cell that had more."""
    best: dict[Cell, Record] = {}
    doubled = set()
    for record in sorted(records, key=lambda record: (record.cell, record.started_at, record.fingerprint)):
        if record.cell in best:
            doubled.add(record.cell)
        best[record.cell] = record
    lines = [f"{cell.id}: several records of this cell; the one that started last counts" for cell in sorted(doubled)]
    return list(best.values()), lines


def _section(group: SectionGroup, reader: Reader, labels: Mapping[str, str], relatives: Sequence[str]) -> Section:
    evaluated = reader.read(group.records())
    found = {key: finished(row, evaluated) for key, row in group.rows.items()}
    cells = [record.cell for record in group.records()]
    cells += [cell for row in group.rows.values() for cell in row.planned if cell.kind == "evaluate"]
    folds = tuple(sorted({cell.fold for cell in cells}))
    whole = _common_folds(folds, [pairs for pairs, _ in found.values()])
    common = Common(
        folds=unseen(group.rows.values(), whole),
        whole=whole,
        planned=folds,
        protocol_ranked=all(part(one.record, "protocol").get("ranked", True) for one in evaluated.values()),
        classes=len(group.identity.labels),
    )
    drafts = [draft(row, found[key], common, reader) for key, row in sorted(group.rows.items())]
    rows, resolution, provisional = _rank(drafts, reader, common)
    return Section(
        dataset=_dataset(group, evaluated, reader, common),
        protocol=_protocol(group, evaluated),
        primary=reader.shown,
        rows=tuple(sorted(rows, key=_order)),
        folds=folds,
        common_folds=common.folds,
        seeds=tuple(sorted({cell.seed for cell in cells})),
        hardware=hardware(group.rows.values(), labels),
        resolution=resolution,
        notes=(*_section_notes(rows, common, group, relatives), *provisional),
    )


def _order(row: Row) -> tuple[bool, bool, float, RowKey]:
    value = 0.0 if row.value is None else row.value
    return (row.rank is None, row.value is None, -round(row.primary.sign * value, 12), row.key)


def _common_folds(planned: Sequence[int], found: Iterable[Mapping[Pair, Evaluated]]) -> tuple[int, ...]:
    """All folds if one row has them all with one seed; else those that every row with a result has."""
    rows = [max(by_seed.values(), key=len) for pairs in found if (by_seed := folds_by_seed(pairs))]
    if not rows or any(have >= set(planned) for have in rows):
        return tuple(planned)
    shared = set.intersection(*rows)
    return tuple(sorted(shared)) if shared else tuple(planned)


def _rank(drafts: Sequence[Draft], reader: Reader, common: Common) -> tuple[list[Row], Resolution, list[str]]:
    """Rank what may be ranked; unpublishable rows only where no row is publishable."""
    able = [(row, seen) for row, seen in drafts if seen is not None]
    serious = [(row, seen) for row, seen in able if row.publishable]
    ranked = serious or able
    notes = []
    if able and not serious:
        why = sorted({reason for row, _ in able for reason in row.not_publishable})
        notes.append(f"No row is publishable ({'; '.join(why)}); ranks hold among these rows only.")
    groups = reader.groups(common.folds)
    scores = {str(index): seen for index, (_, seen) in enumerate(ranked)}
    outcome = ranking(scores, groups, higher_is_better=reader.shown.higher_is_better) if scores else None
    if outcome is None or isinstance(outcome, Refusal):
        reason = outcome.reason if outcome else "no row can be ranked"
        return [_unranked(one, groups, reason) for one in drafts], _unknown(reason), notes
    places = {ranked[int(model.name)][0].key: model for model in outcome.models}
    rows = [
        _placed(one[0], places[one[0].key])
        if one[0].key in places
        else _unranked(one, groups, "its cells are not publishable")
        for one in drafts
    ]
    known = outcome.resolution
    if isinstance(known, Refusal):
        return rows, _unknown(known.reason), notes
    return rows, Resolution(difference=known, clips=outcome.clips, reason=""), notes


def _unknown(reason: str) -> Resolution:
    return Resolution(difference=None, clips=0, reason=reason)


def _placed(row: Row, model: RankedModel) -> Row:
    rank = Rank(best=model.rank_low, worst=model.rank_high, tie=model.letters)
    return dataclasses.replace(row, rank=rank, interval=model.interval)


def _unranked(one: Draft, groups: Groups, reason: str) -> Row:
    """The row of a draft that could have been ranked but is not."""
    row, seen = one
    if seen is None:
        return row
    row = dataclasses.replace(row, not_ranked=(*row.not_ranked, reason))
    made = score_interval(seen, groups)
    if isinstance(made, Refusal):
        return dataclasses.replace(row, notes=(*row.notes, f"no interval: {made.reason}"))
    return dataclasses.replace(row, interval=made)


def _dataset(group: SectionGroup, evaluated: Mapping[Cell, Evaluated], reader: Reader, common: Common) -> Dataset:
    records = [one.record for one in evaluated.values()] or [*group.records()] or group.profiles
    block = next((found for record in records if (found := part(record, "dataset"))), {})
    clips = [len(reader.folds[fold].ids) for fold in common.folds if fold in reader.folds]
    sizes = {one.record.cell.fold: part(one.record, "dataset").get("test") for one in evaluated.values()}
    if not clips:
        clips = [size for fold in common.folds if isinstance(size := sizes.get(fold), int)]
    groups = reader.groups(common.folds)
    of_accuracy = reader.shown.name == PRIMARY["single_label"]
    notes = dict.fromkeys(str(note) for record in records for note in part(record, "dataset").get("notes") or ())
    return Dataset(
        name=group.identity.dataset,
        title=group.identity.title or group.identity.dataset,
        label_names=group.identity.labels,
        manifest_sha256=group.identity.manifest,
        test_clips=sum(clips) if clips else None,
        groups=str(block.get("groups") or ""),
        group_count=None if groups is None else len(set(groups.tolist())),
        notes=tuple(notes),
        faithful=bool(block.get("faithful", True)),
        license=str(block.get("license") or ""),
        majority=_mean(one.record for one in evaluated.values()) if of_accuracy else None,
        chance=block.get("chance_accuracy") if of_accuracy else None,
    )


def _mean(records: Iterable[Record]) -> float | None:
    """Accuracy of the majority class, averaged over folds."""
    by_fold: dict[int, float] = {}
    for record in records:
        value = part(record, "dataset").get("majority_accuracy")
        if isinstance(value, int | float):
            by_fold.setdefault(record.cell.fold, float(value))
    return sum(by_fold.values()) / len(by_fold) if by_fold else None


def _protocol(group: SectionGroup, evaluated: Mapping[Cell, Evaluated]) -> Protocol:
    records = [one.record for one in evaluated.values()] or [*group.records()] or group.profiles
    blocks = [found for record in records if (found := part(record, "protocol"))]
    block = next(iter(blocks), {})
    name = group.identity.protocol.partition("@")[0]
    return Protocol(
        name=group.identity.protocol,
        hash=group.identity.protocol_hash,
        words=protocol(name, block),
        ranked=bool(block.get("ranked", True)),
        leak=_leak(one.record for one in evaluated.values()),
    )


def _leak(records: Iterable[Record]) -> str:
    """Test clips whose group also stands in training, over all folds, or why that is unknown."""
    by_fold = {record.cell.fold: part(record, "protocol").get("leak") or {} for record in records}
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
    if note := told(seen, common.whole, common.folds):
        yield note
    holes = [row for row in rows if row.value is not None and row.folds_used != common.folds]
    if holes:
        yield f"{plural(len(holes), 'row')} with missing folds: shown over the folds done, not ranked."
    versions = sorted({environment_words(record) for record in group.records() if record.status == "ok"})
    if len(versions) > 1:
        yield f"Results come from {len(versions)} environments: {' | '.join(versions)}."
