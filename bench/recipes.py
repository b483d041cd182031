"""Training settings as values: smoke, quick and full, files, and overrides.

Settings follow ``Shared recipe`` of the project's measured recipes: AdamW with decay on matrices only, warm-up and
cosine, averaged weights, silence trimmed and clips tiled. A model may declare where it deserves to differ.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.errors import RecipeError, UnknownNameError


class Recipe(BaseModel):
    """Everything that training may be told. Immutable; unknown keys are refused.

    Attributes:
        name: Where it comes from: a built-in name or the stem of a file.
        epochs: Passes over the training split; fixed unless ``patience`` stops earlier on validation.
        batch: Training batch in clips.
        eval_batch: Batch of evaluation in clips.
        optimizer: ``adamw`` or ``adam`` (the latter with coupled weight decay, as AST and CAV-MAE use it).
        lr: Peak learning rate.
        betas: Of the optimiser.
        weight_decay: On matrices only, unless ``decay_all``.
        decay_all: Decay biases and normalisation weights too.
        schedule: After warm-up: ``constant``, ``cosine`` (to zero) or ``step``.
        warmup: Fraction of all steps over which the rate rises linearly.
        step_from: Epoch (from 1) at which ``step`` begins.
        step_every: Epochs between two steps.
        step_factor: Factor of each step.
        clip_norm: Largest gradient norm; ``None`` = no clipping.
        label_smoothing: 0 to 1.
        ema: Decay of the averaged weights that are evaluated; ``None`` = the last weights.
        mixup_alpha: Beta parameter of mixup; 0 = off.
        mixup_prob: Probability that a batch is mixed.
        spec_masks: Number of SpecAugment masks of each kind per clip.
        freq_mask: Largest width of a frequency mask in bands of the spectrogram, also where cepstra are made of it.
        time_mask: Largest width of a time mask in frames.
        roll: Shift each training waveform circularly by a random amount.
        shift: Largest random shift, zero-filled, in seconds.
        gain_db: Largest random gain in dB, either way.
        noise_snr_db: White noise at this signal-to-noise ratio in dB; ``None`` = none.
        trim_db: Cut silent ends below the clip's maximum minus this many dB; ``None`` = keep.
        fill: What a clip shorter than the target length is filled with: ``zeros`` or ``tile`` (repeat it).
        normalise: Statistics of the training split: ``bin`` (mean per frequency, one deviation), ``global``
            (one mean, one deviation), ``half`` (as AST: mean, twice the deviation) or ``none``.
        head_lr_scale: Factor on the rate of the parameters that a model's ``param_groups`` calls its head.
        pretrain_steps: Optimiser steps of masked pre-training, for ``weights=masked``.
        pretrain_batch: Its batch in clips.
        pretrain_lr: Its peak rate (warm-up and cosine; AdamW with ``weight_decay``).
        patience: Epochs without a better validation score before stopping; ``None`` = never.
        compile: Run the network through ``torch.compile`` (its front end, optimiser and pre-training stay as they are).
        budget_seconds: Planned cost above which a cell is not run but shown as ``over_budget``.
        publishable: Whether its rows may enter a published table.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)

    name: str = "quick"
    epochs: int = Field(20, ge=0, le=100_000)
    batch: int = Field(16, ge=1)
    eval_batch: int = Field(64, ge=1)
    optimizer: Literal["adamw", "adam"] = "adamw"
    lr: float = Field(1e-3, gt=0, le=10)
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = Field(0.05, ge=0)
    decay_all: bool = False
    schedule: Literal["constant", "cosine", "step"] = "cosine"
    warmup: float = Field(0.08, ge=0, lt=1)
    step_from: int = Field(5, ge=1)
    step_every: int = Field(1, ge=1)
    step_factor: float = Field(0.85, gt=0, le=1)
    clip_norm: float | None = Field(1.0, gt=0)
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    ema: float | None = Field(0.99, gt=0, lt=1)
    mixup_alpha: float = Field(0.0, ge=0)
    mixup_prob: float = Field(0.5, ge=0, le=1)
    spec_masks: int = Field(0, ge=0)
    freq_mask: int = Field(12, ge=0)
    time_mask: int = Field(48, ge=0)
    roll: bool = False
    shift: float = Field(0.0, ge=0)
    gain_db: float = Field(0.0, ge=0)
    noise_snr_db: float | None = None
    trim_db: float | None = Field(60.0, gt=0)
    fill: Literal["zeros", "tile"] = "tile"
    normalise: Literal["bin", "global", "half", "none"] = "bin"
    head_lr_scale: float = Field(1.0, gt=0)
    pretrain_steps: int = Field(2000, ge=1)
    pretrain_batch: int = Field(32, ge=1)
    pretrain_lr: float = Field(1e-3, gt=0, le=10)
    patience: int | None = Field(None, ge=1)
    compile: bool = False
    budget_seconds: float | None = Field(None, gt=0)
    publishable: bool = True

    def digest(self) -> str:
        """Eight hex digits over every setting that is not the default; a setting added later changes no digest."""
        values = self.model_dump(mode="json", exclude={"name"}, exclude_defaults=True)
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:8]


_AUGMENTED: dict[str, Any] = {
    "roll": True, "gain_db": 6.0, "spec_masks": 2, "mixup_alpha": 0.4, "mixup_prob": 0.5,
}  # fmt: skip

BUILTIN: Mapping[str, Mapping[str, Any]] = {
    "smoke": {"epochs": 12, "ema": 0.9, "budget_seconds": 60.0, "publishable": False, "trim_db": None},
    "quick": {"epochs": 20, "ema": 0.97, "budget_seconds": 120.0, **_AUGMENTED},
    "full": {"epochs": 80, **_AUGMENTED},
}
"""The built-in recipes as differences from the defaults of :class:`Recipe`."""


def parse_overrides(items: Sequence[str]) -> dict[str, Any]:
    """``("recipe.lr=1e-4", ...)`` as a mapping; values are read as TOML, bare words as strings.

    Raises:
        RecipeError: Not of that form, or several values where one is meant.

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

    Args:
        items: ``recipe.key=value`` or ``recipe.key=value,value,...``; commas within brackets or quotes separate
            nothing.

    Returns:
        The items with one value as they are, and for each key with several their texts in the order given.

    Raises:
        RecipeError: Not of that form, a value is empty or stands twice, or a listed key is given again.

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
        raise RecipeError(f"--set {item!r} is not of the form recipe.KEY=VALUE, e.g. --set recipe.lr=1e-4")
    return key.removeprefix("recipe."), text.strip()


def _read_value(text: str) -> Any:
    if text.lower() == "none":
        return None
    try:
        return tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        return text


def read_recipe(name: str) -> tuple[str, dict[str, Any]]:
    """The label and settings of a built-in recipe or of a TOML file (keys at the top or under ``[recipe]``).

    Raises:
        RecipeError: The file cannot be read or is not TOML.
        UnknownNameError: Neither a built-in name nor a file.
    """
    if name in BUILTIN:
        return name, dict(BUILTIN[name])
    if not name.endswith(".toml"):
        raise UnknownNameError("recipe", name, BUILTIN)
    path = Path(name)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"recipe file {name!r} cannot be read: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"recipe file {name!r} is not TOML: {error}") from error
    values = values.get("recipe", values)
    base = values.pop("base", None)
    label = path.stem
    if base is not None:
        values = {**read_recipe(base)[1], **values}
    return label, values


def resolve(
    name: str,
    declared: Mapping[str, Mapping[str, Any]] | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    mode: str = "scratch",
    clips: Mapping[str, Any] | None = None,
) -> Recipe:
    """The recipe of one model: built-in or file, then what the model declares, then ``--set``.

    Args:
        name: ``smoke``, ``quick``, ``full`` or a TOML file.
        declared: ``ModelSpec.recipes``; the key ``"*"`` applies to all built-in names, ``"NAME@MODE"`` and
            ``"*@MODE"`` to one mode only.
        overrides: Settings of the command line; these win.
        mode: The run mode of the cell.
        clips: ``DatasetSpec.settings``; what a model declares wins over it, what ``--set`` says over both.

    Raises:
        RecipeError: A setting is unknown or out of range.
    """
    label, values = read_recipe(name)
    declared = declared or {}
    settings = {**values, **(clips or {})}
    for key in ("*", name, f"*@{mode}", f"{name}@{mode}"):
        settings |= declared.get(key, {})
    settings |= overrides or {}
    settings.pop("name", None)
    try:
        recipe = Recipe(name=label, **settings)
    except ValidationError as error:
        raise RecipeError(_explain(error)) from error
    if overrides or name not in BUILTIN:
        recipe = recipe.model_copy(update={"name": f"{label}~{recipe.digest()[:6]}"})
    return recipe


def _explain(error: ValidationError) -> str:
    lines = []
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            close = difflib.get_close_matches(key, Recipe.model_fields, n=2)
            allowed = f"did you mean {' or '.join(close)}?" if close else "known: " + ", ".join(Recipe.model_fields)
            lines.append(f"recipe.{key} is no setting; {allowed}")
        else:
            lines.append(f"recipe.{key} = {item['input']!r}: {item['msg']}")
    return "; ".join(lines) + ". `bench list recipes --json` shows every setting."
