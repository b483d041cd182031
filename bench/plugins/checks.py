"""What discovery demands of the specs that plugins return; every mistake in words, none raised."""

from __future__ import annotations

import difflib
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from bench.allowed import LINE, Allowed
from bench.cell import MODES, parse_inputs
from bench.errors import SelectionError, did_you_mean, short
from bench.plugins import specs
from bench.plugins.factories import FACTORY

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
    Kind("observers", "observer", specs.ObserverSpec, "factory"),
    Kind("protocols", "protocol", specs.ProtocolSpec, "divide"),
)


def shape_problem(kind: Kind, result: Any) -> str | None:
    """Why a hook's return value is no iterable of specs, ``None`` if it may be one."""
    if isinstance(result, kind.spec):
        return f"{kind.hook}() returned one {kind.spec.__name__}; return a list: [{kind.spec.__name__}(...)]"
    if isinstance(result, (str, bytes, Mapping)) or not isinstance(result, Iterable):
        said = "None; is a `return` missing?" if result is None else f"{short(result)}, a {type(result).__name__}"
        return f"{kind.hook}() must return a list of {kind.spec.__name__}, not {said}"
    return None


def spec_problems(kind: Kind, spec: Any, module: str, *, settings: bool = True) -> list[str]:
    """What is wrong with one spec on its own: types, closed sets of words, code that is not there, and meaning.

    Args:
        kind: What the hook gives.
        spec: What it gave.
        module: Import name of the plugin.
        settings: Whether the recipe settings that it declares are checked too, which takes an import of pydantic.
    """
    if not isinstance(spec, kind.spec):
        return [f"{kind.hook}() gave {short(spec)}, a {type(spec).__name__}; it must give {kind.spec.__name__}"]
    problems = list(field_problems(spec))
    for field in sorted({kind.factory, *_FACTORIES}):
        if isinstance(factory := getattr(spec, field, None), str):
            problems += _factory_problems(field, factory, module)
    if not problems and (meaning := _MEANINGS.get(kind.spec)):
        problems += meaning(spec)
        if settings and isinstance(spec, (specs.ModelSpec, specs.DatasetSpec)):
            problems += _setting_problems(spec)
    return [f"{kind.label} {short(spec.name)}: {problem}" for problem in problems]


_FACTORIES = ("pretrain", "tokenizer", "trained_recordings", "reference", "per_clip", "weighted", "chance", "folds")
"""Further fields that name code where they hold a string."""


def field_problems(spec: Any, prefix: str = "") -> Iterator[str]:
    """Every field whose value is not what its annotation says, with what is allowed."""
    for name, hint, default in _annotated(spec.__class__):
        value = getattr(spec, name)
        if value is not default:  # most are: a listing is to take no time
            yield from _value_problems(prefix + name, value, hint)


@cache
def _annotated(spec: type) -> list[tuple[str, Any, Any]]:
    hints = get_type_hints(spec, include_extras=True)
    return [(field.name, hints[field.name], field.default) for field in fields(spec)]


def _value_problems(name: str, value: Any, hint: Any) -> Iterator[str]:
    if hint is str and isinstance(value, str):  # most are
        yield from _bounds(name, value, LINE)
        return
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        yield from _bounds(name, value, args[1]) if _is_a(value, args[0]) else [_mismatch(name, value, hint)]
    elif origin is Literal:
        if not any(type(value) is type(word) and value == word for word in args):
            yield f"{name} {short(value)}; {did_you_mean(value, args)}"
    elif origin in (Union, UnionType):
        found = [list(_value_problems(name, value, option)) for option in args if option is not NoneType]
        if value is not None and all(found):
            yield from found[0] if len(found) == 1 else [_mismatch(name, value, hint)]
    elif origin in (tuple, Mapping) and isinstance(value, origin):
        yield from _items_problems(name, value, hint)
    elif isinstance(hint, type) and is_dataclass(hint) and isinstance(value, hint):
        yield from field_problems(value, f"{name}.")
    elif hint is not Any and not _is_a(value, hint):
        yield _mismatch(name, value, hint)


def _items_problems(name: str, value: Any, hint: Any) -> Iterator[str]:
    args = get_args(hint)
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _value_problems(f"{name} key", key, args[0])
            for problem in _value_problems("", item, args[1]):  # they begin with the name
                yield f"{name}[{short(key)}]{problem}"
        return
    endless = args[-1] is ...
    if not endless and len(value) != len(args):
        yield _mismatch(name, value, hint)
        return
    for item, arg in zip(value, args[:1] * len(value) if endless else args, strict=True):
        yield from _value_problems(name, item, arg)
    counts = Counter(item for item in value if isinstance(item, (str, int)))
    if endless and (twice := [item for item, count in counts.items() if count > 1]):
        yield f"{name} holds {short(twice[0])} twice; give each once"


def _bounds(name: str, value: object, allowed: Allowed) -> Iterator[str]:
    if not allowed.holds(value):
        yield f"{name} {short(value)}; it must be {allowed.words}"


def _is_a(value: object, hint: Any) -> bool:
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(hint, type) and isinstance(value, hint)


def _mismatch(name: str, value: object, hint: Any) -> str:
    kind = type(value).__name__
    said = f"{name} {short(value)}, {'an' if kind[0] in 'aeiou' else 'a'} {kind}; it must be "
    if get_origin(hint) is tuple and isinstance(value, str):
        return f"{said}a tuple: ({value!r},)"
    return said + spelled(hint)


def spelled(hint: Any) -> str:
    """An annotation as a plugin's author writes it."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return spelled(args[0])
    if origin in (Union, UnionType):
        return " | ".join(map(spelled, args))
    words = map(repr, args) if origin is Literal else ("..." if arg is ... else spelled(arg) for arg in args)
    name: str = getattr(origin or hint, "__name__", str(hint))
    return f"{name}[{', '.join(words)}]" if args else name


def _factory_problems(field: str, factory: str, module: str) -> Iterator[str]:
    match = FACTORY.fullmatch(factory)
    if match is None:
        yield f"{field} {factory!r} is not of the form 'package.module:function' or ':function'"
    elif match["module"] is None:
        home = sys.modules.get(module)
        first = match["attribute"].partition(".")[0]
        if home is not None and not hasattr(home, first):
            functions = [n for n in dir(home) if callable(getattr(home, n)) and not n.startswith("_")]
            yield f"{field} {factory!r}: the plugin has no function {first!r}; {did_you_mean(first, functions)}"


def _model_problems(spec: specs.ModelSpec) -> Iterator[str]:
    if spec.name in RESERVED:
        yield f"name {spec.name!r} is reserved: `--models {spec.name}` is a selection"
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
        recipe, at, mode = key.partition("@")
        if recipe not in (known := ("*", *get_args(specs.BuiltinRecipe))) and not recipe.endswith(".toml"):
            yield f"recipes[{key!r}]: recipe {recipe!r}; {did_you_mean(recipe, known)}"
        if at and mode not in MODES:
            yield f"recipes[{key!r}]: mode {mode!r}; {did_you_mean(mode, MODES)}"


def _dataset_problems(spec: specs.DatasetSpec) -> Iterator[str]:
    known = get_args(specs.BuiltinRecipe)
    if spec.recipe is not None and spec.recipe not in known and not spec.recipe.endswith(".toml"):
        yield f"recipe {spec.recipe!r}; {did_you_mean(spec.recipe, known)}"
    if not spec.protocols:
        yield "protocols () name none; the first is the default, e.g. ('4+1',)"


def _setting_problems(spec: specs.ModelSpec | specs.DatasetSpec) -> Iterator[str]:
    layers = {"settings": spec.settings} if isinstance(spec, specs.DatasetSpec) else spec.recipes
    if not any(layers.values()):
        return
    from bench.recipe import setting_problems  # brings pydantic

    for key, layer in layers.items():
        where = key if key == "settings" else f"recipes[{key!r}]"
        yield from (f"{where}: {problem}" for problem in setting_problems(layer))


def _metric_problems(spec: specs.MetricSpec) -> Iterator[str]:
    if spec.unit not in UNITS and (close := difflib.get_close_matches(spec.unit, UNITS, n=1, cutoff=0.75)):
        yield f"unit {spec.unit!r}; did you mean {close[0]!r}?"


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
    specs.DatasetSpec: _dataset_problems,
    specs.MetricSpec: _metric_problems,
    specs.ProtocolSpec: _protocol_problems,
}
