"""What discovery demands of the specs that plugins return; every mistake in words, none raised."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from bench.cell import MODES, parse_inputs
from bench.errors import SelectionError, did_you_mean
from bench.plugins import specs
from bench.plugins.factories import FACTORY

NAME = re.compile(r"[a-z0-9]([a-z0-9_.+-]*[a-z0-9])?")
SUFFIX = re.compile(r"(\.[A-Za-z0-9_-]+)+")
RESERVED = frozenset({"all", "default", "documented"})
"""What ``--models`` takes besides names."""
OWN_AXES = ("mode", "weights", "inputs")
"""Those that a model of its own may fix too: how it is meant to be trained. Its front end is a field."""
AXIS_WORDS: Mapping[specs.Axis, tuple[str, ...]] = {
    "mode": MODES,
    "weights": ("random", "masked"),
    "feeding": get_args(specs.Feeding),
}
"""The axes that take one of a few words."""
UNITS = ("fraction", "nats")
"""Units of scores that the host shows in a way of their own; any other is shown as it is."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of thing plugins give: its field of the registry, and the field of its spec that names its code."""

    field: str
    label: str
    spec: type
    factory: str

    @property
    def hook(self) -> str:
        """Name of the hook that gives them."""
        return f"bench_add_{self.field}"


KINDS: tuple[Kind, ...] = (
    Kind("models", "model", specs.ModelSpec, "factory"),
    Kind("datasets", "data set", specs.DatasetSpec, "load"),
    Kind("frontends", "front end", specs.FrontendSpec, "factory"),
    Kind("metrics", "metric", specs.MetricSpec, "compute"),
    Kind("measurements", "measurement", specs.MeasurementSpec, "measure"),
    Kind("launchers", "launcher", specs.LauncherSpec, "factory"),
    Kind("reporters", "reporter", specs.ReporterSpec, "render"),
    Kind("protocols", "protocol", specs.ProtocolSpec, "divide"),
)


def shape_problem(kind: Kind, result: Any) -> str | None:
    """Why a hook's return value is no iterable of specs, ``None`` if it may be one."""
    if isinstance(result, kind.spec):
        return f"{kind.hook}() returned one {kind.spec.__name__}; return a list: [{kind.spec.__name__}(...)]"
    if isinstance(result, (str, bytes, Mapping)) or not isinstance(result, Iterable):
        said = "None; is a `return` missing?" if result is None else f"{_short(result)}, a {type(result).__name__}"
        return f"{kind.hook}() must return a list of {kind.spec.__name__}, not {said}"
    return None


def spec_problems(kind: Kind, spec: Any, module: str) -> list[str]:
    """What is wrong with one spec on its own: types, closed sets of words, then what they mean together."""
    if not isinstance(spec, kind.spec):
        return [f"{kind.hook}() gave {_short(spec)}, a {type(spec).__name__}; it must give {kind.spec.__name__}"]
    name: Any = getattr(spec, "name", None)
    where = f"{kind.label} {name!r}"
    if wrong := [f"{where}: {problem}" for problem in field_problems(spec)]:
        return wrong
    problems = []
    if not NAME.fullmatch(name):
        allowed = "may hold only a-z, 0-9, '_', '.', '+' and '-', with a letter or digit at both ends"
        problems.append(f"{kind.label} name {name!r} {allowed}")
    elif kind.field == "models" and name in RESERVED:
        problems.append(f"model name {name!r} is reserved: `--models {name}` is a selection")
    for field in sorted({kind.factory, *_FACTORIES}):
        if isinstance(factory := getattr(spec, field, None), str):
            problems += _factory_problems(f"{where}: {field}", factory, module)
    meaning = _MEANINGS.get(kind.spec)
    return [*problems, *(f"{where}: {problem}" for problem in (meaning(spec) if meaning else ()))]


_FACTORIES = ("pretrain", "tokenizer", "per_clip", "weighted", "folds")
"""Further fields that name code where they hold a string."""


def field_problems(spec: Any, prefix: str = "") -> Iterator[str]:
    """Every field whose value is not what its annotation says, with what is allowed."""
    for name, hint, default in _annotated(spec.__class__):
        value = getattr(spec, name)
        if value is not default and type(value) is not hint:  # most are: a listing is to take no time
            yield from _value_problems(prefix + name, value, hint)


@cache
def _annotated(spec: type) -> list[tuple[str, Any, Any]]:
    hints = get_type_hints(spec)
    return [(field.name, hints[field.name], field.default) for field in fields(spec)]


def _value_problems(name: str, value: Any, hint: Any) -> Iterator[str]:
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        if not any(type(value) is type(word) and value == word for word in args):
            yield f"{name} {_short(value)}; {did_you_mean(value, args)}"
    elif origin in (Union, UnionType):
        options = [option for option in args if option is not NoneType]
        if value is None and NoneType in args:
            return
        if len(options) == 1:
            yield from _value_problems(name, value, options[0])
        elif all(any(_value_problems(name, value, option)) for option in options):
            yield _mismatch(name, value, hint)
    elif origin is tuple and isinstance(value, tuple) and (args[-1] is ... or len(value) == len(args)):
        for item, arg in zip(value, args[:1] * len(value) if args[-1] is ... else args, strict=True):
            yield from _value_problems(name, item, arg)
    elif origin is Mapping and isinstance(value, Mapping):
        for key, item in value.items():
            yield from _value_problems(f"{name} key", key, args[0])
            yield from _value_problems(f"{name}[{key!r}]", item, args[1])
    elif isinstance(hint, type) and is_dataclass(hint) and isinstance(value, hint):
        yield from field_problems(value, f"{name}.")
    elif hint is not Any and not _is_a(value, hint):
        yield _mismatch(name, value, hint)


def _is_a(value: object, hint: Any) -> bool:
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(hint, type) and isinstance(value, hint)


def _mismatch(name: str, value: object, hint: Any) -> str:
    kind = type(value).__name__
    said = f"{name} {_short(value)}, {'an' if kind[0] in 'aeiou' else 'a'} {kind}; it must be "
    if get_origin(hint) is tuple and isinstance(value, str):
        return f"{said}a tuple: ({value!r},)"
    plain = hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint)
    return said + plain.replace("collections.abc.", "").replace("typing.", "").replace("bench.plugins.specs.", "")


def _factory_problems(where: str, factory: str, module: str) -> Iterator[str]:
    match = FACTORY.fullmatch(factory)
    if match is None:
        yield f"{where} {factory!r} is not of the form 'package.module:function' or ':function'"
    elif match["module"] is None:
        home = sys.modules.get(module)
        first = match["attribute"].partition(".")[0]
        if home is not None and not hasattr(home, first):
            functions = [n for n in dir(home) if callable(getattr(home, n)) and not n.startswith("_")]
            yield f"{where} {factory!r}: the plugin has no function {first!r}; {did_you_mean(first, functions)}"


def _model_problems(spec: specs.ModelSpec) -> Iterator[str]:
    if spec.alias_of is None and (fixed := [axis for axis in spec.axes if axis not in OWN_AXES]):
        own = ", ".join(OWN_AXES)
        yield f"fixes {', '.join(fixed)} but is no alias: it may fix {own}; set alias_of"
    for axis, words in AXIS_WORDS.items():
        if (word := spec.axes.get(axis)) is not None and word not in words:
            yield f"axes[{axis!r}] {word!r}; {did_you_mean(word, words)}"
    try:
        parse_inputs(spec.axes.get("inputs", "audio"))
    except SelectionError as error:
        yield f"axes: {error}"
    for key in spec.recipes:
        mode = key.partition("@")[2]
        if "@" in key and mode not in MODES:
            yield f"recipes[{key!r}]: mode {mode!r}; {did_you_mean(mode, MODES)}"


def _metric_problems(spec: specs.MetricSpec) -> Iterator[str]:
    if spec.unit not in UNITS and (close := difflib.get_close_matches(spec.unit, UNITS, n=1, cutoff=0.75)):
        yield f"unit {spec.unit!r}; did you mean {close[0]!r}?"


def _reporter_problems(spec: specs.ReporterSpec) -> Iterator[str]:
    if not SUFFIX.fullmatch(spec.suffix):
        yield f"suffix {spec.suffix!r}; it must be the end of a file name, such as '.csv'"


def _protocol_problems(spec: specs.ProtocolSpec) -> Iterator[str]:
    if (spec.select_on == "validation") != (spec.validation != "none"):
        said = f"select_on {spec.select_on!r} with validation {spec.validation!r}"
        yield f"{said}; the two go together: the epoch is picked on validation clips, or there are none"
    if spec.ranked and spec.select_on == "test":
        yield "select_on 'test' is never ranked; set ranked=False"
    if spec.ranked and spec.leaks == "reported":
        yield "leaks 'reported' is never ranked; set ranked=False"


_MEANINGS: Mapping[type, Callable[[Any], Iterator[str]]] = {
    specs.ModelSpec: _model_problems,
    specs.MetricSpec: _metric_problems,
    specs.ReporterSpec: _reporter_problems,
    specs.ProtocolSpec: _protocol_problems,
}


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
