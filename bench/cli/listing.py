"""What the plugins give, without importing any of it."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bench.cli.common import OK, open_host, print_json, print_table, room
from bench.errors import SelectionError, did_you_mean
from bench.plugins.checks import KINDS, Kind
from bench.plugins.discovery import Host
from bench.plugins.factories import FACTORY, HANDED, load_factory, options_of
from bench.plugins.registry import Entry, Provenance
from bench.plugins.specs import ModelSpec
from bench.results.writing import plain


def _mode(spec: ModelSpec) -> str:
    """``scratch``, or what an alias fixes: ``finetune from masked``."""
    weights = spec.axes.get("weights", "random")
    return spec.axes.get("mode", "scratch") + ("" if weights == "random" else f" from {weights}")


def _inputs(spec: ModelSpec) -> str:
    """What an alias fixes, else what the model needs, and in brackets what it can use."""
    optional = f"[{'+'.join(spec.optional_modalities)}]" if spec.optional_modalities else ""
    return spec.axes.get("inputs") or "+".join((*spec.modalities, *([optional] if optional else ())))


Columns = Mapping[str, Callable[[Any], Any]]
"""Title -> value of a spec."""
_COLUMNS: Mapping[str, Columns] = MappingProxyType(
    {
        "models": {
            "parameters": lambda s: s.parameters,
            "mode": _mode,
            "inputs": _inputs,
            "frontend": lambda s: s.axes.get("frontend") or s.frontend or "waveform",
            "sets": lambda s: s.sets,
        },
        "datasets": {
            "classes": lambda s: None if s.task is None else s.task.num_classes,
            "inputs": lambda s: "?" if s.task is None else "+".join(s.task.modalities),
            "folds": lambda s: len(s.folds),
            "protocols": lambda s: s.protocols,
            "license": lambda s: s.license,
        },
    }
)
"""Of kinds with more fields than a table can show; every other kind shows the fields of its specs."""
WHAT = (*(kind.field for kind in KINDS), "recipes", "suites", "plugins")
"""What can be listed."""


def _columns(kind: Kind) -> Columns:
    hidden = ("name", "description", kind.factory)
    names = [field.name for field in dataclasses.fields(kind.spec) if field.name not in hidden]
    shown = [name for name in names if "Mapping" not in str(kind.spec.__annotations__[name])]
    return _COLUMNS.get(kind.field) or {name.replace("_", " "): operator.attrgetter(name) for name in shown}


def show(
    what: str, *, options: bool = False, wide: bool = False, as_json: bool = False,
    plugin: Sequence[Path] | None = None, no_plugin: Sequence[str] | None = None,
) -> int:  # fmt: skip
    """Print what the plugins give of one kind, and give the exit status."""
    if what not in WHAT:
        raise SelectionError(f"nothing called {what!r} can be listed; {did_you_mean(what, WHAT)}")
    if options and what != "models":
        raise SelectionError(f"--options is for models; {what} have none that `--set model.KEY=VALUE` changes")
    if what in ("recipes", "suites"):
        (_list_recipes if what == "recipes" else _list_suites)(as_json=as_json)
        return OK
    host = open_host(plugin, no_plugin, settings=False)
    if what == "plugins":
        _list_plugins(host, as_json=as_json)
    else:
        kind = next(kind for kind in KINDS if kind.field == what)
        entries = list(getattr(host.registry, what).entries.values())
        if what == "models":
            entries += host.registry.references.entries.values()
        if options:
            _list_options(entries, as_json=as_json)
        else:
            _list_entries(_columns(kind), entries, as_json=as_json, wide=wide)
    return OK


def _list_options(entries: Iterable[Entry[ModelSpec]], *, as_json: bool) -> None:
    """Of each model that is no alias the options of its factory, as they are before ``--set`` changes them."""
    found: list[dict[str, Any]] = []
    for entry in entries:
        spec = entry.spec
        home, handed = entry.home(spec.reference or entry.factory), () if spec.reference else HANDED
        known = {} if spec.alias_of else options_of(load_factory(home), handed)
        options = {p.name: str(p.replace(default=spec.options.get(p.name, p.default))) for p in known.values()}
        found += [{"name": spec.usage, "options": options}] if options else []
    if as_json:
        print_json(found)
    else:
        print_table(["name", "options"], [[one["name"], ", ".join(one["options"].values())] for one in found])


def _list_entries(columns: Columns, entries: Sequence[Entry[Any]], *, as_json: bool, wide: bool) -> None:
    if as_json:
        print_json([{**plain(entry.spec), "provider": plain(entry.provenance)} for entry in entries])
        return
    if grouped := room(wide=wide) is not None:  # aliases stand below their model
        entries = sorted(entries, key=lambda e: (getattr(e.spec, "alias_of", None) or e.spec.name, _is_alias(e)))
    values = {title: [read(entry.spec) for entry in entries] for title, read in columns.items()}
    numeric = [title for title, found in values.items() if all(type(value) in (int, type(None)) for value in found)]
    texts = [[_cell(title, found[place]) for title, found in values.items()] for place in range(len(entries))]
    rows = [
        [_named(e, grouped=grouped), *text, _provider(e.provenance), _about(e, grouped=grouped)]
        for e, text in zip(entries, texts, strict=True)
    ]
    print_table(["name", *columns, "provider", "description"], rows, numeric=numeric, wide=wide)


def _named(entry: Entry[Any], *, grouped: bool) -> str:
    name, mark, _ = usage = getattr(entry.spec, "usage", entry.spec.name).partition("?")
    return "  " * _is_alias(entry) + name + ("?..." if mark else "") if grouped else "".join(usage)


def _is_alias(entry: Entry[Any]) -> bool:
    return bool(getattr(entry.spec, "alias_of", None))


def _cell(title: str, value: object) -> str:
    if title == "parameters":
        return _count(value if isinstance(value, int) else None)
    if value is None or isinstance(value, bool):
        return {None: "?", True: "yes", False: "no"}[value]
    if isinstance(value, str) and FACTORY.fullmatch(value):
        return "yes"  # it names code: whether there is any is what a table can say
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _list_plugins(host: Host, *, as_json: bool) -> None:
    rows: list[dict[str, Any]] = [
        {
            "name": given.plugin,
            **{name: getattr(given, name) for name in ("distribution", "version", "module", "file")},
            "import_seconds": round(host.import_seconds[given.file or given.plugin], 3),
            "gives": {kind.field: _given(host, kind.field, given) for kind in KINDS},
        }
        for given in host.registry.plugins
    ]
    if as_json:
        print_json(rows)
        return
    table = [
        [
            row["name"],
            f"{row['distribution']} {row['version']}".strip() or row["file"],
            row["module"],
            ", ".join(f"{len(names)} {field}" for field, names in row["gives"].items() if names) or "observers",
        ]
        for row in rows
    ]
    print_table(["name", "distribution", "module", "gives"], table)


def _given(host: Host, field: str, provenance: Provenance) -> list[str]:
    entries = [*getattr(host.registry, field).entries.values()]
    entries += host.registry.references.entries.values() if field == "models" else ()
    return [entry.spec.name for entry in entries if entry.provenance == provenance]


def _list_recipes(*, as_json: bool) -> None:
    from bench.config.recipes import BUILTIN, resolve

    recipes = [resolve(name) for name in BUILTIN]
    if as_json:
        print_json([recipe.model_dump(mode="json") for recipe in recipes])
        return
    settings = ["epochs", "batch", "optimizer", "lr", "schedule", "ema", "spec_masks", "mixup_alpha", "budget_seconds"]
    rows = [[recipe.name, *(_setting(getattr(recipe, key)) for key in settings)] for recipe in recipes]
    print_table(["name", *settings], rows, numeric=settings)


def _list_suites(*, as_json: bool) -> None:
    from bench.config.suites import built_in

    suites = built_in()
    if as_json:
        print_json([suite.model_dump(mode="json") for suite in suites])
        return
    rows = [[suite.name, suite.aggregate, ", ".join(suite.datasets), suite.title] for suite in suites]
    print_table(["name", "number of a model", "data sets", "description"], rows)


def _setting(value: object) -> str:
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _about(entry: Entry[Any], *, grouped: bool) -> str:
    spec = entry.spec
    if isinstance(spec, ModelSpec) and spec.alias_of:
        axes = ", ".join(f"{axis} {value}" for axis, value in spec.axes.items())
        return axes if grouped else f"alias of {spec.alias_of}" + (f" with {axes}" if axes else "")
    return str(spec.description)


def _provider(provenance: Provenance) -> str:
    return provenance.distribution or provenance.plugin


def _count(parameters: int | None) -> str:
    """A parameter count with three digits: ``4.51 M``; unknown is ``?``."""
    if parameters is None:
        return "?"
    for factor, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if parameters >= 0.9995 * factor:  # what rounds to 1.00 of a unit is written in that unit
            return f"{parameters / factor:#.3g}".rstrip(".") + f" {unit}"
    return str(parameters)
