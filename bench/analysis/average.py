"""What of a row is averaged, why it has no rank, and what must be said of its numbers."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.analysis.evidence import Pair, lacks_class
from bench.analysis.grouping import RowGroup, part
from bench.analysis.phrases import labelled
from bench.analysis.predictions import Evaluated, Reader
from bench.analysis.row_metadata import ModelFacts, control, typed
from bench.analysis.tuned import contaminated
from bench.config.recipes import BUILTIN
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Average:
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
        """All folds of each seed."""
        return [(fold, seed) for seed in self.seeds for fold in self.folds]

    @property
    def values(self) -> list[float | None]:
        """Their scores."""
        return [self.found[pair].value for pair in self.used]


def remarks(row: Average, group: RowGroup, interval: Interval | Refusal | None) -> Iterable[str]:
    """All that is said under the row; ``interval`` is that of its score, or why there is none."""
    yield from _notes(row)
    yield from _seed_notes(row)
    yield from _recipe_notes(group)
    yield from contaminated(group)
    yield from _pooled_notes(row)
    refusal = next((one for one in (row.compared, interval) if isinstance(one, Refusal)), None)
    if refusal and refusal.reason:
        yield f"no interval: {refusal.reason}"


def unfit(about: ModelFacts, seen: tuple[int, ...] | None, common: Common, folds: Sequence[int]) -> tuple[str, ...]:
    """Why a score on ``folds`` is not what the model is worth: it has no rank, and nothing calls it better or worse."""
    reasons = {
        "the protocol is not ranked": not common.protocol_ranked,
        "a clip's score depends on its batch mates (not inductive)": about.inductive is False,
        f"its recipe saw {labelled('fold', folds)} too": common.clean and {*(seen or ())} & {*folds},
    }
    return tuple(reason for reason, holds in reasons.items() if holds)


def not_ranked(row: Average, group: RowGroup, about: ModelFacts, seen: tuple[int, ...] | None) -> Iterable[str]:
    """Why the row has no rank; ``about`` and ``seen`` are its model and the folds that its recipe saw."""
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


def _notes(row: Average) -> Iterable[str]:
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


def _seed_notes(row: Average) -> Iterable[str]:
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


def _pooled_notes(row: Average) -> Iterable[str]:
    """The mean over folds beside a score that is pooled over them."""
    labels = (row.reader.folds[fold].labels for fold in row.folds)
    if isinstance(row.compared, Resampled) and lacks_class([*labels]):
        mean = mean_of_all(row.values)
        said = "not every fold has a score alone" if mean is None else f"the mean over folds is {mean:.4f}"
        yield f"pooled over folds, one of which lacks a class; {said}"
