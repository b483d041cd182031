"""The generated parts of docs/plugins.md: fields of specs as discovery checks them, and what a board is made of."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import bench
from bench.allowed import Allowed
from bench.analysis import model
from bench.plugins.checks import KINDS, spelled
from bench.results.records import Score


def parts(table: Callable[..., str]) -> dict[str, str]:
    """The contents of each generated part, by its name."""
    return {"fields": field_tables(table), "board": board_text()}


def field_tables(table: Callable[..., str]) -> str:
    """Every spec, ``TaskInfo`` and ``Clips``: fields, types, bounds and defaults."""
    parts = []
    for of in (*(kind.spec for kind in KINDS), bench.TaskInfo, bench.Clips):
        hints = of.__annotations__ if of is bench.Clips else get_type_hints(of, include_extras=True)
        rows = [(f"`{f.name}`", *type_and_bounds(hints[f.name]), default_of(f)) for f in dataclasses.fields(of)]
        parts.append(f"\n### `{of.__name__}`\n\n" + table(("field", "type", "allowed", "default"), rows))
    return "".join(parts) + "\n"


def type_and_bounds(hint: Any) -> tuple[str, str]:
    """An annotation as an author writes it, and in words what it allows beyond the type."""
    if isinstance(hint, str):  # what only a type checker can read
        return f"`{hint}`", ""
    found, rest = [], [hint]
    while rest:
        each = rest.pop(0)
        found += [one.words for one in getattr(each, "__metadata__", ()) if isinstance(one, Allowed)]
        rest += get_args(each)[: 1 if get_origin(each) is Annotated else None]
    return f"`{spelled(hint).replace('NoneType', 'None')}`", "; ".join(dict.fromkeys(found))


def default_of(field: dataclasses.Field[Any]) -> str:
    """Of a field, or that it has none."""
    if field.default is not dataclasses.MISSING:
        return f"`{field.default!r}`"
    return "required" if field.default_factory is dataclasses.MISSING else "empty"


def board_text() -> str:
    """What a board is made of: the attributes of its classes in words."""
    texts = [(of.__name__, inspect.getdoc(of) or "") for of in (model.Board, model.Section, model.Row, Score)]
    return "".join(f"\n### `{name}`\n\n```text\n{text}\n```\n" for name, text in texts) + "\n"
