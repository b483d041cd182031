"""What is tolerated: one rule for each family of quantities, from a small TOML file or the defaults."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal

from bench.errors import SelectionError
from bench.results.quantities import QUANTITIES, finite
from bench.textfiles import parse_toml

Better = Literal["lower", "higher", "neither"]
Evidence = Literal["band", "change", "estimate"]

_FAMILIES = MappingProxyType({one.gated: one.family or one.gated for one in QUANTITIES if one.gated})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What is tolerated of one family of quantities; exactly one of ``relative`` and ``absolute`` is set.

    Attributes:
        relative: Tolerated worsening as a fraction of the baseline.
        absolute: Tolerated worsening in the unit of the quantity (0.02 of an accuracy = 2 points).
        better: Which direction is better, ``None`` = the quantity's own; ``neither`` = any change beyond the
            tolerance counts as worse.
        same_hardware: Whether it may be compared on the same hardware only.
        evidence: What must be worse than tolerated besides the estimate: the whole interval (``band``), or nothing
            (``estimate``, which shows no interval); with ``change`` the interval need only leave out "no change".
            Where the measurements give no interval, the estimate decides.
        level: Nominal coverage of the interval.
        skip: Leave the family out of the gate.
    """

    relative: float | None = None
    absolute: float | None = None
    better: Better | None = None
    same_hardware: bool = False
    evidence: Evidence = "band"
    level: float = 0.95
    skip: bool = False

    @property
    def tolerance(self) -> float:
        """The tolerated worsening, relative or absolute."""
        return float(self.relative if self.relative is not None else self.absolute or 0.0)


Policy = Mapping[str, Rule]
"""Family to rule."""

DEFAULTS: Policy = MappingProxyType(
    {
        "accuracy": Rule(absolute=0.02, evidence="change"),
        "score": Rule(relative=0.05, evidence="change"),
        "latency": Rule(relative=0.15, same_hardware=True),
        "throughput": Rule(relative=0.15, same_hardware=True),
        "host_memory": Rule(relative=0.03, same_hardware=True),
        "device_memory": Rule(relative=0.03),
        "parameters": Rule(relative=0.0),
        "flops": Rule(relative=0.0),
        "storage": Rule(relative=0.0),
        "counters": Rule(relative=0.01),
        "instructions": Rule(relative=0.01, same_hardware=True),
        "measurement": Rule(relative=0.15, same_hardware=True),
        "reference": Rule(relative=0.15, better="neither", same_hardware=True, skip=True),
    }
)
"""Where no policy file says otherwise. Scores that are no fraction are a ``score``, what plugins measure a
``measurement``."""

AGAINST: Policy = MappingProxyType(
    dict(DEFAULTS)
    | dict.fromkeys(("latency", "throughput", "measurement"), Rule(relative=0.015, evidence="change"))
    | dict.fromkeys(("host_memory", "device_memory"), Rule(relative=0.005, evidence="change"))
)
"""The same where both revisions are measured in turns on one machine."""


def family(quantity: str, unit: str = "", *, score: bool = False) -> str:
    """The rule that a quantity or score falls under.

    >>> family("infer_throughput"), family("macro_f1", "fraction", score=True), family("log_loss", "nats", score=True)
    ('throughput', 'accuracy', 'score')
    """
    if score:
        return "accuracy" if unit == "fraction" else "score"
    return _FAMILIES.get(quantity, "measurement")


def parse_policy(text: str, origin: str, defaults: Policy = DEFAULTS) -> Policy:
    """The ``defaults``, changed as a TOML text says: one table a family, only the keys that differ.

    Messages name the file as ``origin``.

    Raises:
        SelectionError: No TOML, an unknown family or key, or a value that is not allowed.
    """
    content = parse_toml(text, origin, error=SelectionError)
    policy = dict(defaults)
    for family, values in content.items():
        if family not in DEFAULTS:
            raise SelectionError(f"{origin}: {_unknown('quantity', family, DEFAULTS)}")
        if not isinstance(values, dict):
            raise SelectionError(f"{origin}: {family} = {values!r} is no table; write [{family}] and its keys below")
        policy[family] = _changed(defaults[family], values, f"{origin}: [{family}]")
    return MappingProxyType(policy)


def _changed(rule: Rule, values: Mapping[str, Any], where: str) -> Rule:
    for key, value in values.items():
        if key not in _ALLOWED:
            raise SelectionError(f"{where} {_unknown('key', key, _ALLOWED)}")
        fits, allowed = _ALLOWED[key]
        if not fits(value):
            raise SelectionError(f"{where} {key} = {value!r} is not allowed; give {allowed}")
    if "relative" in values and "absolute" in values:
        raise SelectionError(f"{where} has a relative and an absolute tolerance; keep one of them")
    if "relative" in values or "absolute" in values:
        rule = replace(rule, relative=None, absolute=None)
    return replace(rule, **values)


def _unknown(what: str, name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    advice = f"Did you mean {close[0]!r}? " if close else ""
    return f"no {what} named {name!r}. {advice}Known: {', '.join(names)}"


_TOLERANCE = (lambda value: finite(value) is not None and value >= 0, "a number of 0 or more, e.g. 0.05")
_LEVEL = (lambda value: finite(value) is not None and 0.5 <= value < 1, "a number from 0.5 to below 1, e.g. 0.95")
_SWITCH = (lambda value: isinstance(value, bool), "true or false")
_ALLOWED: Mapping[str, tuple[Callable[[Any], bool], str]] = MappingProxyType(
    {
        "relative": _TOLERANCE,
        "absolute": _TOLERANCE,
        "better": (lambda value: value in ("lower", "higher", "neither"), "'lower', 'higher' or 'neither'"),
        "same_hardware": _SWITCH,
        "evidence": (lambda value: value in ("band", "change", "estimate"), "'band', 'change' or 'estimate'"),
        "level": _LEVEL,
        "skip": _SWITCH,
    }
)
