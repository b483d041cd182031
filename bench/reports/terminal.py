"""The board as narrow plain text, for the end of a run."""

from __future__ import annotations

from bench.analysis.model import Board, Row, Section
from bench.reports import formatting
from bench.reports.columns import Column, reference_rows, speed_columns


def text(board: Board) -> str:
    """Plain text: per section a title, the table and what must be said under it."""
    parts = [_section(section) for section in board.sections]
    if board.problems:
        parts.append("\n".join(["Left out:", *(f"  {problem}" for problem in board.problems)]))
    return "\n\n".join(parts) + "\n" if parts else "No records.\n"


def _score(row: Row) -> str:
    bounds = "" if row.interval is None else f" {formatting.between(row.interval, row.primary)}"
    return formatting.score(row.value, row.primary) + bounds


def _columns(section: Section) -> list[Column]:
    shown = [
        Column("#", formatting.place),
        Column("tie", formatting.tie, numeric=False),
        Column("model", lambda row: formatting.label(row.key), numeric=False),
    ]
    for name in formatting.varying(section):
        shown.append(Column(name, lambda row, name=name: str(getattr(row.key, name)), numeric=False))  # type: ignore[misc]
    if len({row.key.inputs for row in section.rows}) > 1:
        shown.append(Column("inputs", formatting.inputs, numeric=False))
    shown += [
        Column(f"{section.primary.name}{formatting.unit(section.primary)} [95 %]", _score, numeric=False),
        Column("folds x seeds", formatting.done),
        Column("params", lambda row: formatting.count(row.model.parameters)),
    ]
    if section.hardware:
        shown += speed_columns(section, section.hardware[0])[:4]
    return [*shown, Column("status", formatting.status, numeric=False)]


def _section(section: Section) -> str:
    shown = _columns(section)
    rows = [[column.title for column in shown]]
    rows += [[column.text(row) for column in shown] for row in section.rows]
    for name, value in reference_rows(section):
        rows.append(
            [
                f"({name})" if column.title == "model" else formatting.percent(value) if column.text is _score else ""
                for column in shown
            ]
        )
    widths = [max(len(row[index]) for row in rows) for index in range(len(shown))]
    lines = [
        "  ".join(
            cell.rjust(width) if column.numeric else cell.ljust(width)
            for cell, width, column in zip(row, widths, shown, strict=True)
        ).rstrip()
        for row in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    title = f"{section.dataset.title}, {section.protocol.name}: {section.protocol.words}"
    notes = [formatting.resolution(section), *formatting.section_notes(section)]
    notes += [
        f"{formatting.label(row.key)}: {formatting.outcome(item)}" for row in section.rows for item in row.outcomes
    ]
    own = [(formatting.label(row.key), formatting.own_remarks(section, row)) for row in section.rows]
    remarks = [f"{model}: {'; '.join(said)}" for model, said in own if said]
    return "\n".join([title, "", *lines, "", *notes, *remarks])
