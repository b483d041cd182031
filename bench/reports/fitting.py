"""A table as aligned lines, with the columns that fit a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Sequence

MOST_ROWS = 20
"""Rows that a terminal shows at once."""
_NARROWEST = 24
"""Characters to which the last column is folded, at the least."""


def laid_out(
    table: Sequence[Sequence[str]], *, right: Collection[int], room: int | None, kept: Collection[int] = (0,)
) -> tuple[list[str], list[int], list[int]]:
    """Each row as text, in several lines where its last cell is folded to fit ``room``; widths; places of the columns.

    Of the columns that are not ``kept`` those on the right go first; the last one stays. No ``room``: nothing is cut.

    >>> laid_out([["name", "size", "what it is"], ["a", "10", "a model of few words"]], right={1}, room=30)
    (['name  what it is', 'a     a model of few words'], [4, 4, 20], [0, 2])
    """
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    places, last, free = list(range(len(widths))), len(widths) - 1, widths[-1]
    if room is not None:
        needed = [*widths[:last], min(widths[last], _NARROWEST)]
        for place in range(last - 1, -1, -1):
            if place not in kept and sum(needed[i] + 2 for i in places) - 2 > room:
                places.remove(place)
        free = max(room - sum(widths[i] + 2 for i in places[:-1]), needed[last])
    indent = "\n" + " " * sum(widths[i] + 2 for i in places[:-1])
    rows = []
    for row in table:
        end = indent.join(textwrap.wrap(row[last], free)) if len(row[last]) > free else row[last]
        cells = [row[i].rjust(widths[i]) if i in right else row[i].ljust(widths[i]) for i in places[:-1]]
        rows.append("  ".join([*cells, end.rjust(widths[last]) if last in right else end]).rstrip())
    return rows, widths, places
