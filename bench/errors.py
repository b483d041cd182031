"""The few kinds of error the host raises on purpose.

Every message says what is wrong (with the value), what is allowed or close, and what to type next.
Nothing here is raised by accident: an exception of another type is a bug of the host or of a plugin.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


def short(value: object, limit: int = 60) -> str:
    """A value as a message shows it: its ``repr``, cut where it is long."""
    try:
        text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    except Exception as error:  # noqa: BLE001  it may be of a plugin's own class
        text = f"({type(value).__name__}, whose repr raises {type(error).__name__})"
    return text if len(text) <= limit else text[: limit - 3] + "..."


def some(names: Sequence[str], most: int = 5, mark: str = ", ") -> str:
    """The first few names, and how many there are beyond.

    >>> some(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    return mark.join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def did_you_mean(name: object, known: Iterable[object]) -> str:
    """A sentence that names what is close, or else everything that is known."""
    names = sorted(map(str, known))
    close = difflib.get_close_matches(name if isinstance(name, str) else short(name), names, n=2, cutoff=0.6)
    if close:
        return f"did you mean {' or '.join(map(repr, close))}?"
    return f"known: {', '.join(names) or 'none'}"


class BenchError(Exception):
    """A problem the user or a plugin author must act on.

    Attributes:
        exit_code: The process exit status that the command line gives for it.
    """

    exit_code: int = 2


class UnknownNameError(BenchError):
    """A model, data set, front end, ... that nobody registered."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        if close:
            advice = f"Did you mean {' or '.join(repr(c) for c in close)}?"
        elif names:
            shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
            advice = f"Known: {shown}."
        else:
            advice = "None are registered."
        where = f"`bench list {kind.replace(' ', '')}s` shows all"
        super().__init__(f"no {kind} named {short(name, 200)}. {advice} {where}.")
        self.kind = kind
        self.name = name
        self.close = tuple(close)


class PluginError(BenchError):
    """A plugin that cannot be loaded, collides with another, or breaks the contract of a hook."""


class DataError(BenchError):
    """Missing, corrupt or inconsistent data."""


class LeakError(DataError):
    """A split that shares groups (source recordings, speakers, ...) between its parts.

    Attributes:
        rate: Fraction of test clips whose group also stands in train or validation, 0 to 1.
    """

    def __init__(self, message: str, rate: float) -> None:
        super().__init__(message)
        self.rate = rate


class SealedError(BenchError):
    """The test split was asked for before training had finalised its checkpoint."""


class RecipeError(BenchError):
    """A recipe that does not exist or holds a value that is not allowed."""


class SelectionError(BenchError):
    """A selection that names no cell, or options that contradict each other."""


class NoCellError(SelectionError):
    """Nothing was left to run, or a planned result is missing."""

    exit_code = 4


class StoreError(BenchError):
    """Records that cannot be written or read."""


class CheckpointError(BenchError):
    """Weights that are missing or do not fit the model."""
