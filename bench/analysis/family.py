"""The rows of a section that are ranked against each other, and what their clips and seeds say of each pair."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.analysis.average import Common, Pairs
from bench.analysis.grouping import RowKey, SectionGroup, part
from bench.analysis.model import Rank, RankedPair, Resolution, Row
from bench.analysis.predictions import Evaluated, Groups, Reader
from bench.analysis.rows import Draft, draft, finished, folds_by_seed
from bench.analysis.tuned import unseen
from bench.cell import Cell
from bench.results.records import Score
from bench.statistics.bootstrap import score_interval
from bench.statistics.draws import Evidence
from bench.statistics.ranking import Ranking, ranking
from bench.statistics.results import Refusal

ALPHA = 0.05
"""Adjusted p value below which two rows differ significantly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A section read and ranked: what a board, a comparison and a claim say of a pair comes from here.

    Attributes:
        evaluated: Every result of the section.
        found: Those of each row, by fold and seed.
        common: What all rows share.
        rows: With their ranks, in the order of their keys.
        places: Of the ranked rows: their number from 0, best first.
        resolution: What the section can tell apart.
        notes: What holds for all ranks.
    """

    evaluated: Mapping[Cell, Evaluated]
    found: Mapping[RowKey, Pairs]
    common: Common
    rows: tuple[Row, ...]
    places: Mapping[RowKey, int]
    resolution: Resolution
    notes: tuple[str, ...]

    def p_adjusted(self, a: RowKey, b: RowKey) -> float | None:
        """The p value of a pair of ranked rows among all such pairs; ``None`` where one of the two is not ranked."""
        places = tuple(sorted(self.places[key] for key in (a, b) if key in self.places))
        pairs = {(pair.better, pair.worse): pair.p_adjusted for pair in self.resolution.pairs}
        return pairs.get(places) if len(places) == 2 else None


def read_family(group: SectionGroup, reader: Reader) -> Family:
    """Read all results of a section and rank the rows that may be ranked."""
    evaluated = reader.read(group.records())
    found = {key: finished(row, evaluated) for key, row in group.rows.items()}
    cells = [record.cell for record in group.records()]
    cells += [cell for row in group.rows.values() for cell in row.planned if cell.kind == "evaluate"]
    folds = tuple(sorted({cell.fold for cell in cells}))
    whole = _common_folds(folds, [pairs for pairs, _ in found.values()])
    clean = unseen(group.rows.values(), whole)
    common = Common(
        folds=clean or whole,
        clean=bool(clean),
        whole=whole,
        planned=folds,
        protocol_ranked=all(part(one.record, "protocol").get("ranked", True) for one in evaluated.values()),
        classes=len(group.identity.labels),
    )
    drafts = [draft(row, found[key], common, reader) for key, row in sorted(group.rows.items())]
    rows, places, made, notes = ranked_rows(drafts, reader.groups(common.folds), reader.shown)
    return Family(
        evaluated=evaluated,
        found={key: pairs for key, (pairs, _) in found.items()},
        common=common,
        rows=rows,
        places=places,
        resolution=made,
        notes=notes,
    )


def ranked_rows(
    drafts: Sequence[Draft], groups: Groups, shown: Score
) -> tuple[tuple[Row, ...], dict[RowKey, int], Resolution, tuple[str, ...]]:
    """The rows with their ranks and intervals; and of a :class:`Family` the places, the resolution and the notes."""
    ranked, notes = _ranked(drafts)
    scores = {f"{index:06d}": seen for index, (_, seen) in enumerate(ranked)}
    made = ranking(scores, groups, higher_is_better=shown.higher_is_better) if scores else _nothing(drafts)
    places: dict[RowKey, int] = {}
    if isinstance(made, Ranking):
        places = {ranked[int(model.name)][0].key: place for place, model in enumerate(made.models)}
    reason = made.reason if isinstance(made, Refusal) else "its cells are not publishable"
    rows = tuple(
        _placed(one[0], made, places[one[0].key])
        if isinstance(made, Ranking) and one[0].key in places
        else _unranked(one, groups, reason)
        for one in drafts
    )
    return rows, places, _resolution(made), tuple(notes)


def _common_folds(planned: Sequence[int], found: Iterable[Pairs]) -> tuple[int, ...]:
    """All folds if one row has them all with one seed; else those that every row with a result has."""
    rows = [max(by_seed.values(), key=len) for pairs in found if (by_seed := folds_by_seed(pairs))]
    if not rows or any(have >= set(planned) for have in rows):
        return tuple(planned)
    shared = set.intersection(*rows)
    return tuple(sorted(shared)) if shared else tuple(planned)


def _ranked(drafts: Sequence[Draft]) -> tuple[list[tuple[Row, Evidence]], list[str]]:
    """What may be ranked; unpublishable rows only where no row is publishable."""
    able = [(row, seen) for row, seen in drafts if seen is not None]
    serious = [(row, seen) for row, seen in able if row.publishable]
    if serious or not able:
        return serious, []
    why = sorted({reason for row, _ in able for reason in row.not_publishable})
    return able, [f"No row is publishable ({'; '.join(why)}); ranks hold among these rows only."]


def _nothing(drafts: Sequence[Draft]) -> Refusal:
    """Why no row is ranked, where that is the same for all."""
    told = [set(row.not_ranked) for row, _ in drafts if row.value is not None]
    shared = sorted(set.intersection(*told)) if told else []
    return Refusal(reason="; ".join(["no row can be ranked", *shared]))


def _resolution(made: Ranking | Refusal) -> Resolution:
    if isinstance(made, Refusal):
        return Resolution(low=None, high=None, clips=0, reason=made.reason)
    ends, models = made.resolution, len(made.models)
    pairs = tuple(
        RankedPair(
            better=i,
            worse=j,
            difference=float(made.differences[i, j]),
            low=_known(made.intervals[i, j, 0]),
            high=_known(made.intervals[i, j, 1]),
            p_value=float(made.unadjusted[i, j]),
            p_adjusted=float(made.p_values[i, j]),
            resolution=_known(made.resolutions[i, j]) or None,
        )
        for i in range(models)
        for j in range(i + 1, models)
    )
    if isinstance(ends, Refusal):
        return Resolution(low=None, high=None, clips=made.clips, reason=ends.reason, pairs=pairs)
    return Resolution(low=ends[0], high=ends[1], clips=made.clips, reason="", pairs=pairs)


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _placed(row: Row, made: Ranking, place: int) -> Row:
    model = made.models[place]
    rank = Rank(best=model.rank_low, worst=model.rank_high, tie=model.letters)
    return dataclasses.replace(row, rank=rank, interval=model.interval)


def _unranked(one: Draft, groups: Groups, reason: str) -> Row:
    """The row of a draft that could have been ranked but is not, for that reason or for want of an interval."""
    row, seen = one
    if seen is None:
        return row
    made = score_interval(seen, groups)
    if isinstance(made, Refusal):
        notes = (*row.notes, f"no interval: {made.reason}")
        return dataclasses.replace(row, not_ranked=(*row.not_ranked, made.reason), notes=notes)
    return dataclasses.replace(row, not_ranked=(*row.not_ranked, reason), interval=made)
