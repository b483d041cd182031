"""One row: which cells count, what they average to, and why others are missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bench.analysis.artifacts import Detail, Embedding
from bench.analysis.average import Average, Common, not_ranked, remarks
from bench.analysis.evidence import Pair, evidence
from bench.analysis.grouping import RowGroup, part
from bench.analysis.model import CellScore, Row
from bench.analysis.phrases import plural
from bench.analysis.predictions import Evaluated, Reader, confusion
from bench.analysis.row_metadata import command, facts, outcomes, publishable
from bench.analysis.speed import speeds
from bench.analysis.tuned import seen_folds
from bench.cell import Cell
from bench.results.records import Score
from bench.statistics.bootstrap import score_interval
from bench.statistics.draws import Evidence, Resampled
from bench.statistics.results import Interval, Refusal, mean_of_all

Draft = tuple[Row, Evidence | None]
"""A row before ranking, and what it is compared by where it may be ranked: its interval comes from the ranking."""


def finished(group: RowGroup, evaluated: Mapping[Cell, Evaluated]) -> tuple[dict[Pair, Evaluated], list[str]]:
    """The row's results by ``(fold, seed)``; of several for one pair the first in the order of cells."""
    results = [one for record in group.evaluate if (one := evaluated.get(record.cell)) is not None]
    found: dict[Pair, Evaluated] = {}
    for one in results:
        found.setdefault((one.record.cell.fold, one.record.cell.seed), one)
    more = len(results) - len(found)
    return found, [f"{plural(more, 'further result')} for the same fold and seed not averaged in"] if more else []


def choose(found: Iterable[Pair], folds: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The folds and seeds that form a full rectangle within ``folds``: most folds first, then most seeds.

    >>> choose([(1, 0), (2, 0), (1, 1)], [1, 2])
    ((1, 2), (0,))
    """
    by_seed = folds_by_seed(pair for pair in found if pair[0] in folds)
    if not by_seed:
        return (), ()
    _, first = max((len(have), -seed) for seed, have in by_seed.items())
    used = by_seed[-first]
    return tuple(sorted(used)), tuple(sorted(seed for seed, have in by_seed.items() if have >= used))


def folds_by_seed(found: Iterable[Pair]) -> dict[int, set[int]]:
    """The folds that each seed has."""
    by_seed: dict[int, set[int]] = {}
    for fold, seed in found:
        by_seed.setdefault(seed, set()).add(fold)
    return by_seed


def draft(
    group: RowGroup, results: tuple[Mapping[Pair, Evaluated], Sequence[str]], common: Common, reader: Reader
) -> Draft:
    """Average the row's cells; ``results`` are those of :func:`finished`."""
    found, notes = results
    folds, seeds = choose(found, common.folds)
    compared = evidence(found, folds, seeds, reader) if folds else Refusal(reason="")
    cells = [*(record.cell for record in group.evaluate), *(cell for cell in group.planned if cell.kind == "evaluate")]
    asked = frozenset((cell.fold, cell.seed) for cell in cells)
    average = Average(
        found=found, folds=folds, seeds=seeds, compared=compared, asked=asked, common=common, reader=reader
    )
    about, seen = facts(group), seen_folds(group)
    why = tuple(not_ranked(average, group, about, seen))
    rankable = bool(folds) and not why
    interval = None if rankable or isinstance(compared, Refusal) else score_interval(compared, reader.groups(folds))
    serious, why_not = publishable(group)
    row = Row(
        key=group.key,
        model=about,
        primary=reader.shown.of(row_value(compared, average.values)),
        interval=interval if isinstance(interval, Interval) else None,
        rank=None,
        scores=_scores([found[pair] for pair in average.used], reader.shown.name),
        cells=tuple(
            CellScore(fold=fold, seed=seed, value=one.value)
            for (fold, seed), one in sorted(found.items())
            if one.value is not None
        ),
        folds_used=folds,
        seeds_used=seeds,
        folds_done=tuple(sorted({fold for fold, _ in found})),
        folds_planned=common.planned,
        seeds_done=tuple(sorted({seed for _, seed in found})),
        seeds_planned=tuple(sorted({seed for _, seed in asked})),
        cells_done=len(found),
        cells_planned=len(asked),
        devices=tuple(sorted({one.record.cell.device for one in found.values()})),
        speeds=speeds(group),
        outcomes=outcomes(group, found),
        publishable=serious,
        not_publishable=why_not,
        not_ranked=why,
        notes=(*remarks(average, group, interval), *notes),
        command=command(group, cells),
        seen=seen,
        whole=_whole(found, common, reader),
        detail=_detail(average),
    )
    return row, None if isinstance(compared, Refusal) or not rankable else compared


def _whole(found: Mapping[Pair, Evaluated], common: Common, reader: Reader) -> float | None:
    """The score over the folds that recipes have seen too, where the board leaves them out."""
    folds, seeds = choose(found, common.whole)
    if common.folds == common.whole or folds != common.whole:
        return None
    cells = [found[fold, seed].value for seed in seeds for fold in folds]
    return row_value(evidence(found, folds, seeds, reader), cells)


def row_value(compared: Evidence | Refusal, cells: Sequence[float | None]) -> float | None:
    """Mean over seeds of what the row is compared by; without it the mean of the cells' scores."""
    if isinstance(compared, Resampled):
        return float(compared.observed.mean())
    if not isinstance(compared, Refusal):
        return float(np.asarray(compared).mean(axis=1).mean())
    return mean_of_all(cells)


def _scores(used: Sequence[Evaluated], shown: str) -> tuple[Score, ...]:
    """The other scores, each the mean over the cells where all of them have it."""
    found: dict[str, list[Score]] = {}
    for one in used:
        for score in one.scores:
            found.setdefault(score.name, []).append(score)
    means = []
    for name, scores in sorted(found.items()):
        mean = mean_of_all([score.value for score in scores]) if len(scores) == len(used) else None
        means += [scores[0].of(mean)] if name != shown else []
    return tuple(means)


def _detail(row: Average) -> Detail:
    found, used, classes = row.found, row.used, row.common.classes
    cells = [one for _, one in sorted(found.items())]
    drawn = next((one for one in cells if one.embeddings or one.reconstructions), None)
    every = [part(one.record, "embeddings") for one in cells]
    plain = Detail(
        curves=tuple(one.curve for one in cells if one.curve is not None),
        embeddings=tuple(_with_figures(shown, every) for shown in drawn.embeddings) if drawn else (),
        pretraining=tuple(one.pretraining for one in cells if one.pretraining is not None),
        reconstructions=drawn.reconstructions if drawn else (),
    )
    table = confusion(found, row.reader.folds, used, classes) if used and classes else None
    if table is None:
        return plain
    totals = table.sum(axis=1)
    recall = tuple(float(table[index, index] / total) if total else None for index, total in enumerate(totals.tolist()))
    return replace(plain, confusion=tuple(map(tuple, table.tolist())), recall=recall)


def _with_figures(shown: Embedding, every: Sequence[Mapping[str, Any]]) -> Embedding:
    """The map of one cell with the cluster figures of all."""
    figures = [figure for one in every if "purity" in (figure := one.get(shown.name or "embedding", {}))]
    return replace(
        shown,
        clusters=figures[0]["clusters"] if figures else 0,
        purity=tuple(figure["purity"] for figure in figures),
        adjusted_rand=tuple(figure["adjusted_rand"] for figure in figures),
    )
