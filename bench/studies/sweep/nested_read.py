"""What a nested choice is worth: against the recipe as it is, and against the best setting picked on the test folds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.analysis.evidence import Pair, evidence, shown_score
from bench.analysis.grouping import part
from bench.analysis.predictions import Evaluated, Metrics, Reader
from bench.analysis.rows import choose, row_value
from bench.cell import Cell
from bench.planning.plan import PlannedCell
from bench.results.predictions import Arrays
from bench.results.records import Record
from bench.results.store import Store
from bench.statistics.bootstrap import score_interval
from bench.statistics.draws import Evidence
from bench.statistics.paired import paired_cluster_bootstrap
from bench.statistics.results import Refusal

Found = Mapping[Pair, Evaluated]
Scope = tuple[Sequence[int], Sequence[int], Reader]
"""Folds and seeds of the chosen cells, and what reads them."""
Scored = tuple[float | None, Evidence | Refusal]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What all choices are read from: the swept settings, the stores of the chosen cells and of the search, metrics."""

    keys: Sequence[str]
    stores: tuple[Store, Store]
    metrics: Metrics

    def predictions(self, record: Record) -> Arrays:
        """The arrays of a record of either store."""
        return self.stores[not self.stores[0].path(record.cell).is_file()].predictions(record)


def read_choice(
    final: Mapping[Cell, Record],
    outer: Mapping[tuple[str, ...], Sequence[PlannedCell]],
    plain: Sequence[PlannedCell],
    scores: Mapping[int, Mapping[tuple[str, ...], float] | None],
    source: Source,
) -> dict[str, Any]:
    """What one model's choices are and what they cost, as JSON values.

    Args:
        final: Its chosen cells with their records.
        outer: Its cells by point, under the data set's own protocol.
        plain: Its cells of the recipe as it is.
        scores: By test fold, the score of each point inside the training folds, best first; ``None`` = no choice.
        source: Where records and predictions are.
    """
    tried = [source.stores[1].read(one.cell) for cells in (*outer.values(), plain) for one in cells]
    records = [*final.values(), *(record for record in tried if record is not None)]
    reader = Reader(source.predictions, source.metrics, shown_score(records, source.metrics))
    evaluated = reader.read(records)
    found = _pairs(final, evaluated)
    folds, seeds = choose(found, sorted({fold for fold, _ in found}))
    scope = (folds, seeds, reader)
    points = {point: _scored(_pairs([one.cell for one in cells], evaluated), scope) for point, cells in outer.items()}
    whole = {point: reader.shown.sign * round(one[0], 12) for point, one in points.items() if one[0] is not None}
    best = max(whole, key=lambda point: whole[point], default=None)
    nested = _scored(found, scope)
    interval = nested[1] if isinstance(nested[1], Refusal) else score_interval(nested[1], reader.groups(folds))
    first = next(iter(final.values()))
    return {
        "model": first.cell.model,
        "dataset": first.cell.dataset,
        "title": str(part(first, "dataset").get("title") or first.cell.dataset),
        "metric": reader.shown.name,
        "unit": reader.shown.unit,
        "higher_is_better": reader.shown.higher_is_better,
        "settings": len([point for point, cells in outer.items() if cells]),
        "folds": list(folds),
        "seeds": list(seeds),
        "choices": {str(fold): _choice(one, source.keys) for fold, one in sorted(scores.items())},
        "score": nested[0],
        "interval": None if isinstance(interval, Refusal) else [interval.low, interval.high],
        "default": _against(nested, _scored(_pairs([one.cell for one in plain], evaluated), scope), scope),
        "hindsight": None
        if best is None
        else {"texts": dict(zip(source.keys, best, strict=True)), **_against(nested, points[best], scope)},
    }


def _pairs(cells: Iterable[Cell], evaluated: Mapping[Cell, Evaluated]) -> Found:
    return {(cell.fold, cell.seed): evaluated[cell] for cell in cells if cell in evaluated}


def _scored(found: Found, scope: Scope) -> Scored:
    """The score over all folds and seeds and what it is compared by; unknown where one is missing."""
    folds, seeds, reader = scope
    pairs = [(fold, seed) for seed in seeds for fold in folds]
    if not pairs or any(pair not in found for pair in pairs):
        return None, Refusal(reason="a fold or seed has no result")
    compared = evidence(found, folds, seeds, reader)
    return row_value(compared, [found[pair].value for pair in pairs]), compared


def _choice(scores: Mapping[tuple[str, ...], float] | None, keys: Sequence[str]) -> dict[str, Any] | None:
    """The setting of one test fold and how the others did; ``None`` where there was nothing to choose."""
    if not scores:
        return None
    tried = [{"texts": dict(zip(keys, point, strict=True)), "score": score} for point, score in scores.items()]
    return {"texts": tried[0]["texts"], "tried": tried}


def _against(nested: Scored, other: Scored, scope: Scope) -> dict[str, Any]:
    """The nested score minus another one on the same clips, with its interval or the reason why there is none."""
    folds, _, reader = scope
    one = next((scored[1] for scored in (nested, other) if isinstance(scored[1], Refusal)), None)
    compared = one or paired_cluster_bootstrap(nested[1], other[1], reader.groups(folds))  # type: ignore[arg-type]
    if isinstance(compared, Refusal):
        same = nested[0] is not None and nested[0] == other[0]
        return {"score": other[0], "difference": 0.0 if same else None, "interval": None, "reason": compared.reason}
    ends = [compared.interval.low, compared.interval.high]
    return {
        "score": other[0], "difference": compared.difference, "interval": ends, "p_value": compared.p_value,
        "reason": "",
    }  # fmt: skip
