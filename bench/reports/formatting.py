"""Numbers and states as people read them. The only place that makes percent."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from bench.analysis.grouping import RowKey
from bench.analysis.model import SUITE, Row, Section
from bench.analysis.phrases import labelled, plural
from bench.analysis.row_metadata import Unfinished
from bench.cell import parse_inputs
from bench.results.quantities import Quantity
from bench.results.records import Score
from bench.statistics.draws import MIN_SEEDS
from bench.statistics.results import Interval

UNKNOWN = "-"
MOST_LETTERS = 8
"""Tie groups that letters can be read of."""


WAYS = {
    "derived": "derived from the audio",
    "shuffled": "taken from other clips (control)",
    "missing": "left out in test",
}
"""What it means for a row that an input is not simply its clip's own."""


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction in percent, without the sign.

    >>> percent(0.8275)
    '82.8'
    """
    return UNKNOWN if value is None else f"{100 * value + 1e-9:.{digits}f}"


def between(interval: Interval | None, like: Score) -> str:
    """An interval in the unit of its score: ``[79.1, 86.0]``."""
    if interval is None:
        return UNKNOWN
    return f"[{score(interval.low, like)}, {score(interval.high, like)}]"


def score(value: float | None, like: Score) -> str:
    """A score without its unit: fractions in percent, any other as it is."""
    return percent(value) if like.unit == "fraction" else significant(value)


def unit(like: Score) -> str:
    """What stands behind the number of a score: `` %``, `` nats`` or nothing."""
    return " %" if like.unit == "fraction" else f" {like.unit}".rstrip()


def difference(value: float, like: Score) -> str:
    """A difference of two scores: points of a fraction, else in its own unit."""
    return f"{percent(value)} points" if like.unit == "fraction" else f"{significant(value)}{unit(like)}"


def count(value: int | None) -> str:
    """A number of parameters.

    >>> count(1_903_204), count(50), count(None)
    ('1.90 M', '50', '-')
    """
    return _scaled(value, {1_000_000_000: "G", 1_000_000: "M", 1_000: "k"}, "")


def size(value: int | None) -> str:
    """A number of bytes.

    >>> size(7_654_321), size(900), size(None)
    ('7.30 MiB', '900 B', '-')
    """
    return _scaled(value, {1 << 30: "GiB", 1 << 20: "MiB", 1 << 10: "KiB"}, " B")


def _scaled(value: int | None, units: Mapping[int, str], small: str) -> str:
    if value is None:
        return UNKNOWN
    whole = next((amount for amount in units if value >= amount), None)
    return f"{value}{small}" if whole is None else f"{significant(value / whole)} {units[whole]}"


def significant(value: float | None, digits: int = 3) -> str:
    """Rounded to significant digits, never in powers of ten.

    >>> significant(1234.5), significant(0.01234), significant(7.0), significant(None)
    ('1230', '0.0123', '7.00', '-')
    """
    if value is None:
        return UNKNOWN
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits - 1}e}")
    whole = len(str(int(abs(rounded)))) if abs(rounded) >= 1 else 0
    if whole:
        return f"{rounded:.{max(0, digits - whole)}f}"
    places = digits - 1 - int(f"{rounded:e}".partition("e")[2])
    return f"{rounded:.{places}f}"


def p_value(p: float) -> str:
    """A p value to two digits; below one in ten thousand no test here is that exact.

    >>> p_value(0.423), p_value(0.0004), p_value(6e-27)
    ('p = 0.42', 'p = 0.00040', 'p < 0.0001')
    """
    return "p < 0.0001" if p < 1e-4 else f"p = {significant(p, 2)}"


def measured(quantity: Quantity, value: float | None) -> str:
    """A value as tables show it, without its unit."""
    if value is None:
        return UNKNOWN
    if quantity.form == "digits":
        return significant(quantity.factor * value)
    return count(round(value)) if quantity.form == "count" else f"{value:.0f}"


def place(row: Row) -> str:
    """The rank interval, ``-`` where the row is not ranked."""
    if row.rank is None:
        return UNKNOWN
    best, worst = row.rank.best, row.rank.worst
    return str(best) if best == worst else f"{best}-{worst}"


def tie(row: Row) -> str:
    """The letters of the tie groups."""
    return UNKNOWN if row.rank is None else row.rank.tie


def lettered(section: Section) -> bool:
    """Whether there are so few tie groups that letters can be read; else ranks, intervals of places, stand for them."""
    groups = {group for row in section.rows if row.rank for group in re.findall(r"\(\d+\)|.", row.rank.tie)}
    return len(groups) <= MOST_LETTERS


def evaluated(section: Section) -> bool:
    """Whether anything was to be scored; else there is speed and memory alone."""
    wanted = any(row.folds_planned or row.folds_done or row.value is not None for row in section.rows)
    failed = any(outcome.kind == "evaluate" for row in section.rows for outcome in row.outcomes)
    return wanted or failed or section.protocol.name == SUITE


def done(row: Row) -> str:
    """Folds by seeds that ended well, of those planned: ``5/5 x 3/3``; a seed counts where it has all those folds."""
    seeds = row.seeds_used or row.seeds_done
    return f"{len(row.folds_done)}/{len(row.folds_planned)} x {len(seeds)}/{len(row.seeds_planned)}"


def status(row: Row) -> str:
    """One or two words per state of the row."""
    by_status: Counter[str] = Counter()
    for outcome in row.outcomes:
        by_status[outcome.status] += outcome.cells if outcome.kind == "evaluate" else 0
    words = [f"{name.replace('_', ' ')} ({plural(n, 'cell')})" for name, n in sorted(by_status.items()) if n]
    if row.cells_done and not words:
        words.append("no score" if row.value is None else "ok")
    if profile := sorted({outcome.status for outcome in row.outcomes if outcome.kind == "profile"}):
        words.append(f"profile {', '.join(name.replace('_', ' ') for name in profile)}")
    return ", ".join(words) or ("profiled" if row.speeds else "not evaluated")


def remarks(row: Row) -> tuple[str, ...]:
    """Everything that qualifies the row, one phrase each."""
    reasons = []
    if row.value is not None or row.cells_done:
        reasons += [f"not ranked: {why}" for why in row.not_ranked]
        reasons += [f"not publishable: {why}" for why in row.not_publishable]
    came = ways(row)
    for how, meaning in WAYS.items():
        if concerned := sorted(name for name, found in came.items() if how in found):
            reasons.append(f"{' and '.join(concerned)} {meaning}")
    if row.model.trained_on:
        reasons.append(f"weights trained on {', '.join(row.model.trained_on)}")
    if row.seen:
        reasons.append(f"its recipe was chosen by results on {labelled('fold', row.seen)}")
    if row.whole is not None:
        over = f"{score(row.whole, row.primary)}{unit(row.primary)}"
        reasons.append(f"over {labelled('fold', row.folds_done)}: {over}")
    spoken = dict.fromkeys(note for speed in row.speeds for note in speed.notes)
    return (*reasons, *row.notes, *spoken)


def shared_remarks(section: Section) -> tuple[str, ...]:
    """What qualifies every row that has a result, where there are several."""
    return _shared([remarks(row) for row in section.rows if row.value is not None])


def _shared(rows: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(text for text in rows[0] if all(text in row for row in rows)) if len(rows) > 1 else ()


def own_remarks(section: Section) -> list[tuple[str, ...]]:
    """What qualifies each row beyond the others."""
    rows = [remarks(row) for row in section.rows]
    shared = _shared([told for told, row in zip(rows, section.rows, strict=True) if row.value is not None])
    return [tuple(text for text in told if text not in shared) for told in rows]


def section_notes(section: Section) -> tuple[str, ...]:
    """What stands under a table: the section's notes and what holds for all of its rows."""
    ranked = any(row.rank for row in section.rows)  # then a note says it of all ranks
    shared = [text for text in shared_remarks(section) if not (ranked and text.startswith("not publishable: "))]
    return (*section.notes, *processes(section), *([f"All rows: {'; '.join(shared)}."] if shared else []))


def processes(section: Section) -> Iterator[str]:
    """Over how many processes speeds are medians, where any is over several."""
    counts = sorted({speed.processes for row in section.rows for speed in row.speeds})
    if counts and counts[-1] > 1:
        many = f"{counts[-1]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        yield f"Speed and memory: medians of {many} fresh processes, measured in turns."


def label(key: RowKey) -> str:
    """The model, and how it was trained where that is not from random weights: ``net, finetune from masked``."""
    return trained(key.model, key.mode, key.weights)


def trained(model: str, mode: str, weights: str) -> str:
    """A model's name, and how it was trained where that is not from random weights.

    A model by reference has its file in its name.

    >>> trained("avmae.tiny", "finetune", "masked"), trained("hf@ast~12ab34", "logistic", "ast~98fe76")
    ('avmae.tiny, finetune from masked', 'hf@ast~12ab34, logistic')
    """
    named = model.partition("@")[2].partition("~")[0].partition("+")[0] == weights.partition("~")[0]
    start = "" if weights == "random" or named else f" from {weights}"
    return model if (mode, start) == ("scratch", "") else f"{model}, {mode}{start}"


def name(section: Section, row: Row) -> str:
    """A row's label, with what tells it from others of the same label: pictures and sentences have no columns."""
    told = apart(section, row)
    return f"{label(row.key)} ({'; '.join(told)})" if told else label(row.key)


def apart(section: Section, row: Row) -> list[str]:
    """By what a row differs from others of the same label: the first axes that leave no other row."""
    said, twins = [], [other.key for other in section.rows if label(other.key) == label(row.key)]
    for axis, spelled in APART.items():
        same = [key for key in twins if getattr(key, axis) == getattr(row.key, axis)]
        if len(same) < len(twins):
            said.append(spelled(row))
        twins = same
    return said


def inputs(row: Row) -> str:
    """Modalities; what was not simply given says so."""
    return " + ".join(f"{name} ({', '.join(how)})" if how else name for name, how in ways(row).items())


def ways(row: Row) -> dict[str, tuple[str, ...]]:
    """Modality to how it came, ``()`` = simply given: as the cell says it, else as the record's model section does."""
    found = parse_inputs(row.key.inputs)
    told = {name: tuple(how.split(", ")) for name, how in row.model.inputs.items() if how != "given"}
    return {name: how or told.get(name, ()) for name, how in found.items()}


APART: Mapping[str, Callable[[Row], str]] = {
    "inputs": inputs,
    "precision": lambda row: row.key.precision,
    "frontend": lambda row: row.key.frontend,
    "feeding": lambda row: row.key.feeding,
    "recipe": lambda row: row.key.recipe,
    "clip_samples": lambda row: f"{row.key.clip_samples} samples",
}
"""How each axis of a row that no label holds is said, in the order in which they are asked."""


def outcome(item: Unfinished) -> str:
    """Why cells have no result, in one line."""
    where = f"{labelled('fold', item.folds)}, {labelled('seed', item.seeds)}" if item.kind == "evaluate" else "profile"
    stage = f" in {item.stage}" if item.stage and item.stage != "plan" else ""
    reason = f" ({item.reason})" if item.reason and item.stage != "plan" else ""
    text = f": {item.message}" if item.message else ""
    return f"{where}: {item.status.replace('_', ' ')}{stage}{reason}{text}"


def resolution(section: Section) -> str:
    """The sentence under a table."""
    result = section.resolution
    if not evaluated(section):
        return "Speed and memory alone: nothing was to be scored."
    if result.low is None or result.high is None:
        return f"Minimum detectable difference: unknown ({result.reason})."
    ends = [difference(end, section.primary) for end in (result.low, result.high)]
    start = f"{ends[0].split()[0]} to " if ends[0] != ends[1] else ""
    alike = "Rows that share a tie letter cannot be told apart"
    if not lettered(section):
        alike = f"With more than {MOST_LETTERS} tie groups, ranks (places that the clips allow) stand for letters"
    return (
        f"Minimum detectable difference of neighbouring ranked rows: {start}{ends[1]} (paired, "
        f"{plural(result.clips, 'shared clip')}, 80 % power of one test). {alike} "
        f"(Holm's method over {plural(len(result.pairs), 'pair')} of ranked rows, 5 %)."
    )


def over_clips(section: Section) -> str:
    """What the title of intervals adds where none of them holds what another training would give."""
    seeds = [len(row.seeds_used) for row in section.rows if row.interval]
    return " over clips only" if seeds and max(seeds) < MIN_SEEDS else ""


def interval_title(section: Section) -> str:
    """The title of the column of intervals."""
    return f"95 % interval{over_clips(section)}"


def varying(section: Section) -> Sequence[str]:
    """Axes of :class:`RowKey`, other than the model, in which the section's rows differ."""
    names = ("frontend", "feeding", "recipe", "precision", "clip_samples")
    return [name for name in names if len({getattr(row.key, name) for row in section.rows}) > 1]
