"""The board as narrow plain text, for the end of a run."""

from __future__ import annotations

from dataclasses import replace

from bench import escaping
from bench.analysis.model import Board, Row, Section
from bench.reports import columns, formatting
from bench.reports.columns import MODEL, Column
from bench.reports.fitting import MOST_ROWS, folded, laid_out
from bench.reports.headline import headline


def text(board: Board, room: int | None = None) -> str:
    """Plain text: per section a title, the table and what must be said under it.

    In ``room`` characters a line stand the columns that fit, and the first rows; ``None`` = all of them.
    """
    parts = [_section(section, room) for section in board.sections]
    if board.problems:
        problems = (f"  {escaping.line(problem)}" for problem in board.problems)
        parts.append(folded("\n".join(["Left out:", *problems]), room))
    return "\n\n".join(parts) + "\n" if parts else "No records.\n"


def _score(row: Row) -> str:
    bounds = "" if row.interval is None else f" {formatting.between(row.interval, row.primary)}"
    return formatting.score(row.value, row.primary) + bounds


def _columns(section: Section, room: int | None) -> list[Column]:
    shown = [*(replace(one, title="#") if one is columns.RANK else one for one in columns.ranks(section)), MODEL]
    shown += [replace(columns.axis_column(name), title=name, numeric=False) for name in formatting.varying(section)]
    if len({row.key.inputs for row in section.rows}) > 1:
        shown.append(columns.INPUTS)
    over = "" if room else formatting.over_clips(section)  # the notes below say it too
    title = f"{section.primary.name}{formatting.unit(section.primary)} [95 %{over}]"
    score = Column(title, _score, numeric=False)
    if formatting.evaluated(section):
        shown += [score, *columns.beside_score(section)]
    shown.append(replace(columns.PARAMETERS, title="params"))
    if section.hardware:
        shown += columns.speed_columns(section, section.hardware[0])[:4]
    return [*shown, columns.STATUS]


def _table(section: Section, room: int | None) -> list[str]:
    shown = _columns(section, room)
    most = MOST_ROWS if room else len(section.rows)
    cells = ([column.text(row) for column in shown] for row in section.rows[:most])
    rows = [[escaping.line(cell) for cell in row] for row in ([column.title for column in shown], *cells)]
    for name, value in columns.reference_rows(section):
        said = {MODEL.text: f"({name})", _score: formatting.percent(value)}
        rows.append([said.get(column.text, "") for column in shown])
    kept = [i for i, column in enumerate(shown) if column.text in (columns.RANK.text, MODEL.text, _score)]
    right = {i for i, column in enumerate(shown) if column.numeric}
    texts, widths, places = laid_out(rows, right=right, room=room, kept=kept)
    texts.insert(1, "  ".join("-" * widths[i] for i in places))
    if (more := len(section.rows) - most) > 0:
        texts.insert(2 + most, f"({more} more rows; --wide shows all)")
    if left := [column.title for i, column in enumerate(shown) if i not in places]:
        texts.append(folded(f"(not shown: {', '.join(left)}; --wide shows all)", room))
    return "\n".join(texts).split("\n")


def _section(section: Section, room: int | None) -> str:
    title = f"{section.dataset.title}, {section.protocol.name}: {section.protocol.words}"
    notes = [formatting.resolution(section), *formatting.section_notes(section)]
    notes += [f"{model}: {text}" for model, text in columns.outcomes(section)]
    own = zip(section.rows, formatting.own_remarks(section), strict=True)
    notes += [f"{formatting.name(section, row)}: {'; '.join(said)}" for row, said in own if said]
    if room and (more := len(notes) - MOST_ROWS) > 0:
        notes[MOST_ROWS:] = [f"({more} more remarks; --wide shows all)"]
    above = [title, "", *([said, ""] if (said := headline(section)) else [])]
    texts = ["\n".join(map(escaping.line, lines)) for lines in (above, _table(section, room), ["", *notes])]
    return "\n".join([folded(texts[0], room), texts[1], folded(texts[2], room)])
