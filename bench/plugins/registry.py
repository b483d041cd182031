"""Name -> spec, read-only, with provenance. Passed as an argument, never global."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Generic, TypeVar

from bench.errors import UnknownNameError
from bench.plugins import specs

S = TypeVar("S")


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Who gave a spec.

    Attributes:
        plugin: Name of the entry point, or of the file.
        module: Import name of the plugin module; where a factory ``":build"`` is looked up.
        distribution: Name of the distribution, empty for a file.
        version: Its version, empty for a file.
        file: Absolute path for ``--plugin FILE``, else empty.
    """

    plugin: str
    module: str
    distribution: str = ""
    version: str = ""
    file: str = ""

    def __str__(self) -> str:
        if self.file:
            return f"file {self.file}"
        return f"plugin {self.plugin!r} of {self.distribution} {self.version}".rstrip()


@dataclass(frozen=True, slots=True)
class Entry(Generic[S]):
    """A spec, who gave it and where its factory lives (``"module:function"``, never starting with a colon).

    Of a model by reference also ``reference``, what it was asked for by, valid in any folder, and a digest of the
    ``contents`` of its files and its options.
    """

    spec: S
    provenance: Provenance
    factory: str
    reference: str = ""
    contents: str = ""

    def home(self, factory: str) -> str:
        """Another factory string of the same spec (``:build`` means "in the file that declares it") in full."""
        return self.provenance.module + factory if factory.startswith(":") else factory


@dataclass(frozen=True, slots=True)
class Catalog(Generic[S]):
    """The entries of one kind, sorted by name; ``aliases`` are other words for them."""

    kind: str
    entries: Mapping[str, Entry[S]] = field(default_factory=lambda: MappingProxyType({}))
    aliases: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def __getitem__(self, name: str) -> Entry[S]:
        try:
            return self.entries[self.aliases.get(name, name)]
        except KeyError:
            raise UnknownNameError(self.kind, name, self.entries) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __contains__(self, name: object) -> bool:
        return name in self.entries or name in self.aliases

    def specs(self) -> list[S]:
        """Every spec in the order of the names."""
        return [entry.spec for entry in self.entries.values()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """Everything the plugins gave, by kind; ``references`` are the families whose models the user refers to."""

    models: Catalog[specs.ModelSpec]
    datasets: Catalog[specs.DatasetSpec]
    frontends: Catalog[specs.FrontendSpec]
    metrics: Catalog[specs.MetricSpec]
    measurements: Catalog[specs.MeasurementSpec]
    launchers: Catalog[specs.LauncherSpec]
    reporters: Catalog[specs.ReporterSpec]
    observers: Catalog[specs.ObserverSpec]
    protocols: Catalog[specs.ProtocolSpec]
    references: Catalog[specs.ModelSpec] = field(default_factory=lambda: Catalog("family of models by reference"))
    plugins: tuple[Provenance, ...] = ()
