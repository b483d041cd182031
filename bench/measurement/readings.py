"""Reading: a number, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Number = int | float


@dataclass(frozen=True, slots=True)
class Reading:
    """One measured number, or why it could not be measured: exactly one of the two fields is set.

    Build it with :meth:`of` or :meth:`unknown`.
    """

    value: Number | None
    reason: str | None

    def __post_init__(self) -> None:
        if (self.value is None) == (self.reason is None):
            raise ValueError(f"a reading is a value or a reason, got value={self.value!r} and reason={self.reason!r}")

    @classmethod
    def of(cls, value: Number) -> Reading:
        """A known number."""
        return cls(value, None)

    @classmethod
    def unknown(cls, reason: str) -> Reading:
        """No number, for ``reason``."""
        return cls(None, reason)


def table(readings: Mapping[str, Reading]) -> dict[str, Any]:
    """Readings by name, the unit in the name (``host_peak_mib``), as JSON values.

    They are ``{name: value or None, ..., "reasons": {name: reason}}``; ``reasons`` only where a value is unknown.
    """
    values: dict[str, Any] = {name: reading.value for name, reading in readings.items()}
    reasons = {name: reading.reason for name, reading in readings.items() if reading.reason is not None}
    return {**values, "reasons": reasons} if reasons else values


def join(*tables: Mapping[str, Any]) -> dict[str, Any]:
    """Several :func:`table` results as one, their ``reasons`` united; a name given twice is refused.

    Raises:
        ValueError: Two tables hold the same name.
    """
    joined: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    for part in tables:
        values = {name: value for name, value in part.items() if name != "reasons"}
        if twice := sorted(joined.keys() & values.keys()):
            raise ValueError(f"measured twice: {', '.join(twice)}")
        joined |= values
        reasons |= part.get("reasons", {})
    return {**joined, "reasons": reasons} if reasons else joined
