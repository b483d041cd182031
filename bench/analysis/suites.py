"""The sections of a suite -> one aggregate a model, for those that have a result on each of its data sets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from bench.analysis.evidence import evidence
from bench.analysis.family import Family
from bench.analysis.grouping import RowKey
from bench.analysis.model import Rank, Row, Section
from bench.analysis.phrases import labelled
from bench.analysis.predictions import Reader
from bench.analysis.suite_model import SuiteColumn, SuiteRow, SuiteTable
from bench.cell import registered
from bench.config.suites import Member, Suite
from bench.results.records import Score
from bench.statistics.aggregate import aggregate, combined
from bench.statistics.draws import Draws, Evidence, draw_scores
from bench.statistics.results import Refusal

DRAWS = 4000
"""Of groups, within each data set."""
_FIXED = ("model", "mode", "weights")
_OTHERS = tuple(axis.name for axis in fields(RowKey) if axis.name not in _FIXED)


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


@dataclass(frozen=True, slots=True)
class _Entrant:
    """A model on the data sets of a suite: its rows, what they are compared by, and why some are no part of it."""

    key: RowKey
    rows: Mapping[str, Row]
    seen: Mapping[str, Evidence]
    lacks: tuple[str, ...]

    @property
    def unranked(self) -> Iterator[str]:
        """Data sets on which it is not ranked, with the first reason."""
        return (f"{name}: not ranked: {row.not_ranked[0]}" for name, row in self.rows.items() if row.not_ranked)


def suite_table(suite: Suite, parts: Sequence[Part]) -> SuiteTable:
    """The table of a suite. Rows that no data set ranks are aggregated only where there is no model that all rank."""
    homes = {name: _home(name, member, parts) for name, member in suite.datasets.items()}
    found = {name: part for name, part in homes.items() if isinstance(part, Part)}
    varying = tuple(axis for axis in _OTHERS if any(_differ(part.section, axis) for part in found.values()))
    entrants = _entrants(homes, varying)
    primary, why = _primary(suite, found)
    whole = [one for one in entrants if not one.lacks] if primary else []
    ranked = [one for one in whole if not any(one.unranked)]
    rows, note = _aggregated(suite, ranked or whole, found, primary) if whole and primary else ([], why)
    kept = {row.key for row in rows}
    for one in entrants:
        if one.key not in kept:
            reasons = one.lacks or tuple(one.unranked)
            rows.append(SuiteRow(key=one.key, scores=_scores(one, suite), reasons=reasons or (note,)))
    return SuiteTable(
        name=suite.name,
        title=suite.title or suite.name,
        aggregate=suite.aggregate,
        primary=primary or Score(name=suite.aggregate, value=None),
        columns=tuple(_column(name, member, homes[name]) for name, member in suite.datasets.items()),
        rows=tuple(rows),
        varying=varying,
        notes=(note,) if note else (),
    )


def _home(name: str, member: Member, parts: Sequence[Part]) -> Part | str:
    """The section of a data set, or why there is none that counts."""
    same = [part for part in parts if registered(part.section.dataset.name) == name]
    asked = member.protocol
    same = [part for part in same if asked in (None, part.section.protocol.name.partition("@")[0])]
    if len(same) == 1:
        return same[0]
    return f"{len(same)} tables of it, none of which is meant" if same else f"not run{f' by {asked}' if asked else ''}"


def _column(name: str, member: Member, home: Part | str) -> SuiteColumn:
    if isinstance(home, str):
        return SuiteColumn(dataset=name, protocol=member.protocol or "", primary=None, weight=member.weight, why=home)
    section = home.section
    return SuiteColumn(
        dataset=name, protocol=section.protocol.name, primary=section.primary, weight=member.weight, why=""
    )


def _differ(section: Section, axis: str) -> bool:
    """Whether two rows of one model differ in an axis."""
    values: dict[tuple[str, ...], set[object]] = {}
    for row in section.rows:
        values.setdefault(_axes(row.key, _FIXED), set()).add(getattr(row.key, axis))
    return any(len(one) > 1 for one in values.values())


def _axes(key: RowKey, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(str(getattr(key, name)) for name in names)


def _entrants(homes: Mapping[str, Part | str], varying: Sequence[str]) -> list[_Entrant]:
    rows: dict[tuple[str, ...], dict[str, Row]] = {}
    for name, home in homes.items():
        for row in home.section.rows if isinstance(home, Part) else ():
            rows.setdefault(_axes(row.key, (*_FIXED, *varying)), {})[name] = row
    entrants = []
    for _, own in sorted(rows.items()):
        seen: dict[str, Evidence] = {}
        lacks = []
        for name, home in homes.items():
            told: Evidence | Refusal = Refusal(reason=home if isinstance(home, str) else "no result")
            if isinstance(home, Part) and name in own:
                told = home.evidence(own[name])
            if isinstance(told, Refusal):
                lacks.append(f"{name}: {told.reason}")
            else:
                seen[name] = told
        entrants.append(_Entrant(next(iter(own.values())).key, own, seen, tuple(lacks)))
    return entrants


def _primary(suite: Suite, found: Mapping[str, Part]) -> tuple[Score | None, str]:
    """What the aggregate is, without a value, or why there is none."""
    if suite.aggregate != "mean":
        names = {"rank": "mean rank", "borda": "models beaten"}
        return Score(name=names[suite.aggregate], value=None, unit="", higher_is_better=suite.aggregate == "borda"), ""
    kinds = {(part.section.primary.unit, part.section.primary.higher_is_better) for part in found.values()}
    if len(kinds) > 1:
        return None, "a mean takes scores of one unit and direction; aggregate = 'rank' or 'borda' takes any"
    unit, better = next(iter(kinds), ("fraction", True))
    metrics = {part.section.primary.name for part in found.values()}
    name = f"mean {metrics.pop()}" if len(metrics) == 1 else "mean score"
    return Score(name=name, value=None, unit=unit, higher_is_better=better), ""


def _aggregated(
    suite: Suite, entrants: Sequence[_Entrant], found: Mapping[str, Part], primary: Score
) -> tuple[list[SuiteRow], str]:
    """The rows of models with an aggregate, best first, and why these have no interval."""
    weights = [member.weight for member in suite.datasets.values()]
    signs = [part.section.primary.sign for part in found.values()]
    made = [
        draw_scores([one.seen[name] for one in entrants], part.reader.groups(part.section.common_folds), draws=DRAWS,
                    seed=number)
        for number, (name, part) in enumerate(found.items())
    ]  # fmt: skip
    values = np.array([_scores(one, suite) for one in entrants], dtype=np.float64).T
    drawn = [one for one in made if isinstance(one, Draws)]
    note = next((f"no interval: {one.reason}" for one in made if isinstance(one, Refusal)), "")
    told = None if note else aggregate(drawn, weights, suite.aggregate, signs)
    rows = []
    for place, (one, value) in enumerate(
        zip(entrants, combined(values, weights, suite.aggregate, signs).tolist(), strict=True)
    ):
        rank = None
        if told and told.ranks and not any(one.unranked):
            best, worst = told.ranks[place]
            rank = Rank(best=best, worst=worst, tie=told.ties[place])
        rows.append(
            SuiteRow(
                key=one.key,
                value=value,
                interval=told.intervals[place] if told else None,
                rank=rank,
                scores=_scores(one, suite),
                reasons=tuple(one.unranked),
            )
        )
    return sorted(rows, key=lambda row: (-round(primary.sign * (row.value or 0.0), 12), row.key)), note


def _scores(one: _Entrant, suite: Suite) -> tuple[float | None, ...]:
    return tuple(one.rows[name].value if name in one.rows else None for name in suite.datasets)
