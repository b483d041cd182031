"""What a field may hold beyond its type, written into its annotation: names, one line of text, numbers from a bound."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

LONGEST_NAME = 64
LONGEST_LINE = 2000
UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that no line of text may hold as they are: control characters (C0, DEL, C1), separators of lines, marks
that turn the direction of writing, halves of surrogate pairs."""
_NAME = re.compile(r"[a-z0-9]([a-z0-9_.+-]*[a-z0-9])?")
_ADDRESS = re.compile(r"(https?://[^\s/]+\S*)?\Z")
_SHA256 = re.compile("([0-9a-f]{64})?")
_SUFFIX = re.compile(r"(\.[A-Za-z0-9_-]+)+")


@dataclass(frozen=True, slots=True)
class Allowed:
    """Which values of a type are allowed, in words and as a function."""

    words: str
    holds: Callable[[Any], bool]


def is_name(text: str) -> bool:
    """Whether this may name something: it becomes part of paths, and of commands."""
    return len(text) <= LONGEST_NAME and _NAME.fullmatch(text) is not None


def is_line(text: str) -> bool:
    """Whether a text is one line without control characters, not endless."""
    return len(text) <= LONGEST_LINE and (text.isprintable() or UNSEEN.search(text) is None)


LINE = Allowed(f"one line of at most {LONGEST_LINE} characters, none of them a control character", is_line)
"""What holds for every text."""

Name = Annotated[
    str,
    Allowed(f"1 to {LONGEST_NAME} of a-z, 0-9, '_', '.', '+' and '-', with a letter or digit at both ends", is_name),
]
Suffix = Annotated[str, Allowed("the end of a file name, such as '.csv'", lambda text: bool(_SUFFIX.fullmatch(text)))]
Address = Annotated[str, Allowed("empty or an address, https:// or http://", lambda text: bool(_ADDRESS.match(text)))]
Sha256 = Annotated[str, Allowed("empty or 64 hex digits (sha256sum FILE)", lambda text: bool(_SHA256.fullmatch(text)))]
Count = Annotated[int, Allowed("0 or more", lambda number: 0 <= number < 1 << 62)]
Positive = Annotated[int, Allowed("1 or more", lambda number: 1 <= number < 1 << 62)]
Several = Annotated[int, Allowed("2 or more", lambda number: 2 <= number < 1 << 62)]
