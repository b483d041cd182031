"""The sections of a suite -> one more, whose score is the aggregate of those that have a result on each data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

from bench.analysis.artifacts import Detail
from bench.analysis.evidence import evidence
from bench.analysis.family import Family, ranked_rows
from bench.analysis.grouping import RowKey
from bench.analysis.model import SUITE, Dataset, Protocol, Row, Section
from bench.analysis.phrases import labelled
from bench.analysis.predictions import Reader
from bench.analysis.rows import Draft
from bench.cell import registered
from bench.config.suites import Member, Suite
from bench.results.records import Score
from bench.statistics.aggregate import aggregate
from bench.statistics.bootstrap import score_interval
from bench.statistics.draws import Evidence, Resampled
from bench.statistics.results import Refusal

_FIXED = ("model", "mode", "weights")
_OTHERS = tuple(axis.name for axis in fields(RowKey) if axis.name not in _FIXED)
_NAMES = {"rank": "mean rank", "borda": "models beaten"}
WORDS = {
    "mean": "weighted mean of the scores",
    "rank": "weighted mean of the places among the models with an aggregate, seed by seed",
    "borda": "weighted mean of how many models with an aggregate are beaten (a tie counts half), seed by seed",
}


@dataclass(frozen=True, slots=True)
class Part:
    """A section with what it was made of."""

    section: Section
    family: Family
    reader: Reader

    def evidence(self, row: Row) -> Evidence | Refusal:
        """What a row is compared by, or why it has no part in an aggregate."""
        if row.value is None:
            told = next(((one.status, one.message) for one in row.outcomes if one.kind == "evaluate"), ("no score", ""))
            return Refusal(reason=": ".join(filter(None, told)).replace("_", " "))
        if missing := sorted({*self.section.common_folds} - {*row.folds_used}):
            return Refusal(reason=f"no result on {labelled('fold', missing)}")
        return evidence(self.family.found[row.key], row.folds_used, row.seeds_used, self.reader)


def suite_section(suite: Suite, parts: Sequence[Part]) -> Section:
    """The section of a suite. Rows that a data set does not rank count only where no model is ranked on all of them."""
    homes = {name: _home(name, member, parts) for name, member in suite.datasets.items()}
    found = {name: part for name, part in homes.items() if isinstance(part, Part)}
    primary, why = _primary(suite, found)
    rows, seen = [], {}
    for own in _entrants(found):
        told = {name: _seen(home, own.get(name)) for name, home in homes.items()}
        lacks = [f"no aggregate: {name}: {one.reason}" for name, one in told.items() if isinstance(one, Refusal)]
        rows.append(_row(own, found, primary, (*why, *lacks)))
        if not rows[-1].notes:
            seen[rows[-1].key] = [one for one in told.values() if not isinstance(one, Refusal)]
    ranked = {row.key for row in rows if row.key in seen and not row.not_ranked}
    known = _aggregated(suite, found, {key: one for key, one in seen.items() if key in (ranked or seen)})
    drafts = [_draft(row, known.get(row.key), ranked=row.key in ranked) for row in rows]
    shown, _, resolution, notes = ranked_rows(drafts, None, primary)
    return Section(
        dataset=Dataset(name=f"{SUITE}:{suite.name}", title=suite.title or suite.name),
        protocol=_protocol(suite, homes),
        primary=primary,
        rows=shown,
        folds=(),
        common_folds=(),
        seeds=tuple(sorted({seed for row in shown for seed in row.seeds_used})),
        hardware=(),
        resolution=resolution,
        notes=(
            "A model without a result, or a rank where others have one, on every data set has no aggregate.",
            *notes,
        ),
    )


def _home(name: str, member: Member, parts: Sequence[Part]) -> Part | str:
    """The section of a data set, or why there is none that counts."""
    same = [part for part in parts if registered(part.section.dataset.name) == name]
    asked = member.protocol
    same = [part for part in same if asked in (None, part.section.protocol.name.partition("@")[0])]
    if len(same) == 1:
        return same[0]
    return f"{len(same)} tables of it, none of which is meant" if same else f"not run{f' by {asked}' if asked else ''}"


def _protocol(suite: Suite, homes: Mapping[str, Part | str]) -> Protocol:
    told = []
    for name, member in suite.datasets.items():
        home, weight = homes[name], f"weight {member.weight:g}"
        own = (home,) if isinstance(home, str) else (home.section.protocol.name, home.section.primary.name)
        told.append(f"{name} ({', '.join((*own, weight))})")
    words = f"{WORDS[suite.aggregate]} on {', '.join(told)}"
    return Protocol(name=SUITE, hash="", words=words, ranked=True, leak="")


def _primary(suite: Suite, found: Mapping[str, Part]) -> tuple[Score, tuple[str, ...]]:
    """What the aggregate is, without a value, and why it cannot be made."""
    if suite.aggregate != "mean":
        better = suite.aggregate == "borda"
        return Score(name=_NAMES[suite.aggregate], value=None, unit="", higher_is_better=better), ()
    shown = [part.section.primary for part in found.values()] or [Score(name="score", value=None)]
    same = len({(one.unit, one.higher_is_better) for one in shown}) == 1
    name = shown[0].name if len({one.name for one in shown}) == 1 else "score"
    why = () if same else ("a mean takes scores of one unit and direction; aggregate = 'rank' or 'borda' takes any",)
    return replace(shown[0], name=f"mean {name}"), why


def _entrants(found: Mapping[str, Part]) -> list[dict[str, Row]]:
    """The rows of each model by data set; axes in which rows of one model differ somewhere keep them apart."""
    sections = [part.section for part in found.values()]
    varying = [axis for axis in _OTHERS if any(_differ(section, axis) for section in sections)]
    rows: dict[tuple[str, ...], dict[str, Row]] = {}
    for name, part in found.items():
        for row in part.section.rows:
            rows.setdefault(_axes(row.key, (*_FIXED, *varying)), {})[name] = row
    return [own for _, own in sorted(rows.items())]


def _differ(section: Section, axis: str) -> bool:
    values = {(_axes(row.key, _FIXED), getattr(row.key, axis)) for row in section.rows}
    return len(values) > len({_axes(row.key, _FIXED) for row in section.rows})


def _axes(key: RowKey, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(str(getattr(key, name)) for name in names)


def _seen(home: Part | str, row: Row | None) -> Evidence | Refusal:
    if isinstance(home, str):
        return Refusal(reason=home)
    return Refusal(reason="no result") if row is None else home.evidence(row)


def _row(own: Mapping[str, Row], found: Mapping[str, Part], primary: Score, notes: tuple[str, ...]) -> Row:
    """The row of a model without its aggregate, what its data sets say of it, and why there can be none."""
    rows = list(own.values())
    scores = [replace(row.primary, name=f"{name} {found[name].section.primary.name}") for name, row in own.items()]
    return replace(
        rows[0],
        primary=primary, interval=None, rank=None, scores=tuple(scores), cells=(), folds_used=(), folds_done=(),
        folds_planned=(), seeds_used=tuple(sorted(set.intersection(*({*row.seeds_used} for row in rows)))),
        cells_done=sum(row.cells_done for row in rows), cells_planned=sum(row.cells_planned for row in rows),
        speeds=(), outcomes=(), publishable=all(row.publishable for row in rows),
        not_publishable=tuple(dict.fromkeys(why for row in rows for why in row.not_publishable)),
        not_ranked=tuple(f"{name}: {row.not_ranked[0]}" for name, row in own.items() if row.not_ranked),
        notes=notes, command="", seen=(), whole=None, detail=Detail(),
    )  # fmt: skip


def _aggregated(
    suite: Suite, found: Mapping[str, Part], seen: Mapping[RowKey, Sequence[Evidence]]
) -> dict[RowKey, Resampled | Refusal]:
    if not seen:
        return {}
    groups = [part.reader.groups(part.section.common_folds) for part in found.values()]
    weights = [member.weight for member in suite.datasets.values()]
    signs = [part.section.primary.sign for part in found.values()]
    made = aggregate(list(zip(*seen.values(), strict=True)), groups, weights, suite.aggregate, signs)
    return {key: made if isinstance(made, Refusal) else made[place] for place, key in enumerate(seen)}


def _draft(row: Row, known: Resampled | Refusal | None, *, ranked: bool) -> Draft:
    """With its aggregate; one that is not to be ranked has its interval now."""
    if not isinstance(known, Resampled):
        why = () if known is None else (f"no aggregate: {known.reason}",)
        return replace(row, notes=(*row.notes, *why)), None
    row = replace(row, primary=row.primary.of(float(known.observed.mean())))
    if ranked:
        return row, known
    interval = score_interval(known, None)
    return replace(row, interval=None if isinstance(interval, Refusal) else interval), None
