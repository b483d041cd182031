"""The generated parts of ``numbers.md``: scores, measured quantities and words, each from the place that defines it."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

from bench.plugins.registry import Registry
from bench.results.quantities import QUANTITIES, Quantity

SOURCE = Path(__file__).resolve().with_name("glossary.toml")


def parts(registry: Registry, table: Callable[..., str]) -> Mapping[str, str]:
    """The tables by the name of their place on the page."""
    glossary = tomllib.loads(SOURCE.read_text(encoding="utf-8"))
    scores = [
        (f"`{spec.name}`", spec.description, spec.unit or "-", better(higher=spec.higher_is_better))
        for spec in registry.metrics.specs()
    ]
    measured = [
        (f"`{one.name}`", one.title or "-", glossary["quantities"][one.name], one.unit or "-", direction(one),
         ", ".join(f"`{path}`" for path in one.paths[:1]), f"`{one.family or one.gated}`" if one.gated else "-")
        for one in shown()
    ]  # fmt: skip
    words = [(f"**{word}**", meaning) for word, meaning in sorted(glossary["words"].items())]
    return {
        "scores": table(("score", "what it is", "unit", "better"), scores),
        "quantities": table(
            ("name", "column", "what it is", "unit", "better", "in the record", "rule of the gate"), measured
        ),
        "words": table(("word", "what it means"), words),
    }


def shown() -> tuple[Quantity, ...]:
    """What a board, its page or its CSV shows; what is left is for the gate alone."""
    return tuple(one for one in QUANTITIES if one.title or not one.gated)


def direction(one: Quantity) -> str:
    """Which way is better, as boards and gates take it."""
    return better(higher=one.higher_is_better)


def better(*, higher: bool) -> str:
    """In a word."""
    return "higher" if higher else "lower"
