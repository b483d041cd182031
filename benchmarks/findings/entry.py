"""What a finding is, and how two measurements of it are compared."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

Origin = Literal["measured", "computed", "cited"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """One number of a finding.

    Attributes:
        what: What it is, one line.
        value: An integer for counts; floats are kept to four significant digits.
        unit: ``"%"``, ``"Hz"``, ``"sd"``, ... or empty.
        spread: How far it moves and over what, empty where it cannot move.
        origin: ``measured`` here, ``computed`` here from published figures, or ``cited``.
        tolerance: Largest difference that ``--check`` accepts, in the unit.
    """

    what: str
    value: float | int
    unit: str = ""
    spread: str = ""
    origin: Origin = "measured"
    tolerance: float = 0.0

    def rounded(self) -> dict[str, Any]:
        """As it stands in the JSON file."""
        content = asdict(self)
        if isinstance(self.value, float):
            content["value"] = significant(self.value)
        return content


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A claim or practice and what it comes to.

    Attributes:
        title: What was found, one sentence without a full stop.
        source: Document, repository, section or file.
        practice: What it says or does.
        method: What was done here, assumptions included.
        numbers: The first is the headline.
        instead: What bench does.
    """

    title: str
    source: str
    practice: str
    method: str
    numbers: tuple[Number, ...]
    instead: str

    def as_json(self) -> dict[str, Any]:
        """As it stands in the JSON file."""
        return {**asdict(self), "numbers": [number.rounded() for number in self.numbers]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """How a finding is made; ``find`` gets the folder with the real clips where ``needs_data``."""

    find: Callable[[Path | None], Finding]
    needs_data: bool = False


def significant(value: float, digits: int = 4) -> float:
    """``value`` to so many significant digits.

    >>> significant(0.0123456)
    0.01235
    """
    return float(f"{value:.{digits - 1}e}")


def differences(made: Mapping[str, Any], stored: Mapping[str, Any]) -> list[str]:
    """What a new measurement of one finding has other than the stored one, in words."""
    words = [f"{key} is worded differently" for key in made if key != "numbers" and made[key] != stored.get(key)]
    new, old = made["numbers"], stored.get("numbers", [])
    if [number["what"] for number in new] != [number["what"] for number in old]:
        return [*words, "its numbers are others"]
    for here, there in zip(new, old, strict=True):
        off = abs(here["value"] - there["value"])
        slack = 1e-3 * abs(there["value"]) if here["tolerance"] == 0 and isinstance(here["value"], float) else 0.0
        if not off <= max(here["tolerance"], slack) or math.isnan(off):
            words.append(f"{here['what']}: {here['value']} instead of {there['value']} (+- {here['tolerance']})")
    return words
