"""The board as narrow plain text, for the end of a run."""

from __future__ import annotations

from dataclasses import replace

from bench import escaping
from bench.analysis.model import Board, Row, Section
from bench.reports import columns, formatting
from bench.reports.columns import MODEL, Column
from bench.reports.headline import headline


def text(board: Board) -> str:
    """Plain text: per section a title, the table and what must be said under it."""
    parts = [_section(section) for section in board.sections]
    if board.problems:
        parts.append("\n".join(["Left out:", *(f"  {escaping.line(problem)}" for problem in board.problems)]))
    return "\n\n".join(parts) + "\n" if parts else "No records.\n"


def _score(row: Row) -> str:
    bounds = "" if row.interval is None else f" {formatting.between(row.interval, row.primary)}"
    return formatting.score(row.value, row.primary) + bounds


def _columns(section: Section) -> list[Column]:
    shown = [replace(columns.RANK, title="#"), columns.TIE, MODEL]
    shown += [replace(columns.axis_column(name), title=name, numeric=False) for name in formatting.varying(section)]
    if len({row.key.inputs for row in section.rows}) > 1:
        shown.append(columns.INPUTS)
    title = f"{section.primary.name}{formatting.unit(section.primary)} [95 %{formatting.over_clips(section)}]"
    score = Column(title, _score, numeric=False)
    shown += [score, columns.DONE, replace(columns.PARAMETERS, title="params")]
    if section.hardware:
        shown += columns.speed_columns(section, section.hardware[0])[:4]
    return [*shown, columns.STATUS]


def _section(section: Section) -> str:
    shown = _columns(section)
    cells = ([column.text(row) for column in shown] for row in section.rows)
    rows = [[escaping.line(cell) for cell in row] for row in ([column.title for column in shown], *cells)]
    for name, value in columns.reference_rows(section):
        texts = {MODEL.text: f"({name})", _score: formatting.percent(value)}
        rows.append([texts.get(column.text, "") for column in shown])
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    sides = [">" if column.numeric else "<" for column in shown]
    lines = [
        "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True)).rstrip()
        for row in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    title = f"{section.dataset.title}, {section.protocol.name}: {section.protocol.words}"
    notes = [formatting.resolution(section), *formatting.section_notes(section)]
    notes += [f"{model}: {text}" for model, text in columns.outcomes(section)]
    own = zip(section.rows, formatting.own_remarks(section), strict=True)
    remarks = [f"{formatting.label(row.key)}: {'; '.join(said)}" for row, said in own if said]
    above = [said, ""] if (said := headline(section)) else []
    return "\n".join(map(escaping.line, [title, "", *above, *lines, "", *notes, *remarks]))
