"""One row: which cells count, what they average to, and why others are missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from bench.analysis.artifacts import Detail, Embedding
from bench.analysis.grouping import RowGroup, part
from bench.analysis.model import CellScore, Interval, ModelFacts, Row, RowKey, Summary
from bench.analysis.phrases import labelled, plural
from bench.analysis.predictions import PRIMARY, Bools, Groups, Judged, Reader, confusion, pooled
from bench.analysis.resampling import MAP, map_interval, score_resampled
from bench.analysis.row_metadata import command, facts, outcomes, publishable
from bench.analysis.speed import speeds
from bench.cell import Cell
from bench.config.recipes import BUILTIN
from bench.statistics.bootstrap import cluster_bootstrap
from bench.statistics.draws import Resampled
from bench.statistics.proportion import wilson
from bench.statistics.results import Refusal

MIN_SEEDS = 3
"""Fewer seeds than this are said beside the rank."""

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """What all rows of a section share.

    Attributes:
        folds: Folds that averages cover.
        planned: All folds of the section.
        protocol_ranked: Whether the protocol allows ranks.
        classes: Number of classes.
    """

    folds: tuple[int, ...]
    planned: tuple[int, ...]
    protocol_ranked: bool
    classes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A row before ranking.

    Attributes:
        row: The row, still without rank.
        correct: ``(seeds, clips)`` over the section's common folds, for rows that may be ranked; their interval
            comes from the ranking.
        score: In its place where the board sorts by mean average precision.
    """

    row: Row
    correct: Bools | None = None
    score: Resampled | None = None


def finished(group: RowGroup, judged: Mapping[Cell, Judged]) -> tuple[dict[Pair, Judged], list[str]]:
    """The row's results by ``(fold, seed)``; of several for one pair the first in the order of cells."""
    found: dict[Pair, Judged] = {}
    doubles = []
    for record in group.evaluate:
        one = judged.get(record.cell)
        if one is None:
            continue
        pair = (record.cell.fold, record.cell.seed)
        if pair in found:
            doubles.append(pair)
        else:
            found[pair] = one
    notes = [f"{plural(len(doubles), 'further result')} for the same fold and seed not averaged in"] if doubles else []
    return found, notes


def choose(found: Iterable[Pair], folds: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The folds and seeds that form a full rectangle within ``folds``: most folds first, then most seeds.

    >>> choose([(1, 0), (2, 0), (1, 1)], [1, 2])
    ((1, 2), (0,))
    """
    by_seed: dict[int, set[int]] = {}
    for fold, seed in found:
        if fold in folds:
            by_seed.setdefault(seed, set()).add(fold)
    if not by_seed:
        return (), ()
    _, first = max((len(have), -seed) for seed, have in by_seed.items())
    used = by_seed[-first]
    return tuple(sorted(used)), tuple(sorted(seed for seed, have in by_seed.items() if have >= used))


def draft(group: RowGroup, found: Mapping[Pair, Judged], common: Common, reader: Reader) -> Draft:
    """Average the row's cells.

    Args:
        group: Records and planned cells of the row.
        found: Its results, see :func:`finished`.
        common: What the section shares.
        reader: Holds the clips of each fold.
    """
    folds, seeds = choose(found, common.folds)
    used = [(fold, seed) for seed in seeds for fold in folds]
    correct = pooled(found, folds, seeds) if used and reader.primary == PRIMARY else None
    score = score_resampled(found, folds, seeds, reader) if used and reader.primary == MAP else None
    primary = _primary(correct, found, used)
    about = facts(group)
    not_ranked = (
        tuple(_not_ranked(about, common, [found[pair] for pair in used], (folds, reader.primary))) if used else ()
    )
    rankable = (correct is not None or isinstance(score, Resampled)) and not not_ranked
    made = "" if rankable or not used else _interval(correct, score, folds, reader)
    cells = [*(record.cell for record in group.evaluate), *(cell for cell in group.planned if cell.kind == "evaluate")]
    pairs = {(cell.fold, cell.seed) for cell in cells}
    serious, why_not = publishable(group)
    row = Row(
        key=group.key,
        model=about,
        primary=primary,
        interval=made if isinstance(made, Interval) else None,
        rank=None,
        scores=_scores(found, used, reader.primary),
        cells=tuple(
            CellScore(fold=fold, seed=seed, value=one.accuracy)
            for (fold, seed), one in sorted(found.items())
            if one.accuracy is not None
        ),
        folds_used=folds,
        seeds_used=seeds,
        folds_done=tuple(sorted({fold for fold, _ in found})),
        folds_planned=common.planned,
        seeds_done=tuple(sorted({seed for _, seed in found})),
        seeds_planned=tuple(sorted({seed for _, seed in pairs})),
        cells_done=len(found),
        cells_planned=len(pairs),
        devices=tuple(sorted({one.record.cell.device for one in found.values()})),
        speeds=speeds(group),
        outcomes=outcomes(group, found),
        publishable=serious,
        not_publishable=why_not,
        not_ranked=not_ranked,
        notes=(
            *_notes(found, folds, seeds, common),
            *_recipe_notes(group.key),
            *([f"no interval: {made}"] if isinstance(made, str) and made else ()),
        ),
        command=command(group.key, cells),
        detail=_detail(found, used, reader, common),
    )
    if not rankable:
        return Draft(row=row)
    return Draft(row=row, correct=correct, score=score if isinstance(score, Resampled) else None)


def _primary(correct: Bools | None, found: Mapping[Pair, Judged], used: Sequence[Pair]) -> float | None:
    """Mean over seeds of the pooled accuracy; without predictions the mean of the cells' scores."""
    if correct is not None:
        return float(correct.mean(axis=1).mean())
    values = [found[pair].accuracy for pair in used]
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def accuracy_interval(correct: Bools, groups: Groups) -> Interval | str:
    """The 95 % interval of one accuracy, or why there is none.

    Args:
        correct: ``(seeds, clips)``.
        groups: ``(clips,)``: then groups are drawn; ``None``: Wilson's for one seed, clips are drawn for several.
    """
    if groups is None and len(correct) == 1:
        result = wilson(float(correct.sum()), correct.shape[1])
        return Interval(low=result.low, high=result.high, method=result.method)
    drawn = cluster_bootstrap(correct, groups)
    if isinstance(drawn, Refusal):
        return drawn.reason
    return Interval(low=drawn.low, high=drawn.high, method=drawn.method)


def _interval(
    correct: Bools | None, score: Resampled | Refusal | None, folds: Sequence[int], reader: Reader
) -> Interval | str:
    if correct is not None:
        return accuracy_interval(correct, reader.groups(folds))
    if score is not None:
        return map_interval(score)
    if reader.primary != PRIMARY:
        return f"{reader.primary} is no mean over clips, and only {MAP} is resampled"
    return "no stored predictions to draw from"


def _scores(found: Mapping[Pair, Judged], used: Sequence[Pair], primary: str) -> tuple[Summary, ...]:
    values: dict[str, list[float]] = {}
    shape: dict[str, tuple[str, bool]] = {}
    for pair in used:
        for score in found[pair].record.scores:
            shape.setdefault(score.name, (score.unit, score.higher_is_better))
            values.setdefault(score.name, [])
            if score.value is not None:
                values[score.name].append(score.value)
    return tuple(
        Summary(
            name=name,
            value=sum(values[name]) / len(values[name]) if len(values[name]) == len(used) else None,
            unit=unit,
            higher_is_better=higher,
        )
        for name, (unit, higher) in sorted(shape.items())
        if name != primary
    )


def _not_ranked(
    about: ModelFacts, common: Common, used: Sequence[Judged], scope: tuple[tuple[int, ...], str]
) -> Iterable[str]:
    folds, primary = scope
    if not common.protocol_ranked:
        yield "the protocol is not ranked"
    if not about.inductive:
        yield "a clip's score depends on its batch mates (not inductive)"
    missing = sorted(set(common.folds) - set(folds))
    if missing:
        yield f"missing {labelled('fold', missing)}"
    yield from dict.fromkeys(one.note for one in used if one.note)
    if primary == MAP:
        return
    if primary != PRIMARY:
        yield f"ranks need right or wrong per clip, which {primary} has not, and only {MAP} is resampled"
    elif not any(one.note for one in used) and any(one.correct is None for one in used):
        yield "no stored predictions to compare clip by clip"


def _notes(found: Mapping[Pair, Judged], folds: Sequence[int], seeds: Sequence[int], common: Common) -> Iterable[str]:
    if folds and set(folds) != set(common.folds):
        yield f"averaged over {labelled('fold', folds)} only: do not compare with other rows"
    left_out = sorted({seed for _, seed in found} - set(seeds))
    if left_out:
        yield f"{labelled('seed', left_out)} with fewer folds left out of the average"
    if seeds and len(seeds) < MIN_SEEDS:
        yield f"few seeds ({len(seeds)} of at least {MIN_SEEDS})"


def _recipe_notes(key: RowKey) -> Iterable[str]:
    base, changed, _ = key.recipe.partition("~")
    if changed and base in BUILTIN:
        yield f"recipe {base!r} with other settings, which its records hold (the command below names the recipe only)"
    elif changed:
        yield f"recipe file {base}.toml, whose settings its records hold"


def _detail(found: Mapping[Pair, Judged], used: Sequence[Pair], reader: Reader, common: Common) -> Detail:
    cells = [one for _, one in sorted(found.items())]
    drawn = next((one for one in cells if one.extras is not None), None)
    plain = Detail(
        curves=tuple(one.curve for one in cells if one.curve is not None),
        embeddings=row_embeddings(drawn, cells),
        pretraining=tuple(one.pretraining for one in cells if one.pretraining is not None),
        reconstructions=drawn.extras.reconstructions if drawn and drawn.extras else (),
    )
    table = confusion(found, reader.folds, used, common.classes) if used and common.classes else None
    if table is None:
        return plain
    totals = table.sum(axis=1)
    recall = tuple(float(table[index, index] / total) if total else None for index, total in enumerate(totals.tolist()))
    return replace(plain, confusion=tuple(map(tuple, table.tolist())), recall=recall)


def row_embeddings(drawn: Judged | None, cells: Sequence[Judged]) -> tuple[Embedding, ...]:
    """The maps of one cell with the cluster figures of all."""
    if drawn is None or drawn.extras is None:
        return ()
    every = [part(one.record, "embeddings") for one in cells]
    found = []
    for name, points in drawn.extras.maps.items():
        figures = [figure for one in every if "purity" in (figure := one.get(name or "embedding", {}))]
        found.append(
            Embedding(
                name=name,
                fold=drawn.record.cell.fold,
                seed=drawn.record.cell.seed,
                points=points,
                targets=drawn.extras.targets,
                clusters=figures[0]["clusters"] if figures else 0,
                purity=tuple(figure["purity"] for figure in figures),
                adjusted_rand=tuple(figure["adjusted_rand"] for figure in figures),
            )
        )
    return tuple(found)
