"""Tables and sentences as lines that fit a terminal."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Collection, Sequence
from itertools import zip_longest

MOST_ROWS = 20
"""Rows that a terminal shows at once."""
_NARROWEST = 24
"""Characters to which a column is folded; half as many where even that is too wide."""


def folded(text: str, room: int | None) -> str:
    r"""Lines broken at blanks so that they fit ``room``, each with its indent; what stands in backticks stays whole.

    >>> folded("  few words, then `bench list models`", 20)
    '  few words, then\n  `bench list models`'
    """
    return text if room is None else "\n".join(_folded(line, room) for line in text.split("\n"))


def _folded(line: str, room: int) -> str:
    if len(line) <= room:
        return line
    whole = re.sub("`[^`]*`", lambda found: found[0].replace(" ", "\0"), line)
    indent = " " * (len(line) - len(line.lstrip(" ")))
    lines = textwrap.wrap(whole, room, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines).replace("\0", " ")


def laid_out(
    table: Sequence[Sequence[str]], *, right: Collection[int], room: int | None, kept: Collection[int] = (0,)
) -> tuple[list[str], list[int], list[int]]:
    """Each row as text, in several lines where cells are folded to fit ``room``; widths; places of the columns.

    Of the columns that are not ``kept`` those on the right go first; the last one stays, and is folded before
    the widest of the others are. No ``room``: nothing is cut.

    >>> laid_out([["name", "size", "what it is"], ["a", "10", "a model of few words"]], right={1}, room=30)
    (['name  what it is', 'a     a model of few words'], [4, 4, 20], [0, 2])
    """
    full = [max(map(len, column)) for column in zip(*table, strict=True)]
    widths, places, last = list(full), list(range(len(full))), len(full) - 1

    def over() -> int:
        """Characters too many in a line."""
        return 0 if room is None else sum(widths[i] + 2 for i in places) - 2 - room

    if over() > 0:
        widths[last] = min(full[last], _NARROWEST)
        for place in range(last - 1, -1, -1):
            if place not in kept and over() > 0:
                places.remove(place)
        for floor in (_NARROWEST, _NARROWEST // 2):
            for place in sorted({*places} - {*right}, key=full.__getitem__, reverse=True):
                widths[place] -= max(0, min(over(), widths[place] - floor))
        widths[last] = min(full[last], widths[last] - min(0, over()))
    rows = []
    for row in table:
        cells = [textwrap.wrap(row[i], widths[i]) if len(row[i]) > widths[i] else [row[i]] for i in places]
        lines = zip_longest(*cells, fillvalue="")
        placed = (
            [c.rjust(widths[i]) if i in right else c.ljust(widths[i]) for c, i in zip(line, places, strict=True)]
            for line in lines
        )
        rows.append("\n".join("  ".join(line).rstrip() for line in placed))
    return rows, widths, places
