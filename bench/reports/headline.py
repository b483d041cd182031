"""What follows from a table, in one or two sentences: made of the statistics that its ranks and letters come from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.analysis.family import ALPHA
from bench.analysis.model import RankedPair, Row, Section
from bench.analysis.phrases import between, plural
from bench.reports import formatting

_NAMES = 6
_WORSE = 3
_FAR = 100


def headline(section: Section) -> str:
    """Which rows cannot be told apart, which are worse and by how much; ``""`` where no row has a score.

    Intervals of differences are of that pair alone; whether two rows differ is said as their letters say it.
    """
    ranked = [row for row in section.rows if row.rank]
    shown = [row for row in section.rows if row.value is not None]
    if not shown:
        return ""
    if not ranked:
        return f"{plural(len(shown), 'row')} in the order of scores: {section.resolution.reason}."
    said = ["; ".join(_order(section, ranked)), *_resolving(section, ranked)]
    if left := [_name(section, row) for row in shown if not row.rank]:
        said.append(f"Not ranked: {_listed(left)}")
    return ". ".join(said) + "."


def _order(section: Section, ranked: Sequence[Row]) -> Iterator[str]:
    names = [_name(section, row) for row in ranked]
    if len(ranked) == 1:
        value = f"{formatting.score(ranked[0].value, section.primary)}{formatting.unit(section.primary)}"
        yield f"{names[0]} is the only ranked row: {value} {formatting.between(ranked[0].interval, section.primary)}"
        return
    pairs = _with_first(section)
    tied = [0, *(pair.worse for pair in pairs if pair.p_adjusted >= ALPHA)]
    worse = [pair for pair in pairs if pair.p_adjusted < ALPHA]
    basis = f"{plural(section.resolution.clips, 'clip')} and {between((len(row.seeds_used) for row in ranked), 'seed')}"
    if len(tied) > 1:
        yield f"{_listed([names[number] for number in tied])} cannot be told apart by {basis}"
    else:
        yield f"{names[0]} is better than {_count(len(worse))} by {basis}"
    for pair in worse[:_WORSE]:
        yield f"{names[pair.worse]} is {_behind(section, pair)} worse{f' than {names[0]}' if len(tied) > 1 else ''}"
    if rest := worse[_WORSE:]:
        yield f"{plural(len(rest), 'row')} below {'is' if len(rest) == 1 else 'are'} worse too"


def _count(others: int) -> str:
    return "the other ranked row" if others == 1 else f"each of the other {others} ranked rows"


def _with_first(section: Section) -> list[RankedPair]:
    return [pair for pair in section.resolution.pairs if pair.better == 0]


def _behind(section: Section, pair: RankedPair) -> str:
    """``7.7 points [2.0, 13.5]``."""
    sign, like = section.primary.sign, section.primary
    amount = formatting.difference(sign * pair.difference, like)
    if pair.low is None or pair.high is None:
        return amount
    low, high = sorted((sign * pair.low, sign * pair.high))
    return f"{amount} [{formatting.score(low, like)}, {formatting.score(high, like)}]"


def _resolving(section: Section, ranked: Sequence[Row]) -> Iterator[str]:
    """How much more it would take to tell the last of those that share the first place from the first."""
    last = next((pair for pair in reversed(_with_first(section)) if pair.p_adjusted >= ALPHA), None)
    if last is None or not last.resolution or not last.difference:
        return
    times = (last.resolution / last.difference) ** 2
    if times > 1:
        many = f"about {times:.2g}" if times < _FAR else f"more than {_FAR}"
        apart = formatting.difference(section.primary.sign * last.difference, section.primary)
        pair = " and ".join(_name(section, ranked[number]) for number in (last.better, last.worse))
        yield (
            f"Were the {apart} between {pair} real, {many} times as many clips and seeds "
            "would show it on four of five such boards"
        )


def _name(section: Section, row: Row) -> str:
    """A row's name without a comma, which would be read as the next row's."""
    label, _, trained = formatting.label(row.key).partition(", ")
    told = [*filter(None, [trained]), *formatting.apart(section, row)]
    return f"{label} ({'; '.join(told)})" if told else label


def _listed(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and 3 more``."""
    known = list(names) if len(names) <= _NAMES else [*names[: _NAMES - 1], f"{len(names) - _NAMES + 1} more"]
    return known[0] if len(known) == 1 else f"{', '.join(known[:-1])} and {known[-1]}"
