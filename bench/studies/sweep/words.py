"""How the pages of a sweep write scores and settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.reports import formatting
from bench.statistics.draws import MIN_SEEDS


def is_percent(curve: Mapping[str, Any]) -> bool:
    """Whether the score is a fraction, shown in percent."""
    return bool(curve.get("unit", "fraction") == "fraction")


def shown(curve: Mapping[str, Any], value: float | None) -> str:
    """A score of the curve, or the sign for an unknown one."""
    return formatting.percent(value) if is_percent(curve) else formatting.significant(value)


def unit_of(curve: Mapping[str, Any]) -> str:
    """What stands behind a score."""
    return " %" if is_percent(curve) else f" {curve['unit']}".rstrip()


def over(curve: Mapping[str, Any]) -> str:
    """What is added to its intervals where they hold nothing of what another training would give."""
    return " over clips only" if len(curve["seeds"]) < MIN_SEEDS else ""


def texts_of(keys: Sequence[str], texts: Mapping[str, str]) -> str:
    """Settings with their values."""
    return ", ".join(f"{key} {texts[key]}" for key in keys)
