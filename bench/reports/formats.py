"""Boards as Markdown, CSV, JSON and LaTeX: ``render(board) -> str``, the same bytes for the same records.

Markdown and LaTeX are for people and show percent; CSV and JSON are for programs and keep fractions and seconds.
"""

from __future__ import annotations

import dataclasses
import io
import re
from collections.abc import Callable, Iterable, Sequence
from csv import writer
from typing import Any

from bench import escaping
from bench.analysis import phrases
from bench.analysis.artifacts import Detail
from bench.analysis.model import Board, Published, Row, Section
from bench.cell import registered
from bench.reports import formatting
from bench.reports.columns import MODEL, STATUS, Column, columns, marks, outcomes, reference_rows, speed_columns
from bench.reports.headline import headline
from bench.results.quantities import QUANTITIES
from bench.results.records import Score
from bench.results.writing import json_text, plain


def markdown(board: Board) -> str:
    """A page for people: per section what was done, the table, what is missing and why, how to make it again."""
    blocks = ["# Leaderboard"]
    if not board.sections:
        blocks.append("No records.")
    for section in board.sections:
        blocks += _markdown_section(section, board.published)
    blocks += _markdown_environment(board)
    return "\n\n".join(block for block in blocks if block) + "\n"


def _markdown_section(section: Section, published: Sequence[Published]) -> Iterable[str]:
    yield f"## {escaping.markdown(f'{section.dataset.title} - {section.protocol.name}')}"
    if said := headline(section):
        yield f"> {escaping.markdown(said)}"
    yield escaping.markdown(" ".join(context(section)))
    yield _markdown_table(section)
    yield escaping.markdown(formatting.resolution(section))
    yield "\n".join(
        f"- {mark} {escaping.code(label)}: {escaping.markdown('; '.join(own))}"
        for mark, label, own in _footnotes(section)
    )
    yield "\n".join(f"- {escaping.markdown(note)}" for note in formatting.section_notes(section))
    yield from _markdown_other_hardware(section)
    failures = [f"- {escaping.code(model)}: {escaping.markdown(text)}" for model, text in outcomes(section)]
    if failures:
        yield "### Without a result"
        yield "\n".join(failures)
    elsewhere = beside(section, published)
    if elsewhere:
        yield "### Published elsewhere, not ranked with the rows above"
        titles = [Column(title, str, numeric=False) for title in PUBLISHED_TITLES]
        yield _table([[*map(escaping.cell, published_cells(entry))] for entry in elsewhere], titles)
    commands = [row.command for row in section.rows if row.command and row.value is not None]
    if commands:
        yield "### Make these rows again"
        yield "\n".join(["```sh", *map(escaping.line, commands), "```"])


def beside(section: Section, published: Sequence[Published]) -> list[Published]:
    """The results from elsewhere on the data set of a section."""
    return [entry for entry in published if entry.dataset == registered(section.dataset.name)]


OTHER_COPY = "This copy differs from the published one: do not put its numbers beside published ones as equal."


def context(section: Section) -> list[str]:
    """What stands above a table, one sentence each."""
    data, protocol = section.dataset, section.protocol
    clips = "" if data.test_clips is None else f"{phrases.plural(data.test_clips, 'test clip')} "
    classes = f"{'in ' if clips else ''}{len(data.label_names)} classes" if data.label_names else ""
    groups = f", from {data.group_count} groups ({data.groups})" if data.group_count and data.groups else ""
    seconds = {row.key.clip_samples for row in section.rows}
    length = f", {next(iter(seconds))} samples per clip" if len(seconds) == 1 else ""
    sentences = [f"Protocol {protocol.name}{f' ({protocol.hash})' if protocol.hash else ''}: {protocol.words}."]
    if clips or classes:
        sentences.append(f"{clips}{classes}{groups}{length}.".replace("  ", " "))
    if section.folds:
        fold = "fixed split" if section.folds == (0,) else phrases.labelled("fold", section.folds)
        sentences.append(f"Planned: {fold}, {phrases.labelled('seed', section.seeds)}.")
    recipes = sorted({row.key.recipe for row in section.rows})
    sentences.append(f"Recipe: {', '.join(recipes)}.")
    sentences += [f"{note[:1].upper()}{note[1:].rstrip('.')}." for note in data.notes]
    if not data.faithful:
        sentences.append(OTHER_COPY)
    if protocol.leak:
        sentences.append(f"{protocol.leak}.")
    if section.hardware:
        sentences.append(f"Speed: {section.hardware[0].label}.")
    return sentences


def _footnotes(section: Section) -> Iterable[tuple[str, str, Sequence[str]]]:
    """Mark, row and remarks of the rows that something must be said about."""
    own = formatting.own_remarks(section)
    for number, mark in marks(section).items():
        yield f"[{mark}]", formatting.label(section.rows[number].key), own[number]


def _marked(section: Section, shown: Sequence[Column], safe: Callable[[str], str]) -> list[list[str]]:
    """The cells of each row, with the mark of its footnote beside the model."""
    noted = {number: f" [{mark}]" for number, mark in marks(section).items()}
    return [
        [safe(column.text(row)) + (noted.get(number, "") if column is MODEL else "") for column in shown]
        for number, row in enumerate(section.rows)
    ]


def _markdown_table(section: Section) -> str:
    shown = columns(section)
    rows = _marked(section, shown, escaping.cell)
    score = next((column.title for column in shown if column.group == "score"), "")
    for name, value in reference_rows(section):
        texts = {"model": f"*{name}*", score: formatting.score(value, section.primary)}
        rows.append([texts.get(column.title, "") for column in shown])
    return _table(rows, shown)


def _markdown_other_hardware(section: Section) -> Iterable[str]:
    for hardware in section.hardware[1:]:
        shown = [MODEL, *speed_columns(section, hardware)]
        yield f"### Speed on {escaping.markdown(hardware.label)}"
        yield "Not comparable with the speed columns above."
        measured = [row for row in section.rows if row.speed(hardware.key)]
        yield _table([[escaping.cell(column.text(row)) for column in shown] for row in measured], shown)


def _markdown_environment(board: Board) -> Iterable[str]:
    if board.problems:
        yield "## Left out"
        yield "\n".join(f"- {escaping.markdown(problem)}" for problem in board.problems)
    if board.environments:
        yield "## Environment"
        machines = {hardware.label for section in board.sections for hardware in section.hardware}
        yield "\n".join(f"- {escaping.markdown(line)}" for line in [*sorted(machines), *board.environments])
    if board.sections:
        yield f"Made from {phrases.plural(board.records, 'record')} by `bench report`. Intervals are 95 %."


DIGITS = 10
"""Significant digits of numbers in files for programs."""
PUBLISHED_TITLES = ("system", "result %", "metric", "weights from", "protocol", "source")


def published_cells(entry: Published) -> list[str]:
    """A result from elsewhere, under :data:`PUBLISHED_TITLES`."""
    spread = "" if entry.plus_minus is None else f" +- {formatting.percent(entry.plus_minus)}"
    return [
        entry.system,
        formatting.percent(entry.value) + spread,
        entry.metric,
        entry.trained_on or "scratch",
        entry.protocol,
        entry.source,
    ]


def _table(rows: Sequence[Sequence[str]], shown: Sequence[Column], form: str = "pipe") -> str:
    """A table of cells that are safe for GitHub, or of lines for LaTeX, which tabulate escapes itself."""
    from tabulate import tabulate

    align = ["right" if column.numeric else "left" for column in shown] if rows else None
    safe = escaping.cell if form == "pipe" else escaping.line
    titles = [safe(column.title) for column in shown]
    return str(tabulate(rows, headers=titles, tablefmt=form, colalign=align, disable_numparse=True))


def csv(board: Board) -> str:
    """One line per row of every section; fractions, seconds, MiB; unknown is empty."""
    lines = [_flat(section, row) for section in board.sections for row in section.rows]
    names = list(dict.fromkeys(name for line in lines for name in line))
    text = io.StringIO()
    table = writer(text, lineterminator="\n")
    table.writerow(map(escaping.csv, names))
    table.writerows([escaping.csv(plain(line.get(name), DIGITS)) for name in names] for line in lines)
    return text.getvalue()


def _flat(section: Section, row: Row) -> dict[str, Any]:
    hardware = section.hardware[0] if section.hardware else None
    speed = row.speed(hardware.key) if hardware else None
    values: dict[str, Any] = {
        "dataset": section.dataset.name,
        "title": section.dataset.title,
        "protocol": section.protocol.name,
        "protocol_hash": section.protocol.hash,
        **dataclasses.asdict(row.key),
        "metric": section.primary.name,
        **_unusual(section.primary),
        "value": row.value,
        **{name: getattr(row.interval, name, None) for name in ("low", "high")},
        "interval": row.interval.method if row.interval else None,
        **{name: getattr(row.rank, name.removeprefix("rank_"), None) for name in ("rank_best", "rank_worst", "tie")},
        "folds_done": len(row.folds_done),
        "folds_planned": len(row.folds_planned),
        "seeds_done": len(row.seeds_done),
        "seeds_planned": len(row.seeds_planned),
        "folds_used": phrases.numbers(row.folds_used) if row.folds_used else None,
        "seeds_used": phrases.numbers(row.seeds_used) if row.seeds_used else None,
        "parameters": row.model.parameters,
        "inputs_kind": "+".join(", ".join(how) or "given" for how in formatting.ways(row).values()),
    }
    values |= {
        "hardware": hardware.label if speed and hardware else None,
        **{
            quantity.csv or quantity.name: speed.values.get(quantity.name) if speed else None
            for quantity in (*QUANTITIES, *(speed.added if speed else ()))
            if quantity.shown != "never"
        },
        "checkpoint_bytes": row.model.checkpoint_bytes,
        "status": formatting.status(row),
        "why": "; ".join(formatting.outcome(item) for item in row.outcomes) or None,
        "ranked": row.rank is not None,
        "publishable": row.publishable,
        "remarks": "; ".join(formatting.remarks(row)) or None,
        "table_notes": " ".join((*section.notes, section.protocol.leak)).strip() or None,
        "provenance": row.provenance,
    }
    return values | {f"score_{score.name}": score.value for score in row.scores}


def _unusual(score: Score) -> dict[str, Any]:
    """Unit and direction of a score, left out for a fraction of which more is better."""
    plain = score.unit == "fraction" and score.higher_is_better
    return {} if plain else {"unit": score.unit, "higher_is_better": score.higher_is_better}


def json_(board: Board) -> str:
    """The whole board but what only pictures show; fractions, seconds, MiB; unknown is null."""
    sections = [
        dataclasses.replace(section, rows=tuple(dataclasses.replace(row, detail=Detail()) for row in section.rows))
        for section in board.sections
    ]
    values = plain(dataclasses.replace(board, sections=tuple(sections), extra=()), DIGITS)
    del values["extra"]
    for section, made in zip(values["sections"], board.sections, strict=True):
        section |= {"headline": headline(made), "primary": made.primary.name, **_unusual(made.primary)}
        for row in section["rows"]:
            del row["detail"]
            row["primary"] = row["primary"]["value"]
            row["interval"] = row["interval"] and {name: row["interval"][name] for name in ("low", "high", "method")}
            row["speeds"] = [_flat_speed(speed) for speed in row["speeds"]]
    return escaping.terminal(json_text(values), keep="\n") + "\n"


def _flat_speed(speed: dict[str, Any]) -> dict[str, Any]:
    """The values beside the other facts; what plugins added is described, where there is any."""
    added, values = speed.pop("added"), speed.pop("values")
    told = [{name: one[name] for name in ("name", "title", "unit", "higher_is_better")} for one in added]
    return {**speed, **values, **({"added": told} if told else {})}


def latex(board: Board) -> str:
    """One ``table`` per section for ``booktabs``."""
    names = [f"{section.dataset.name}-{section.protocol.name}".lower() for section in board.sections]
    labels = [name if names.count(name) == 1 else f"{name}-{number}" for number, name in enumerate(names, 1)]
    return "\n".join(map(_latex_section, board.sections, labels))


def _latex_section(section: Section, label: str) -> str:
    shown = [column for column in columns(section) if column is not STATUS]
    wanted = [row for row in section.rows if row.value is not None or not formatting.evaluated(section)]
    with_value = dataclasses.replace(section, rows=tuple(wanted))
    table = _table(_marked(with_value, shown, escaping.line), shown, "latex_booktabs")
    missing = [formatting.name(section, row) for row in section.rows if row not in wanted]
    caption = [f"{section.dataset.title}, protocol {section.protocol.name}.", formatting.resolution(section)]
    if missing:
        caption.append(f"Without a result: {', '.join(missing)}.")
    data, leak = section.dataset, section.protocol.leak
    said = [*([] if data.faithful else [OTHER_COPY]), *([f"{leak}."] if leak else [])]
    said += [f"{mark} {model}: {'; '.join(own)}." for mark, model, own in _footnotes(with_value)]
    said += [*formatting.section_notes(section), *(f"{model}: {why}" for model, why in outcomes(with_value))]
    notes = [f"\\par\\raggedright\\footnotesize {escaping.latex(text)}" for text in said]
    lines = ["\\begin{table}", "\\centering", table, f"\\caption{{{escaping.latex(' '.join(caption))}}}"]
    return "\n".join([*lines, f"\\label{{tab:{re.sub(r'[^a-z0-9]+', '-', label)}}}", *notes, "\\end{table}", ""])
