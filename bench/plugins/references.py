"""Models by reference, ``hf:./folder?layer=9``, and models with other options, ``calm?heads=4``, in the registry.

The identity of the first are the contents of its files and its options, ``hf@folder+layer=9~ab12cd``, wherever the
files stand; of the second the name and the options: ``calm.conv@heads=4``.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bench.errors import BenchError, PluginError, SelectionError, did_you_mean, short
from bench.plugins.checks import KINDS, spec_problems
from bench.plugins.factories import load_factory, options_of
from bench.plugins.model_spec import ModelSpec, Reference
from bench.plugins.registry import Catalog, Entry, Registry
from bench.results.provenance import file_word
from bench.textfiles import at_home, toml_value

Digests = Callable[[Sequence[Path]], Sequence[str]]
"""The sha256 of each of some files, empty for one that cannot be read."""


def referring(registry: Registry, names: Iterable[str], digests: Digests) -> Registry:
    """The registry with the models that ``names`` refer to, each also under what it was asked for by.

    Names without a colon or a question mark are left to those who look them up.

    Raises:
        SelectionError: There is no such family, it has no such option, or a value of one is not allowed.
        BenchError: What the family says of a target that it cannot use.
        PluginError: What it gives is no reference.
    """
    entries, aliases = dict(registry.models.entries), dict(registry.models.aliases)
    for name in dict.fromkeys(names):
        if name in registry.references:
            raise SelectionError(f"{name} needs to be told which model: {registry.references[name].spec.usage}")
        if name in aliases or not (":" in name or "?" in name):
            continue
        for entry in [_resolved(registry, name, digests)] if ":" in name else _with_options(registry, name):
            entries[entry.spec.name] = entry
            aliases |= {name: entry.spec.name, entry.reference: entry.spec.name}
    catalog = Catalog(registry.models.kind, MappingProxyType(dict(sorted(entries.items()))), MappingProxyType(aliases))
    return replace(registry, models=catalog)


def split_options(text: str) -> tuple[str, dict[str, str]]:
    """``place?key=value&key=value`` as the place and the options; a file of that whole name wins.

    >>> split_options("my.csv?columns=path=file,label=kind")
    ('my.csv', {'columns': 'path=file,label=kind'})
    """
    place, mark, query = text.partition("?")
    if not mark or os.path.exists(text):  # noqa: PTH110  a word may be no path at all, too long for one
        return text, {}
    return place, _pairs(query, text)


def _pairs(query: str, text: str) -> dict[str, str]:
    """``key=value&key=value``, each key once."""
    pairs = [part.partition("=") for part in query.split("&") if part]
    names = [key for key, _, _ in pairs]
    for key, equals, _ in pairs:
        if not (key and equals) or names.count(key) > 1:
            why = "stands there twice" if key and equals else "has no value"
            raise SelectionError(f"{short(text, 300)!r}: {key!r} {why}; behind ? stand options as KEY=VALUE&KEY=VALUE")
    return {key: value for key, _, value in pairs}


def portable(reference: str) -> str:
    """A reference as records and commands show it: of an absolute path the last name.

    >>> portable("hf:/home/me/ast?layer=9")
    'hf:ast?layer=9'
    """
    return re.sub(r"(?<=[:=])/(?:[^?&]*/)?", "", reference)


def _resolved(registry: Registry, text: str, digests: Digests) -> Entry[ModelSpec]:
    """The entry of one reference."""
    name, _, rest = text.partition(":")
    if name not in registry.references:
        families = [spec.usage for spec in registry.references.specs()]
        raise SelectionError(
            f"--models {text!r}: {name!r} is no family of models by reference; "
            f"{'they are ' + ', '.join(families) if families else 'no plugin gives one'}"
        )
    family = registry.references[name]
    resolve = load_factory(family.home(family.spec.reference or ""))
    target, options = split_options(rest)
    if not target:
        raise SelectionError(f"--models {text!r} names nothing; write {family.spec.usage}")
    place, given = _typed(resolve, target, options, text)
    try:
        found = resolve(place, **given)
    except BenchError:
        raise
    except OSError as error:
        raise SelectionError(f"--models {short(text, 300)}: {error.strerror or error}") from error
    except Exception as error:
        raise PluginError(f"{family.provenance}: {text!r} raised {type(error).__name__}: {error}") from error
    if not isinstance(found, Reference):
        raise PluginError(f"{family.provenance}: {text!r} gave a {type(found).__name__}; it must give bench.Reference")
    written = "&".join(f"{key}={value}" for key, value in sorted(given.items()) if key in options)
    return _entry(family, found, {k: given[k] for k in sorted(options)}, digests, f"{name}:{place}?{written}")


def _with_options(registry: Registry, text: str) -> list[Entry[ModelSpec]]:
    """The entry of ``NAME?KEY=VALUE&...``; of an alias that of its model too, the alias last."""
    name, _, query = text.partition("?")
    named = registry.models[name]
    target = registry.models[named.spec.alias_of] if named.spec.alias_of else named
    options = dict(sorted(_pairs(query, text).items()))
    if not options:
        raise SelectionError(f"{short(text, 300)!r}: nothing stands behind ?; write {name}, or {name}?KEY=VALUE")
    given = _values(options_of(load_factory(target.factory)), options, text)
    options |= {key: str(value) for key, value in given.items() if isinstance(value, Path)}
    written = [f"{key}={value}" for key, value in options.items()]
    said = [f"{key}={file_word(value)}" for key, value in options.items()]
    title = "+".join(said) + ("" if said == written else f"~{_digest(written)[:6]}")
    changes: dict[str, Any] = {"options": {**target.spec.options, **given}, "parameters": None, "sets": ()}
    spec = replace(target.spec, name=f"{target.spec.name}@{title}", **changes)
    entries = [replace(target, spec=spec, reference=f"{target.spec.name}?{'&'.join(written)}")]
    if named is not target:
        alias = replace(named.spec, name=f"{named.spec.name}@{title}", alias_of=spec.name, sets=())
        entries.append(replace(named, spec=alias, reference=f"{named.spec.name}?{'&'.join(written)}"))
    return entries


def _typed(
    resolve: Callable[..., Any], target: str, options: Mapping[str, str], text: str
) -> tuple[Any, dict[str, Any]]:
    """Target and options as a resolver's annotations want them, words where it has none; paths absolute."""
    first, *_ = inspect.signature(resolve, eval_str=True).parameters.values()
    known = {"target": first, **options_of(resolve, handed=())}
    words = {name: p.replace(annotation=str) if p.annotation is p.empty else p for name, p in known.items()}
    place = _values(words, {"target": target}, text)["target"]
    return place, _values({name: words[name] for name in options_of(resolve, handed=())}, options, text)


def _values(known: Mapping[str, inspect.Parameter], options: Mapping[str, str], text: str) -> dict[str, Any]:
    """Options as the annotations of what takes them want them; where there is none, as TOML reads them."""
    from pydantic import TypeAdapter, ValidationError

    rest = next((p for p in known.values() if p.kind is p.VAR_KEYWORD), None)
    values: dict[str, Any] = {}
    for name, value in options.items():
        if (parameter := known.get(name, rest)) is None:
            its = f"its options: {', '.join(known) or 'none'}"
            raise SelectionError(f"--models {text!r} has no option {name!r}; {did_you_mean(name, known)} ({its})")
        loose = parameter is rest or parameter.annotation is parameter.empty or isinstance(parameter.annotation, str)
        hint: Any = Any if loose else parameter.annotation
        place = at_home(value)
        given = str(place.resolve()) if "Path" in str(hint) and os.path.exists(place) else value  # noqa: PTH110
        meant = None if value.lower() == "none" else toml_value(value)
        try:
            if hint is not Any:
                values[name] = TypeAdapter(hint).validate_python(given)
        except ValidationError as error:
            with contextlib.suppress(ValidationError):  # a pair, or none, as TOML writes it
                values[name] = TypeAdapter(hint).validate_python(meant)
                continue
            said = error.errors(include_url=False)[0]["msg"]
            raise SelectionError(f"--models {text!r}: {name}={value!r}: {said}") from error
        values.setdefault(name, meant)
    return values


def _entry(
    family: Entry[ModelSpec], found: Reference, options: Mapping[str, Any], digests: Digests, text: str
) -> Entry[ModelSpec]:
    """The family's entry with what a reference changes, under its own name."""
    hashed = list(digests(found.files))
    if missing := [str(path) for path, sha256 in zip(found.files, hashed, strict=True) if not sha256]:
        raise SelectionError(f"{text} needs {', '.join(missing)}, which cannot be read")
    for name in found.fields:
        if name not in (known := [field.name for field in fields(ModelSpec)]):
            raise PluginError(f"{family.provenance}: {text}: ModelSpec has no {name!r}; {did_you_mean(name, known)}")
    spec = replace(family.spec, **found.fields, reference=None, sets=())
    if problems := spec_problems(
        next(kind for kind in KINDS if kind.spec is ModelSpec), spec, family.provenance.module
    ):
        raise PluginError(f"{family.provenance}: {text}: {'; '.join(problems)}")
    word, said = file_word(found.title), {key: _shown(value) for key, value in options.items()}
    weights, contents = _digest(hashed), _digest([found.title, *hashed, *(f"{k}={v}" for k, v in said.items())])
    title = "+".join([word, *(f"{key}={file_word(value)}" for key, value in said.items())])
    start: dict[Any, str] = {"weights": f"{word}~{weights[:6]}"} if hashed else {}
    named = replace(spec, name=f"{spec.name}@{title}~{contents[:6]}", axes={**spec.axes, **start})
    return replace(
        family, spec=named, factory=family.home(spec.factory), reference=text.removesuffix("?"), contents=contents
    )


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _shown(value: object) -> str:
    """An option as boards show it: of a path the last name, since its contents are known."""
    return value.name if isinstance(value, Path) else str(value)
