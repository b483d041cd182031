"""Reading ``y_train.csv``: one or two columns, with or without a header."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench import DataError
from bench_datasets._common import read_lines

_HEAD = "label"


def read_labels(path: Path, count: int) -> npt.NDArray[np.int64]:
    """The digit of each row ``(count,)``: a column of digits, or of row numbers that count up and one of digits."""
    lines = [(number, [cell.strip() for cell in cells]) for number, cells in read_lines(path)]
    if not lines:
        raise DataError(f"{path} holds no line")
    widths = {len(cells) for _, cells in lines}
    if not widths <= {1, 2} or len(widths) != 1:
        raise DataError(f"{path} has lines of {', '.join(map(str, sorted(widths)))} cells; expected are 1 or 2 in all")
    column = widths.pop() - 1
    if _digit(lines[0][1][column]) is None:
        column = _named(path, lines.pop(0)[1])
    if len(lines) != count:
        raise DataError(f"{path} holds {len(lines)} labels for {count} training clips")
    labels = [_digit(cells[column]) for _, cells in lines]
    wrong = [(number, cells[column]) for (number, cells), label in zip(lines, labels, strict=True) if label is None]
    if wrong:
        number, text = wrong[0]
        raise DataError(f"{path}: {len(wrong)} labels are no digit; line {number} has {text!r}, allowed are 0 to 9")
    if len(lines[0][1]) > 1:
        _check_numbers(path, [(number, cells[1 - column]) for number, cells in lines])
    return np.array(labels, dtype=np.int64)


def _named(path: Path, head: list[str]) -> int:
    """The column of the digits by the header."""
    if len(head) == 1:
        return 0
    if head.count(_HEAD) != 1:
        raise DataError(f"{path} has columns {', '.join(map(repr, head))}; one of two must be named {_HEAD!r}")
    return head.index(_HEAD)


def _digit(text: str) -> int | None:
    """``"7"`` or ``"7.0"`` as 7."""
    try:
        value = float(text)
    except ValueError:
        return None
    return int(value) if value in range(10) else None


def _check_numbers(path: Path, numbers: list[tuple[int, str]]) -> None:
    """Row numbers must count up from 0 or 1, or labels would go to other rows."""
    start = 1 if numbers[0][1] in ("1", "1.0") else 0
    for place, (line, text) in enumerate(numbers):
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if value != place + start:
            raise DataError(f"{path}: line {line} is row {text!r}, not {place + start}; rows must stand in order")
