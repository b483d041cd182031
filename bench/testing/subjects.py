"""From the names on a command line to what is checked."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.errors import UnknownNameError
from bench.plugins.checks import KINDS
from bench.plugins.registry import Catalog, Provenance, Registry

if TYPE_CHECKING:
    from pathlib import Path

    from bench.testing.results import CheckResult, Effort, OnResult


@dataclass(frozen=True, slots=True)
class Subject:
    """One of what plugins give; ``named`` by the user, rather than in a family or ``all``, its files must be there."""

    kind: str
    name: str
    named: bool = False

    def check(
        self, registry: Registry, *, effort: Effort, data: Path | None = None, on_result: OnResult | None = None,
        tell: Callable[[str], None] = lambda _: None,
    ) -> tuple[CheckResult, ...]:  # fmt: skip
        """Run its checks; ``data`` is where data sets are looked for, ``tell`` is told what takes long."""
        required = self.named and data is not None
        options: dict[str, dict[str, Any]] = {
            "model": {"effort": effort},
            "dataset": {"data": data, "required": required, "effort": effort, "tell": tell},
        }
        check = getattr(importlib.import_module("bench.testing.conformance"), f"check_{self.kind}")
        results: tuple[CheckResult, ...] = check(self.name, registry, on_result=on_result, **options.get(self.kind, {}))
        return results


def select(names: Sequence[str], registry: Registry) -> list[Subject]:
    """What ``names`` stand for, each once: ``all``, models, families, sets, data sets, front ends, ...

    A name that several kinds carry stands for all of them.
    """
    found: dict[tuple[str, str], Subject] = {}
    for name in names:
        matches = everything(registry) if name == "all" else _matching(name, registry)
        if not matches:
            known = {subject.name for subject in everything(registry)} | {m.family for m in registry.models.specs()}
            raise UnknownNameError("model", name, [*known, "all"])
        for subject in matches:
            found.setdefault((subject.kind, subject.name), subject)
    return list(found.values())


def given_by(registry: Registry, plugins: Collection[str]) -> list[Subject]:
    """Everything that some plugins give: names of plugins or distributions, or absolute paths of ``--plugin`` files."""
    for name in plugins:
        if not any(name in _names(provenance) for provenance in registry.plugins):
            raise UnknownNameError("plugin", name, {text for p in registry.plugins for text in _names(p)[:2] if text})
    return [
        Subject(kind, name)
        for kind, catalog in _catalogs(registry)
        for name, entry in catalog.entries.items()
        if any(plugin in _names(entry.provenance) for plugin in plugins)
    ]


def everything(registry: Registry) -> list[Subject]:
    """All that can be checked, by kind and name."""
    return [Subject(kind, name) for kind, catalog in _catalogs(registry) for name in catalog]


def _catalogs(registry: Registry) -> list[tuple[str, Catalog[Any]]]:
    return [(kind.field.removesuffix("s"), getattr(registry, kind.field)) for kind in KINDS]


def _matching(name: str, registry: Registry) -> list[Subject]:
    exact = [Subject(kind, name, named=True) for kind, catalog in _catalogs(registry) if name in catalog]
    models = registry.models.specs()
    return exact or [Subject("model", spec.name) for spec in models if name == spec.family or name in spec.sets]


def _names(provenance: Provenance) -> tuple[str, str, str]:
    return provenance.plugin, provenance.distribution, provenance.file
