"""What discovery demands of the specs that plugins return; every mistake in words, none raised."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from bench.plugins.factories import FACTORY
from bench.plugins.specs import (
    DatasetSpec,
    FrontendSpec,
    LauncherSpec,
    MetricSpec,
    Modality,
    ModelSpec,
    ProtocolSpec,
    ReporterSpec,
)

NAME = re.compile(r"[a-z0-9_.+-]+")
RESERVED = frozenset({"all", "default", "documented"})
"""What ``--models`` takes besides names."""
AXES = ("mode", "weights", "frontend", "feeding", "inputs")
"""The axes an alias may fix."""
OWN_AXES = ("mode", "weights", "inputs")
"""Those that a model of its own may fix too: how it is meant to be trained. Its front end is a field."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of thing plugins give.

    Attributes:
        field: Attribute of the registry, and the end of the hook's name.
        label: For messages.
        spec: Type that the hook's results must have.
        factory: Attribute of the spec that names its code, empty where it has none.
    """

    field: str
    label: str
    spec: type
    factory: str

    @property
    def hook(self) -> str:
        """Name of the hook that gives them."""
        return f"bench_add_{self.field}"


KINDS: tuple[Kind, ...] = (
    Kind("models", "model", ModelSpec, "factory"),
    Kind("datasets", "data set", DatasetSpec, "load"),
    Kind("frontends", "front end", FrontendSpec, "factory"),
    Kind("metrics", "metric", MetricSpec, "compute"),
    Kind("launchers", "launcher", LauncherSpec, "factory"),
    Kind("reporters", "reporter", ReporterSpec, "render"),
    Kind("protocols", "protocol", ProtocolSpec, ""),
)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence that names what is close, or else everything that is known."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=2, cutoff=0.6)
    if close:
        return f"did you mean {' or '.join(map(repr, close))}?"
    return f"known: {', '.join(names) or 'none'}"


def shape_problem(kind: Kind, result: Any) -> str | None:
    """Why a hook's return value is no iterable of specs, ``None`` if it may be one."""
    if isinstance(result, kind.spec):
        return f"{kind.hook}() returned one {kind.spec.__name__}; return a list: [{kind.spec.__name__}(...)]"
    if isinstance(result, (str, bytes, Mapping)) or not isinstance(result, Iterable):
        said = "None; is a `return` missing?" if result is None else f"{_short(result)}, a {type(result).__name__}"
        return f"{kind.hook}() must return a list of {kind.spec.__name__}, not {said}"
    return None


def spec_problems(kind: Kind, spec: Any, module: str) -> Iterator[str]:
    """What is wrong with one spec on its own.

    Args:
        kind: Which hook it came from.
        spec: The returned item.
        module: Import name of the plugin module, where ``":function"`` is looked up.
    """
    if not isinstance(spec, kind.spec):
        yield f"{kind.hook}() gave {_short(spec)}, a {type(spec).__name__}; it must give {kind.spec.__name__}"
        return
    name = getattr(spec, "name", None)
    if not isinstance(name, str) or not NAME.fullmatch(name):
        yield f"{kind.label} name {name!r} may hold only a-z, 0-9, '_', '.', '+' and '-'"
    elif kind.field == "models" and name in RESERVED:
        yield f"model name {name!r} is reserved: `--models {name}` is a selection"
    if kind.factory:
        yield from _factory_problems(f"{kind.label} {name!r}: {kind.factory}", getattr(spec, kind.factory), module)
    for optional in ("per_clip", "weighted") if isinstance(spec, MetricSpec) else ():
        if (function := getattr(spec, optional)) is not None:
            yield from _factory_problems(f"metric {name!r}: {optional}", function, module)
    if isinstance(spec, ModelSpec):
        yield from _model_problems(spec)


def _factory_problems(where: str, factory: Any, module: str) -> Iterator[str]:
    match = FACTORY.fullmatch(factory) if isinstance(factory, str) else None
    if match is None:
        yield f"{where} {factory!r} is not of the form 'package.module:function' or ':function'"
    elif match["module"] is None:
        home = sys.modules.get(module)
        first = match["attribute"].partition(".")[0]
        if home is not None and not hasattr(home, first):
            functions = [n for n in dir(home) if callable(getattr(home, n)) and not n.startswith("_")]
            yield f"{where} {factory!r}: the plugin has no function {first!r}; {did_you_mean(first, functions)}"


def _model_problems(spec: ModelSpec) -> Iterator[str]:
    for modality in (*spec.modalities, *spec.optional_modalities, *spec.derived):
        if modality not in get_args(Modality):
            yield f"model {spec.name!r}: modality {modality!r}; {did_you_mean(modality, get_args(Modality))}"
    if spec.alias_of is None and (fixed := [axis for axis in spec.axes if axis in AXES and axis not in OWN_AXES]):
        own = ", ".join(OWN_AXES)
        yield f"model {spec.name!r} fixes {', '.join(fixed)} but is no alias: it may fix {own}; set alias_of"
    for axis in spec.axes:
        if axis not in AXES:
            yield f"model {spec.name!r}: axis {axis!r}; {did_you_mean(axis, AXES)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
