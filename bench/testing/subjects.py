"""From the names on a command line to what is checked."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.errors import UnknownNameError
from bench.plugins.registry import Provenance, Registry

if TYPE_CHECKING:
    from pathlib import Path

    from bench.testing.conformance import Effort
    from bench.testing.results import CheckResult, Kind, OnResult


@dataclass(frozen=True, slots=True)
class Subject:
    """Something that can be checked.

    Attributes:
        kind: ``model``, ``dataset``, ``frontend`` or ``metric``.
        name: Under which it is registered.
        named: Whether the user named it, rather than a family or ``all``: then absent files are a failure.
    """

    kind: Kind
    name: str
    named: bool = False

    def check(
        self, registry: Registry, *, effort: Effort, data: Path | None = None, on_result: OnResult | None = None
    ) -> tuple[CheckResult, ...]:
        """Run its checks; ``data`` is where data sets are looked for."""
        from bench.testing import conformance

        if self.kind == "model":
            return conformance.check_model(self.name, registry, effort=effort, on_result=on_result)
        if self.kind == "dataset":
            required = self.named and data is not None
            return conformance.check_dataset(self.name, registry, data=data, required=required, on_result=on_result)
        if self.kind == "frontend":
            return conformance.check_frontend(self.name, registry, on_result=on_result)
        return conformance.check_metric(self.name, registry, on_result=on_result)


def select(names: Sequence[str], registry: Registry) -> list[Subject]:
    """What ``names`` stand for, each once: ``all``, models, families, sets, data sets, front ends, metrics.

    A name that several kinds carry stands for all of them.

    Raises:
        UnknownNameError: A name stands for nothing.
    """
    found: dict[tuple[Kind, str], Subject] = {}
    for name in names:
        matches = everything(registry) if name == "all" else _matching(name, registry)
        if not matches:
            raise UnknownNameError("model", name, [*_known(registry), "all"])
        for subject in matches:
            found.setdefault((subject.kind, subject.name), subject)
    return list(found.values())


def given_by(registry: Registry, plugins: Collection[str]) -> list[Subject]:
    """Everything that some plugins give.

    Args:
        registry: With these plugins loaded.
        plugins: Names of plugins or distributions, or absolute paths of ``--plugin`` files.

    Raises:
        UnknownNameError: No plugin has this name.
    """
    for name in plugins:
        if not any(_is(provenance, name) for provenance in registry.plugins):
            known = {text for p in registry.plugins for text in (p.plugin, p.distribution) if text}
            raise UnknownNameError("plugin", name, known)
    return [
        subject
        for subject in everything(registry)
        if any(_is(_provenance(subject, registry), name) for name in plugins)
    ]


def everything(registry: Registry) -> list[Subject]:
    """All that can be checked, by kind and name."""
    return [Subject(kind, name) for kind, field in _kinds() for name in getattr(registry, field)]


def _matching(name: str, registry: Registry) -> list[Subject]:
    exact = [Subject(kind, name, named=True) for kind, field in _kinds() if name in getattr(registry, field)]
    if exact:
        return exact
    models = registry.models.specs()
    return [Subject("model", spec.name) for spec in models if name == spec.family or name in spec.sets]


def _known(registry: Registry) -> set[str]:
    names = {subject.name for subject in everything(registry)}
    return names | {spec.family for spec in registry.models.specs()}


def _kinds() -> list[tuple[Kind, str]]:
    labels: list[tuple[Kind, str]] = [
        ("model", "models"), ("dataset", "datasets"), ("frontend", "frontends"), ("metric", "metrics"),
    ]  # fmt: skip
    return labels


def _provenance(subject: Subject, registry: Registry) -> Provenance:
    fields = dict(_kinds())
    provenance: Provenance = getattr(registry, fields[subject.kind])[subject.name].provenance
    return provenance


def _is(provenance: Provenance, name: str) -> bool:
    return name in (provenance.plugin, provenance.distribution, provenance.file) and bool(name)
