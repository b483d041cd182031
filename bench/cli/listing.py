"""What the plugins give, without importing any of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bench.cli.common import OK, open_host, plain, print_json, print_table
from bench.errors import SelectionError
from bench.plugins.checks import KINDS, did_you_mean
from bench.plugins.discovery import Host
from bench.plugins.registry import Entry, Provenance
from bench.plugins.specs import ModelSpec


def _mode(spec: ModelSpec) -> str:
    """``scratch``, or what an alias fixes: ``finetune from masked``."""
    weights = spec.axes.get("weights", "random")
    return spec.axes.get("mode", "scratch") + ("" if weights == "random" else f" from {weights}")


def _inputs(spec: ModelSpec) -> str:
    """What an alias fixes, else what the model needs, and in brackets what it can use."""
    optional = f"[{'+'.join(spec.optional_modalities)}]" if spec.optional_modalities else ""
    return spec.axes.get("inputs") or "+".join((*spec.modalities, *([optional] if optional else ())))


@dataclass(frozen=True, slots=True)
class _View:
    """The columns of one kind: title -> text of a spec; ``numeric`` ones are aligned on the right."""

    columns: Mapping[str, Callable[[Any], str]]
    numeric: tuple[str, ...] = ()


_VIEWS: Mapping[str, _View] = MappingProxyType(
    {
        "models": _View(
            {
                "parameters": lambda s: _count(s.parameters),
                "mode": _mode,
                "inputs": _inputs,
                "frontend": lambda s: s.axes.get("frontend") or s.frontend or "waveform",
                "sets": lambda s: ",".join(s.sets),
            },
            ("parameters",),
        ),
        "datasets": _View(
            {
                "classes": lambda s: "?" if s.task is None else str(s.task.num_classes),
                "inputs": lambda s: "?" if s.task is None else "+".join(s.task.modalities),
                "folds": lambda s: str(len(s.folds)),
                "protocols": lambda s: ",".join(s.protocols),
                "license": lambda s: s.license,
            },
            ("classes", "folds"),
        ),
        "frontends": _View({"trainable": lambda s: "yes" if s.trainable else "no"}),
        "metrics": _View(
            {
                "better": lambda s: "higher" if s.higher_is_better else "lower",
                "unit": lambda s: s.unit,
                "tasks": lambda s: ",".join(s.task_types),
            }
        ),
        "measurements": _View(
            {"better": lambda s: "higher" if s.higher_is_better else "lower", "unit": lambda s: s.unit}
        ),
        "launchers": _View({}),
        "reporters": _View({"suffix": lambda s: s.suffix}),
        "protocols": _View(
            {
                "version": lambda s: str(s.version),
                "needs": lambda s: ",".join(s.needs),
                "validation": lambda s: s.validation,
                "epoch by": lambda s: s.select_on,
                "ranked": lambda s: "yes" if s.ranked else "no",
            },
            ("version",),
        ),
    }
)
WHAT = (*_VIEWS, "recipes", "plugins")
"""What can be listed."""


def show(
    what: str, *, as_json: bool = False, plugin: Sequence[Path] | None = None, no_plugin: Sequence[str] | None = None
) -> int:
    """Print what the plugins give of one kind, and give the exit status."""
    if what not in WHAT:
        raise SelectionError(f"nothing called {what!r} can be listed; {did_you_mean(what, WHAT)}")
    if what == "recipes":
        _list_recipes(as_json=as_json)
        return OK
    host = open_host(plugin, no_plugin)
    if what == "plugins":
        _list_plugins(host, as_json=as_json)
    else:
        entries = getattr(host.registry, what).entries
        _list_entries(_VIEWS[what], list(entries.values()), as_json=as_json)
    return OK


def _list_entries(view: _View, entries: Sequence[Entry[Any]], *, as_json: bool) -> None:
    if as_json:
        print_json([{**plain(entry.spec), "provider": plain(entry.provenance)} for entry in entries])
        return
    header = ["name", *view.columns, "provider", "description"]
    rows = [
        [
            entry.spec.name,
            *(text(entry.spec) for text in view.columns.values()),
            _provider(entry.provenance),
            _about(entry),
        ]
        for entry in entries
    ]
    print_table(header, rows, numeric=view.numeric)


def _list_plugins(host: Host, *, as_json: bool) -> None:
    rows: list[dict[str, Any]] = [
        {
            "name": provenance.plugin,
            "distribution": provenance.distribution,
            "version": provenance.version,
            "module": provenance.module,
            "file": provenance.file,
            "import_seconds": round(host.import_seconds[provenance.file or provenance.plugin], 3),
            "gives": {kind.field: _given(host, kind.field, provenance) for kind in KINDS},
        }
        for provenance in host.registry.plugins
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
    return [name for name, entry in getattr(host.registry, field).entries.items() if entry.provenance == provenance]


def _list_recipes(*, as_json: bool) -> None:
    from bench.config.recipes import BUILTIN, resolve

    recipes = [resolve(name) for name in BUILTIN]
    if as_json:
        print_json([recipe.model_dump(mode="json") for recipe in recipes])
        return
    settings = ["epochs", "batch", "optimizer", "lr", "schedule", "ema", "spec_masks", "mixup_alpha", "budget_seconds"]
    rows = [[recipe.name, *(_setting(getattr(recipe, key)) for key in settings)] for recipe in recipes]
    print_table(["name", *settings], rows, numeric=settings)


def _setting(value: object) -> str:
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _about(entry: Entry[Any]) -> str:
    spec = entry.spec
    if isinstance(spec, ModelSpec) and spec.alias_of:
        axes = ", ".join(f"{axis} {value}" for axis, value in spec.axes.items())
        return f"alias of {spec.alias_of}" + (f" with {axes}" if axes else "")
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
