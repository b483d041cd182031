"""One row: which cells count, what they average to, and why others are missing."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bench.analysis.artifacts import Detail, Embedding
from bench.analysis.evidence import Pair, evidence, lacks_class
from bench.analysis.grouping import RowGroup, part
from bench.analysis.model import CellScore, Row
from bench.analysis.phrases import labelled, plural
from bench.analysis.predictions import Evaluated, Reader, confusion
from bench.analysis.row_metadata import ModelFacts, command, control, facts, outcomes, publishable, typed
from bench.analysis.speed import speeds
from bench.analysis.tuned import contaminated, seen_folds
from bench.cell import Cell
from bench.config.recipes import BUILTIN
from bench.results.records import Score
from bench.statistics.bootstrap import score_interval
from bench.statistics.draws import MIN_SEEDS, Evidence, Resampled
from bench.statistics.results import Interval, Refusal, mean_of_all


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """What all rows of a section share: folds that averages cover, those with what recipes have seen, all its folds.

    ``clean``: rows whose recipe has seen none of ``folds`` are ranked, the others are not.
    """

    folds: tuple[int, ...]
    clean: bool
    whole: tuple[int, ...]
    planned: tuple[int, ...]
    protocol_ranked: bool
    classes: int


DOUBTS = {"batch_mates": "a clip's score depends on its batch mates", "predicting": "predicting changes the model"}
"""Section of a record that gives a reason where it has no answer -> what is not known then."""
Pairs = Mapping[Pair, Evaluated]
"""Results of a row by fold and seed."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Average:
    """What a row has, ``folds`` and ``seeds`` that are averaged, and what these are compared by."""

    found: Pairs
    folds: tuple[int, ...]
    seeds: tuple[int, ...]
    compared: Evidence | Refusal
    asked: frozenset[Pair]
    common: Common
    reader: Reader

    @property
    def used(self) -> list[Pair]:
        return [(fold, seed) for seed in self.seeds for fold in self.folds]

    @property
    def values(self) -> list[float | None]:
        return [self.found[pair].value for pair in self.used]


def draft(
    group: RowGroup, results: tuple[Mapping[Pair, Evaluated], Sequence[str]], common: Common, reader: Reader
) -> Draft:
    """Average the row's cells; ``results`` are those of :func:`finished`."""
    found, notes = results
    folds, seeds = choose(found, common.folds)
    compared = evidence(found, folds, seeds, reader) if folds else Refusal(reason="")
    cells = [*(record.cell for record in group.evaluate), *(cell for cell in group.planned if cell.kind == "evaluate")]
    asked = frozenset((cell.fold, cell.seed) for cell in cells)
    average = _Average(
        found=found, folds=folds, seeds=seeds, compared=compared, asked=asked, common=common, reader=reader
    )
    about, seen = facts(group), seen_folds(group)
    not_ranked = tuple(_not_ranked(average, group, about, seen))
    rankable = bool(folds) and not not_ranked
    interval = None if rankable or isinstance(compared, Refusal) else score_interval(compared, reader.groups(folds))
    refusal = next((one for one in (compared, interval) if isinstance(one, Refusal)), None)
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
        not_ranked=not_ranked,
        notes=(
            *_notes(average),
            *_seed_notes(average),
            *_recipe_notes(group),
            *contaminated(group),
            *_pooled_notes(average),
            *([f"no interval: {refusal.reason}"] if refusal and refusal.reason else ()),
            *notes,
        ),
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


def unfit(about: ModelFacts, seen: tuple[int, ...] | None, common: Common, folds: Sequence[int]) -> tuple[str, ...]:
    """Why a score on ``folds`` is not what the model is worth: it has no rank, and nothing calls it better or worse."""
    reasons = {
        "the protocol is not ranked": not common.protocol_ranked,
        "a clip's score depends on its batch mates (not inductive)": about.inductive is False,
        f"its recipe saw {labelled('fold', folds)} too": common.clean and {*(seen or ())} & {*folds},
    }
    return tuple(reason for reason, holds in reasons.items() if holds)


def _not_ranked(row: _Average, group: RowGroup, about: ModelFacts, seen: tuple[int, ...] | None) -> Iterable[str]:
    if not row.folds:
        if row.found:
            yield f"no result on {labelled('fold', row.common.folds)}"
        return
    yield from unfit(about, seen, row.common, row.common.folds)
    missing = sorted(set(row.common.folds) - set(row.folds))
    if missing:
        yield f"missing {labelled('fold', missing)}"
    notes = dict.fromkeys(note for pair in row.used if (note := row.found[pair].note))
    yield from notes
    if isinstance(row.compared, Refusal) and not notes:
        yield row.compared.reason
    if len(row.seeds) < MIN_SEEDS:
        over = "" if isinstance(row.compared, Refusal) else ", interval over clips only"
        yield f"few seeds ({len(row.seeds)} of at least {MIN_SEEDS}){over}"
    if why := control(group.key, about):
        yield why


def _notes(row: _Average) -> Iterable[str]:
    found = row.found
    if row.folds and set(row.folds) != set(row.common.folds):
        yield f"averaged over {labelled('fold', row.folds)} only: do not compare with other rows"
    left_out = sorted({seed for _, seed in found} - set(row.seeds))
    if left_out and row.folds:
        yield f"{labelled('seed', left_out)} with fewer folds left out of the average"
    for section, doubt in DOUBTS.items():
        blocks = (part(one.record, section) for one in found.values())
        for reason in sorted({str(block["reason"]) for block in blocks if block.get("reason")}):
            yield f"not known whether {doubt}: {reason}"


def _seed_notes(row: _Average) -> Iterable[str]:
    """What the scatter of the seeds leaves out, or does not show."""
    if row.folds and (lost := {seed for _, seed in row.asked} - {seed for _, seed in row.found}):
        yield f"{labelled('seed', lost)} without a result, not in the average"
    if same := sorted({name for fold in row.folds for name in _same_start(row.found, fold)}):
        yield f"seeds give the same start ({', '.join(same)})"
    first, *others = [[row.found[fold, seed].answers for fold in row.folds] for seed in row.seeds] or [[]]
    if others and None not in first and all(one == first for one in others):
        yield "its seeds give the same logits: training draws nothing, or seeds itself"


def _same_start(found: Mapping[Pair, Evaluated], fold: int) -> Iterable[str]:
    """What two seeds of a fold have in common before training: tensors of the network, the state of a generator."""
    starts = [part(one.record, "start").items() for (number, _), one in found.items() if number == fold]
    return {name for a, b in itertools.combinations(starts, 2) for name, _ in a & b}


def _recipe_notes(group: RowGroup) -> Iterable[str]:
    base, changed, _ = group.key.recipe.partition("~")
    if changed and base in BUILTIN:
        told = "and the command below names" if typed(group) else "(the command below names the recipe only)"
        yield f"recipe {base!r} with other settings, which its records hold {told}"
    elif changed:
        yield f"recipe file {base}.toml, whose settings its records hold"


def _pooled_notes(row: _Average) -> Iterable[str]:
    """The mean over folds beside a score that is pooled over them."""
    labels = (row.reader.folds[fold].labels for fold in row.folds)
    if isinstance(row.compared, Resampled) and lacks_class([*labels]):
        mean = mean_of_all(row.values)
        said = "not every fold has a score alone" if mean is None else f"the mean over folds is {mean:.4f}"
        yield f"pooled over folds, one of which lacks a class; {said}"


def _detail(row: _Average) -> Detail:
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
