"""Entry points and ``--plugin`` files -> registry: guarded, sorted, with provenance.

Every plugin is tried; everything that is wrong with any of them is reported in one error, so that a board never
silently lacks rows. Importing this module imports no plugin.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import json
import time
import types
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pluggy

from bench.cell import WAVEFORM
from bench.errors import PluginError, UnknownNameError, did_you_mean
from bench.plugins import hookspecs
from bench.plugins.checks import KINDS, Kind, shape_problem, spec_problems
from bench.plugins.registry import Catalog, Entry, Provenance, Registry
from bench.plugins.sources import GROUP, Candidate, describe, from_file, in_memory, installed
from bench.plugins.specs import DatasetSpec, ModelSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What discovery gives; the seconds that each import took stand by plugin name, or by path for a file."""

    registry: Registry
    manager: pluggy.PluginManager
    import_seconds: Mapping[str, float]

    @property
    def hook(self) -> Any:
        """The hooks; observers are called as ``host.hook.bench_cell_start(cell=cell)``."""
        return self.manager.hook


_Problems = list[tuple[Provenance, str, BaseException | None]]
"""Whose, what, and what was raised, for its traceback."""


def _refuse(problems: _Problems) -> None:
    """Everything found wrong, raised together."""
    if not problems:
        return
    lines = [f"  - {provenance}: {text}" for provenance, text, _ in problems]
    names = sorted({p.plugin for p, *_ in problems if not p.file})
    advice = ["go on without: " + " ".join(f"--no-plugin {name}" for name in names)] if names else []
    advice += [f"leave out --plugin {f}" for f in sorted({p.file for p, *_ in problems if p.file})]
    count = "1 problem" if len(lines) == 1 else f"{len(lines)} problems"
    text = "\n".join([f"{count} with plugins:", *lines, f"Mend, or {', or '.join(advice)}"])
    if raised := [error for *_, error in problems if error is not None]:
        text += "\n`bench check all --debug`, with the same --plugin, shows the traceback"
    raise PluginError(text) from (BaseExceptionGroup("what plugins raised", raised) if raised else None)


def plugin_manager() -> pluggy.PluginManager:
    """A fresh manager that knows the hooks and holds no plugin."""
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    return manager


def discover(
    files: Sequence[Path] = (),
    *,
    without: Collection[str] = (),
    entry_points: Iterable[importlib.metadata.EntryPoint] | None = None,
) -> Registry:
    """The registry of all installed plugins and of ``files``; see :func:`load`."""
    return load(files, without=without, entry_points=entry_points).registry


def load(
    files: Sequence[Path] = (),
    *,
    without: Collection[str] = (),
    entry_points: Iterable[importlib.metadata.EntryPoint] | None = None,
    settings: bool = True,
) -> Host:
    """Load every plugin and ask it what it gives.

    Args:
        files: Python files given with ``--plugin``. Their folders are appended to ``sys.path``.
        without: Plugins (entry-point or file names) or distributions to leave out.
        entry_points: Instead of the installed ones of the group ``bench``.
        settings: Whether the recipe settings in specs are checked too; a listing, which runs none, does without.

    Raises:
        PluginError: Any plugin is broken, collides with another or breaks a hook's contract; names all of them.
        UnknownNameError: A name in ``without`` matches nothing.
    """
    candidates = [*installed(entry_points), *map(from_file, dict.fromkeys(path.resolve() for path in files))]
    return _assemble(_leave_out(candidates, without), settings=settings)


def load_modules(*modules: types.ModuleType) -> Host:
    """Discovery over modules in memory and nothing else, each a plugin under its import name."""
    return _assemble([in_memory(module) for module in modules])


def _assemble(candidates: list[Candidate], *, settings: bool = True) -> Host:
    problems: _Problems = []
    kept = _unique(candidates, problems)
    manager, seconds = plugin_manager(), {}
    for candidate in kept:
        start = time.perf_counter()
        _register(manager, candidate, problems)
        seconds[candidate.key] = time.perf_counter() - start
    givers = {candidate.key: candidate.provenance for candidate in kept}
    catalogs = {kind.field: _collect(manager, kind, givers, problems, settings=settings) for kind in KINDS}
    catalogs |= _by_reference(catalogs["models"])
    _refuse(problems)
    registry = Registry(**catalogs, plugins=tuple(sorted(givers.values(), key=lambda p: (p.plugin, p.file))))
    _check_references(registry, problems)
    _refuse(problems)
    return Host(registry=registry, manager=manager, import_seconds=MappingProxyType(seconds))


def _leave_out(candidates: list[Candidate], without: Collection[str]) -> list[Candidate]:
    known = {name for c in candidates for name in (c.provenance.plugin, c.provenance.distribution) if name}
    for name in sorted(without):
        if name not in known:
            raise UnknownNameError("plugin", name, known)
    return [c for c in candidates if not {c.provenance.plugin, c.provenance.distribution} & set(without)]


def _unique(candidates: list[Candidate], problems: _Problems) -> list[Candidate]:
    """One candidate per plugin; a name that stands for two different modules is a problem."""
    unique = []
    for _, group in groupby(sorted(candidates, key=lambda c: (c.key, c.value)), key=lambda c: c.key):
        first, *others = group
        unique.append(first)
        for other in others:
            if other.value != first.value:
                text = (
                    f"its name is taken by {first.value} of {first.provenance.distribution} "
                    f"{first.provenance.version} (this one is {other.value}); uninstall one of the two, "
                    f"or --no-plugin {other.provenance.distribution}"
                )
                problems.append((other.provenance, text, None))
    return unique


def _register(manager: pluggy.PluginManager, candidate: Candidate, problems: _Problems) -> None:
    provenance, before = candidate.provenance, dict(vars(json))
    try:
        plugin = candidate.load()
    except (Exception, SystemExit) as error:  # noqa: BLE001  a plugin may raise anything; it is reported below
        error.add_note(f"raised by {provenance}")
        problems.append((provenance, describe(error, provenance.file), error))
        return
    mistakes = list(_hook_mistakes(manager, plugin))
    if replaced := sorted(name for name, value in before.items() if vars(json).get(name) is not value):
        vars(json).update(before)
        mistakes.append(
            f"its import replaces json.{replaced[0]}, which results are written with; do it where it is used"
        )
    if manager.is_registered(plugin):
        mistakes.append(f"{candidate.value} is already the plugin {manager.get_name(plugin)!r}")
    if not mistakes:
        try:
            manager.register(plugin, name=candidate.key)
        except pluggy.PluginValidationError as error:
            mistakes.append(" ".join(str(error).split()))
    problems += [(provenance, mistake, None) for mistake in mistakes]


def _hook_mistakes(manager: pluggy.PluginManager, plugin: object) -> Iterator[str]:
    """What pluggy would accept without a word: misspelt hooks, forgotten markers, no hook at all."""
    known = {name for name in vars(hookspecs) if name.startswith("bench_")}
    module = isinstance(plugin, types.ModuleType)
    hooks = 0
    for name in [n for n, value in vars(plugin).items() if callable(value)] if module else dir(plugin):
        options = manager.parse_hookimpl_opts(plugin, name)
        if options is None:
            value = inspect.getattr_static(plugin, name, None)
            own = inspect.isfunction(value) and value.__module__ == getattr(plugin, "__name__", None)
            if own and (name in known or name.startswith("bench_add_")):
                hooks += 1
                yield f"{name}() is not marked; write @hookimpl above it (from bench import hookimpl)"
            continue
        hooks += 1
        hook = options.get("specname") or name
        if hook not in known:
            yield f"{hook} is no hook; {did_you_mean(hook, known)}"
        elif options.get("wrapper") or options.get("hookwrapper"):
            yield f"{hook} cannot be a wrapper"
    if not hooks:
        yield "it has no function marked @hookimpl, so it gives nothing"


def _collect(
    manager: pluggy.PluginManager, kind: Kind, givers: Mapping[str, Provenance], problems: _Problems, *, settings: bool
) -> Catalog[Any]:
    entries: dict[str, Entry[Any]] = {}
    for impl in getattr(manager.hook, kind.hook).get_hookimpls():
        provenance = givers[impl.plugin_name]
        try:
            result = impl.function()
            wrong = shape_problem(kind, result)
            specs = [] if wrong else list(result)
        except (Exception, SystemExit) as error:  # noqa: BLE001  a plugin may raise anything; it is reported below
            error.add_note(f"raised by {provenance}")
            problems.append((provenance, f"{kind.hook}() raised {describe(error, provenance.file)}", error))
            continue
        if wrong:
            problems.append((provenance, wrong, None))
        for spec in specs:
            mistakes = _mistakes(kind, spec, provenance, settings=settings)
            problems += [(provenance, mistake, None) for mistake in mistakes]
            if mistakes:
                continue
            if spec.name in entries:
                other = entries[spec.name].provenance
                who = "itself a second time" if other == provenance else f"also given by {other}"
                problems.append((provenance, f"{kind.label} {spec.name!r} is {who}; names must be unique", None))
                continue
            factory = getattr(spec, kind.factory)
            home = provenance.module if factory.startswith(":") else ""
            entries[spec.name] = Entry(spec, provenance, home + factory)
    return Catalog(kind.label, MappingProxyType(dict(sorted(entries.items()))))


def _mistakes(kind: Kind, spec: object, provenance: Provenance, *, settings: bool) -> list[str]:
    try:
        return spec_problems(kind, spec, provenance.module, settings=settings)
    except Exception as error:  # noqa: BLE001  values of a plugin's own classes may raise anything when looked at
        return [f"a spec of {kind.hook}() cannot be checked: {describe(error, provenance.file)}"]


def _by_reference(models: Catalog[ModelSpec]) -> dict[str, Catalog[Any]]:
    """The models, and apart from them the families whose models have still to be referred to."""
    parts: tuple[dict[str, Entry[ModelSpec]], ...] = ({}, {})
    for name, entry in models.entries.items():
        parts[entry.spec.reference is not None][name] = entry
    kinds = {"models": models.kind, "references": "family of models by reference"}
    return {key: Catalog(kind, MappingProxyType(part)) for (key, kind), part in zip(kinds.items(), parts, strict=True)}


def _check_references(registry: Registry, problems: _Problems) -> None:
    """Names in specs that stand for other specs."""
    for name, entry in (*registry.models.entries.items(), *registry.references.entries.items()):
        found = _model_references(entry.spec, registry)
        problems += [(entry.provenance, f"model {name!r}: {text}", None) for text in found]
    for name, given in registry.datasets.entries.items():
        wrong = _dataset_references(given.spec, registry)
        problems += [(given.provenance, f"data set {name!r}: {text}", None) for text in wrong]


def _model_references(spec: ModelSpec, registry: Registry) -> Iterator[str]:
    if spec.alias_of is not None and spec.alias_of not in registry.models:
        yield f"alias_of {spec.alias_of!r}; {did_you_mean(spec.alias_of, registry.models)}"
    elif spec.alias_of is not None and registry.models[spec.alias_of].spec.alias_of is not None:
        yield f"alias_of {spec.alias_of!r}, which is itself an alias"
    for field_name, frontend in (("frontend", spec.frontend), ("axes['frontend']", spec.axes.get("frontend"))):
        if frontend not in (None, WAVEFORM) and frontend not in registry.frontends:
            yield f"{field_name} {frontend!r}; {did_you_mean(frontend, registry.frontends)}"


def _dataset_references(spec: DatasetSpec, registry: Registry) -> Iterator[str]:
    for protocol in spec.protocols:
        if registry.protocols and protocol not in registry.protocols:
            yield f"protocols {protocol!r}; {did_you_mean(protocol, registry.protocols)}"
    metric = spec.primary_metric
    if metric is not None and metric not in registry.metrics:
        yield f"primary_metric {metric!r}; {did_you_mean(metric, registry.metrics)}"
    elif metric is not None and spec.task is not None:
        known = registry.metrics[metric].spec.task_types
        if spec.task.task_type not in known:
            yield f"primary_metric {metric!r}; which is for {' and '.join(known)}, not {spec.task.task_type}"
    reads = registry.metrics[metric].spec.reads if metric is not None and metric in registry.metrics else "logits"
    if reads != "logits":
        yield f"primary_metric {metric!r} reads {reads}, which trained networks lack; name one that reads logits"
