"""From a factory string (``"package.module:function"``) to the function, with errors that say what to do."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar, get_type_hints

from bench.errors import BenchError, PluginError, SelectionError, did_you_mean
from bench.textfiles import toml_value

FACTORY = re.compile(r"(?P<module>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)?:(?P<attribute>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)")
"""The form of a factory string; without a module it means "in the file that declares it"."""

FILE_PREFIX = "bench_file_"
"""Import names of ``--plugin`` files begin with this; they exist only where discovery has loaded the file."""

HANDED = ("seed", "weights")
"""What the host itself hands to a factory that takes it."""
F = TypeVar("F", bound=Callable[..., Any])


def takes_fields(of: type) -> Callable[[F], F]:
    """Mark a factory whose ``**options`` are the fields of a dataclass, so that ``--set model.KEY`` knows them."""

    def mark(factory: F) -> F:
        own = [p for p in _signature(factory).parameters.values() if p.kind is not p.VAR_KEYWORD]
        hints, names, kind = get_type_hints(of), [p.name for p in own], inspect.Parameter.KEYWORD_ONLY
        for field in fields(of):
            default = inspect.Parameter.empty if field.default is MISSING else field.default
            if field.name not in names:
                own.append(inspect.Parameter(field.name, kind, default=default, annotation=hints[field.name]))
        factory.__signature__ = inspect.Signature(own)  # type: ignore[attr-defined]
        return factory

    return mark


def options_of(factory: Callable[..., Any], handed: Collection[str] = HANDED) -> dict[str, inspect.Parameter]:
    """What may be set of what a factory takes, behind its first parameter; a resolver is ``handed`` nothing."""
    _, *rest = _signature(factory).parameters.values()
    return {p.name: p for p in rest if p.kind not in (p.POSITIONAL_ONLY, p.VAR_POSITIONAL) and p.name not in handed}


def _signature(factory: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(factory, eval_str=True)
    except NameError:  # an annotation that only a type checker can read
        return inspect.signature(factory)


def written_options(option: str, text: str) -> dict[str, Any]:
    """What ``NAME:key=value,...`` says behind the name, values as TOML reads them.

    Raises:
        SelectionError: Something is not of that form; ``option`` is where it was typed.

    >>> written_options("--launcher", "far:nodes=4,host=gpu-1")
    {'nodes': 4, 'host': 'gpu-1'}
    """
    options: dict[str, Any] = {}
    for item in filter(None, (part.strip() for part in text.partition(":")[2].split(","))):
        key, equals, value = item.partition("=")
        if not equals or not key.isidentifier():
            raise SelectionError(f"{option} {text}: {item!r} is not of the form key=value")
        options[key] = toml_value(value)
    return options


def built(what: str, factory: Callable[..., Any], options: Mapping[str, Any]) -> Any:
    """What a factory makes of the options that ``what`` was typed with.

    Raises:
        SelectionError: It has no such option, lacks or refuses one.
    """
    parameters = inspect.signature(factory).parameters.values()
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
    known = {p.name: p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    for key in options:
        if key not in known and not takes_any:
            raise SelectionError(f"{what}: it has no option {key!r}; {did_you_mean(key, known)}")
    missing = [name for name, p in known.items() if p.default is p.empty and name not in options]
    if missing:
        raise SelectionError(f"{what}: it needs {', '.join(missing)}, given as NAME:{missing[0]}=...")
    try:
        return factory(**options)
    except (BenchError, TypeError, ValueError) as error:
        raise SelectionError(f"{what}: {error}") from error


def load_factory(factory: str) -> Callable[..., Any]:
    """The callable that an ``Entry.factory`` names.

    >>> load_factory("math:hypot")(3, 4)
    5.0
    """
    match = FACTORY.fullmatch(factory)
    if match is None or match["module"] is None:
        raise PluginError(f"factory {factory!r} is not of the form 'package.module:function'")
    target = _module(match["module"], factory)
    for part in match["attribute"].split("."):
        try:
            target = getattr(target, part)
        except AttributeError as error:
            names = [name for name in dir(target) if not name.startswith("_")]
            advice = did_you_mean(part, names)
            raise PluginError(f"factory {factory!r}: {match['module']} has no {part!r}; {advice}") from error
    if not callable(target):
        raise PluginError(f"factory {factory!r} names a {type(target).__name__}, which cannot be called")
    function: Callable[..., Any] = target
    return function


def _module(name: str, factory: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if name.startswith(FILE_PREFIX) and error.name == name:
            raise PluginError(
                f"factory {factory!r}: its --plugin file is not loaded in this process; "
                "give the same --plugin FILE to discovery first"
            ) from error
        missing = error.name or name
        if name == missing or name.startswith(f"{missing}."):
            reason = f"there is no module {missing!r}"
        else:
            reason = f"{name} needs the module {missing!r}, which is not installed; `pip install` what provides it"
        raise PluginError(f"factory {factory!r}: {reason}") from error
    except (ImportError, SyntaxError) as error:
        raise PluginError(f"factory {factory!r}: importing {name} failed: {type(error).__name__}: {error}") from error
