"""Values that options spell: numbers and ranges, durations, names, one of several words."""

from __future__ import annotations

import re
from collections.abc import Iterable

from bench.errors import SelectionError, short

MOST_NUMBERS = 1000
"""Seeds, folds or batch sizes in one run."""
_RANGE = re.compile("([0-9]{1,18})(?:-([0-9]{1,18}))?")
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(s|m|h)?")
_LONGEST = 1e8
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}


def names(text: str, option: str) -> tuple[str, ...]:
    """``"a,b"`` as a tuple."""
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    if not found:
        raise SelectionError(f"{option} {text!r} names nothing")
    return found


def with_options(name: str, overrides: Iterable[str]) -> str:
    """The name of a model with what ``--set model.KEY=VALUE`` says of it.

    >>> with_options("calm.conv", ["model.heads=4"])
    'calm.conv?heads=4'
    """
    for item in overrides:
        key, equals, value = item.removeprefix("model.").partition("=")
        if not (equals and key.strip()):
            raise SelectionError(f"--set {item!r} is not of the form model.KEY=VALUE; `bench list models --options`")
        name += f"{'&' if '?' in name else '?'}{key.strip()}={value.strip()}"
    return name


def numbers(text: str, option: str) -> tuple[int, ...]:
    """``"0,1,2"`` or ``"0-2"`` as a sorted tuple without repetitions.

    Raises:
        SelectionError: Something is no number or range, a number is beyond 32 bits, or there are too many.

    >>> numbers("3,0-1", "--seeds")
    (0, 1, 3)
    """
    found: set[int] = set()
    for part in names(text, option):
        match = _RANGE.fullmatch(part)
        if match is None:
            raise SelectionError(f"{option} {short(part)} is no number or range; e.g. {option} 0,1,2 or {option} 0-4")
        first, last = int(match[1]), int(match[2] or match[1])
        if not first <= last < 1 << 32:
            raise SelectionError(
                f"{option} {part!r} runs from {first} to {last}; allowed is 0 to {(1 << 32) - 1}, upwards"
            )
        if last - first >= MOST_NUMBERS or len(found) >= MOST_NUMBERS:
            count = last - first + 1 + len(found)
            raise SelectionError(
                f"{option} {short(text)} asks for {count} of them; allowed are {MOST_NUMBERS} in one run"
            )
        found |= set(range(first, last + 1))
    return tuple(sorted(found))


def seconds(text: str) -> float:
    """``"90s"``, ``"30m"``, ``"2h"`` in seconds.

    >>> seconds("30m")
    1800.0
    """
    match = _DURATION.fullmatch(text.strip())
    found = float(match[1]) * _UNITS[match[2]] if match else 0.0
    if not 0 < found <= _LONGEST:
        raise SelectionError(
            f"--timeout {short(text)} is no duration up to {_LONGEST:g} s; e.g. --timeout 90s, 30m or 2h"
        )
    return found


def stacked(text: str) -> int | None:
    """``auto``, ``off`` or a number as :attr:`bench.config.settings.Settings.stack`."""
    words = {"auto": None, "off": 1}
    if text not in words and not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MOST_NUMBERS):
        raise SelectionError(f"--stack {short(text)} is not auto, off or a number of cells up to {MOST_NUMBERS}")
    return words[text] if text in words else int(text)


def choice(text: str, option: str, allowed: tuple[str, ...]) -> str:
    """``text`` if it is allowed."""
    if text not in allowed:
        raise SelectionError(f"{option} {text!r} is not one of {', '.join(allowed)}")
    return text


def device(text: str) -> str:
    """``auto`` becomes ``cuda`` where a driver shows a GPU, else ``cpu``; no torch is imported for it."""
    choice(text, "--device", ("auto", "cpu", "cuda"))
    if text == "cpu":
        return text
    from bench.measurement.nvml import NvmlMissingError, gpu_count

    try:
        return "cuda" if gpu_count() else "cpu"
    except NvmlMissingError as error:
        if text == "cuda":
            raise SelectionError(f"--device cuda: no GPU here ({error}); use --device cpu") from error
        return "cpu"
