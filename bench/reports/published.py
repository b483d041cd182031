"""Results from elsewhere: a small TOML file, shown beside the measured rows and never ranked with them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.analysis.model import Published
from bench.errors import DataError, short
from bench.metrics.specs import PRIMARY
from bench.textfiles import read_toml

FILE_NAME = "published.toml"
_NEEDED: Mapping[str, type] = {"dataset": str, "system": str, "percent": float, "protocol": str, "source": str}
_OPTIONAL: Mapping[str, type] = {"plus_minus": float, "metric": str, "trained_on": str}


def find_published(folder: Path) -> Path | None:
    """The nearest ``published.toml`` in ``folder`` or up to three folders above it."""
    start = folder.resolve()
    for place in (start, *start.parents[:3]):
        if (place / FILE_NAME).is_file():
            return place / FILE_NAME
    return None


def read_published(path: Path) -> tuple[Published, ...]:
    """The entries of a file of published results.

    Args:
        path: TOML with ``[[result]]`` tables: ``dataset``, ``system``, ``percent``, ``protocol``, ``source`` and
            optionally ``plus_minus`` (points), ``metric``, ``trained_on``.

    Raises:
        DataError: It cannot be read, or entries are incomplete; all of them are named together.
    """
    entries = read_toml(path).get("result", [])
    if not isinstance(entries, list):
        raise DataError(f"{path}: result = {short(entries)} is no list of tables; write [[result]] above each entry")
    problems = [f"  - result {number}: {text}" for number, entry in enumerate(entries, 1) for text in _wrong(entry)]
    if problems:
        raise DataError("\n".join([f"{path} holds entries that cannot be shown:", *problems]))
    return tuple(
        sorted((_entry(entry) for entry in entries), key=lambda entry: (entry.dataset, entry.value, entry.system))
    )


def _wrong(entry: object) -> list[str]:
    if not isinstance(entry, dict):
        return [f"{short(entry)} is no table; write [[result]] above its keys"]
    lines = [f"{name} is missing" for name in _NEEDED if name not in entry]
    for name, value in entry.items():
        kind = {**_NEEDED, **_OPTIONAL}.get(name)
        if kind is None:
            lines.append(f"{name} is no key; known: {', '.join([*_NEEDED, *_OPTIONAL])}")
        elif not isinstance(value, (int, float) if kind is float else kind) or isinstance(value, bool):
            lines.append(f"{name} = {short(value)} is no {'number' if kind is float else 'text'}")
        elif isinstance(value, int | float) and not 0 <= value <= 100:
            lines.append(f"{name} = {short(value)} is not between 0 and 100")
    return lines


def _entry(entry: Mapping[str, Any]) -> Published:
    spread = entry.get("plus_minus")
    return Published(
        dataset=entry["dataset"],
        system=entry["system"],
        value=float(entry["percent"]) / 100,
        plus_minus=None if spread is None else float(spread) / 100,
        metric=entry.get("metric", PRIMARY["single_label"]),
        protocol=entry["protocol"],
        trained_on=entry.get("trained_on", ""),
        source=entry["source"],
    )
