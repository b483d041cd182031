"""Training settings as values: smoke, quick and full, files, and overrides.

Settings follow ``Shared recipe`` of the project's measured recipes: AdamW with decay on matrices only, warm-up and
cosine, averaged weights, silence trimmed and clips tiled. A model may declare where it deserves to differ.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.allowed import LONGEST_NAME
from bench.errors import RecipeError, UnknownNameError, short
from bench.recipe import TEXTURE, Recipe, TunedOn, read_settings
from bench.textfiles import read_toml, toml_value

_AUGMENTED: dict[str, Any] = {
    "roll": TEXTURE, "gain_db": 6.0, "spec_masks": 2, "mixup_alpha": 0.4, "mixup_prob": 0.5,
}  # fmt: skip

BUILTIN: Mapping[str, Mapping[str, Any]] = {
    "smoke": {"epochs": 3, "ema": 0.9, "budget_seconds": 60.0, "publishable": False, "trim_db": None},
    "quick": {"epochs": 20, "ema": 0.97, "budget_seconds": 120.0, **_AUGMENTED},
    "full": {"epochs": 80, **_AUGMENTED},
}
"""The built-in recipes as differences from the defaults of :class:`Recipe`."""


def parse_overrides(items: Sequence[str]) -> dict[str, Any]:
    """``("recipe.lr=1e-4", ...)`` as a mapping; values are read as TOML, bare words as strings.

    >>> parse_overrides(["recipe.lr=1e-4", "recipe.schedule=step"])
    {'lr': 0.0001, 'schedule': 'step'}
    """
    values: dict[str, Any] = {}
    for item in items:
        key, text = _split_override(item)
        if len(parts := split_values(text)) > 1:
            raise RecipeError(
                f"--set {item!r} gives recipe.{key} {len(parts)} values; `bench sweep` takes a list of values, "
                "and brackets make one value of a pair: recipe.betas=[0.9, 0.95]"
            )
        values[key] = _read_value(text)
    return values


def parse_lists(items: Sequence[str]) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]]]:
    """Overrides with one value, and those with several.

    Returns:
        The items with one value as they are, and for each key with several their texts in the order given.

    >>> parse_lists(["recipe.lr=1e-4,1e-3", "recipe.epochs=5"])
    (('recipe.epochs=5',), {'lr': ('1e-4', '1e-3')})
    """
    single: list[str] = []
    several: dict[str, tuple[str, ...]] = {}
    seen: list[str] = []
    for item in items:
        key, text = _split_override(item)
        parts = split_values(text)
        if key in several or (len(parts) > 1 and key in seen):
            raise RecipeError(f"--set recipe.{key} is given twice; put all its values in one list: {key}=a,b,c")
        seen.append(key)
        if len(parts) == 1:
            single.append(item)
            continue
        if "" in parts:
            raise RecipeError(f"--set {item!r}: a value between two commas is empty")
        read = [_read_value(part) for part in parts]
        if double := next((part for i, part in enumerate(parts) if read[i] in read[:i]), None):
            raise RecipeError(f"--set {item!r}: the value {double} stands twice")
        several[key] = parts
    return tuple(single), several


def split_values(text: str) -> tuple[str, ...]:
    """The parts between commas that stand outside brackets and quotes, each without outer blanks.

    >>> split_values("[0.9, 0.95], 'a,b'")
    ('[0.9, 0.95]', "'a,b'")
    """
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter in "[{(":
            depth += 1
        elif letter in "]})":
            depth -= 1
        elif letter == "," and depth == 0:
            parts.append("")
            continue
        parts[-1] += letter
    return tuple(part.strip() for part in parts)


def _split_override(item: str) -> tuple[str, str]:
    key, equals, text = item.partition("=")
    key = key.strip()
    if not equals or not key.startswith("recipe."):
        raise RecipeError(
            f"--set {item!r} is not of the form recipe.KEY=VALUE, e.g. --set recipe.lr=1e-4, or model.KEY=VALUE"
        )
    return key.removeprefix("recipe."), text.strip()


def _read_value(text: str) -> Any:
    return None if text.lower() == "none" else toml_value(text)


def read_recipe(name: str) -> tuple[str, dict[str, Any], list[dict[str, Any]]]:
    """The label of a recipe, the built-in settings it starts from, and those of its TOML files, the base file first.

    A file holds its keys at the top or under ``[recipe]``, and names what it starts from as ``base``.

    Raises:
        RecipeError: A file cannot be read, is no table of settings, or is its own base, over others perhaps.
        UnknownNameError: It is neither a built-in name nor a TOML file.
    """
    files: list[dict[str, Any]] = []
    read: list[Path] = []
    base: Any = name
    while base is not None and base not in BUILTIN:
        if not base.endswith(".toml"):
            raise UnknownNameError("recipe", base, BUILTIN)
        path = Path(base)
        if path.absolute() in read:
            raise RecipeError(f"recipe file {base!r} starts from itself by `base`; name {', '.join(BUILTIN)} there")
        read.append(path.absolute())
        values = read_toml(path, error=RecipeError)
        values = values.get("recipe", values)
        if not isinstance(values, dict):
            raise RecipeError(f"recipe file {base!r}: recipe = {short(values)}; write [recipe] and its keys below")
        base = values.pop("base", None)
        if not isinstance(base, str | None):
            raise RecipeError(
                f"recipe file {str(path)!r}: base = {short(base)}; it must be {', '.join(BUILTIN)} or a file"
            )
        files.insert(0, values)
    return (
        (re.sub(r"[^\w.+-]", "_", Path(name).stem)[:LONGEST_NAME] if read else name),
        dict(BUILTIN[base] if base else {}),
        files,
    )


def resolve(
    name: str,
    declared: Mapping[str, Mapping[str, Any]] | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    mode: str = "scratch",
    clips: Mapping[str, Any] | None = None,
) -> Recipe:
    """The recipe of one model: built-in settings, then what the model declares, then those of a file, then ``--set``.

    Args:
        name: ``smoke``, ``quick``, ``full`` or a TOML file.
        declared: ``ModelSpec.recipes``; the key ``"*"`` applies to all built-in names, ``"NAME@MODE"`` and
            ``"*@MODE"`` to one mode only.
        overrides: Settings of the command line; these win.
        mode: The run mode of the cell.
        clips: ``DatasetSpec.settings``; what a model declares wins over it, what ``--set`` says over both. Its
            ``texture`` is no setting but what is known of the sound: ``roll = "texture"`` becomes this value.

    Raises:
        RecipeError: A setting is unknown or out of range.
    """
    label, builtin, files = read_recipe(name)
    declared = declared or {}
    clips = dict(clips or {})
    texture = clips.pop(TEXTURE, False)
    layers = [builtin, clips, *(declared.get(key, {}) for key in ("*", name, f"*@{mode}", f"{name}@{mode}")), *files]
    settings: dict[str, Any] = {}
    tuned: list[TunedOn] = []
    for layer in (*layers, overrides or {}):
        settings |= layer
        told = read_settings({"tuned_on": layer["tuned_on"]}).tuned_on if "tuned_on" in layer else ()
        tuned = [*_still_true(tuned, layer), *told]
    if settings.get("roll") == TEXTURE:
        settings["roll"] = texture
    recipe = read_settings({**settings, "name": label}).model_copy(update={"tuned_on": tuple(dict.fromkeys(tuned))})
    if overrides or name not in BUILTIN:
        recipe = recipe.model_copy(update={"name": f"{label}~{recipe.digest()[:6]}"})
    return recipe


def _still_true(tuned: Sequence[TunedOn], layer: Mapping[str, Any]) -> Iterator[TunedOn]:
    """The entries that hold when a further layer has given some settings another value."""
    for entry in tuned:
        left = tuple(name for name in entry.settings if name not in layer)
        if left or not entry.settings:
            yield entry.model_copy(update={"settings": left})
