"""Counts and protocols in words, as notes of a board and reports use them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def numbers(values: Iterable[int]) -> str:
    """Whole numbers, runs shortened.

    >>> numbers([1, 2, 3, 5]), numbers([0, 1]), numbers([])
    ('1-3, 5', '0, 1', 'none')
    """
    runs: list[list[int]] = []
    for value in sorted(set(values)):
        if runs and value == runs[-1][-1] + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    parts = [
        part
        for run in runs
        for part in ([f"{run[0]}-{run[-1]}"] if len(run) > 2 else [str(value) for value in run])
    ]  # fmt: skip
    return ", ".join(parts) or "none"


def labelled(noun: str, values: Iterable[int]) -> str:
    """``fold 1``, ``folds 1-3, 5``."""
    known = sorted(set(values))
    return f"{noun}{'' if len(known) == 1 else 's'} {numbers(known)}"


def plural(amount: int, noun: str) -> str:
    """``1 clip``, ``2 clips``."""
    return f"{amount} {noun}{'' if amount == 1 else 's'}"


def between(amounts: Iterable[int], noun: str) -> str:
    """``3 seeds``, ``3 to 5 seeds``."""
    known = sorted(amounts)
    return plural(known[-1], noun) if known[0] == known[-1] else f"{known[0]} to {plural(known[-1], noun)}"


def protocol(block: Mapping[str, Any]) -> str:
    """A protocol as its record describes it, else what the record says of its parts."""
    if words := block.get("description"):
        return str(words)
    select_on, validation = str(block.get("select_on", "none")), str(block.get("validation", "none"))
    chosen = {"none": "no selection", "validation": "epoch chosen on validation", "test": "epoch chosen on test"}
    held = {
        "none": "no validation part",
        "next_fold": "validation on the next fold",
        "split": "its own validation part",
    }
    return ", ".join((held.get(validation, validation), chosen.get(select_on, select_on)))
