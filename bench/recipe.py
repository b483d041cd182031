"""Recipe: the training settings of one cell, every field checked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from bench.errors import RecipeError, did_you_mean, short
from bench.textfiles import MIB, at_home, read_text

TEXTURE = "texture"
"""As a value of ``roll``: only where the data set's settings say ``texture``; as a key of these: whether they do."""
ESTIMATOR_SETTINGS = ("trim_db", "fill", "shots")
"""What an estimator's cell reads of a recipe; the rest is for networks."""
FROZEN_SETTINGS = (
    "trim_db", "fill", "normalise", "shots", "long_clips", "window_s", "hop_s", "eval_batch", "compile", "cuda_graphs",
    "budget_seconds",
)  # fmt: skip
"""What a head on a frozen network reads of it, beside its own."""
HEAD_SETTINGS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"neighbours": ("neighbours",), "logistic": ("head_c",), "attention": ("frame_dtype",), "zero_shot": ("prompts",)}
)
"""What the head of a mode reads alone."""


LABEL = "{label}"
PROMPTS = (
    "{label}", "a sound of {label}", "the sound of {label}", "a recording of {label}", "This is a sound of {label}.",
)  # fmt: skip


_Whole = Annotated[int, Field(le=2**31 - 1)]


def _worded(value: Any) -> Any:
    """``--set`` reads ``none`` as nothing; here it is a word."""
    return "none" if value is None else value


def _templates(value: Any) -> Any:
    """A template, or the lines of a file of them."""
    lines = value
    if isinstance(value, str):
        text = value if LABEL in value else read_text(at_home(value), error=RecipeError, largest=MIB)
        lines = [line.strip() for line in text.splitlines() if line.strip()]
    if isinstance(lines, (list, tuple)):
        if bad := next((line for line in lines if LABEL not in str(line)), None):
            raise ValueError(f"the template {bad!r} has no {LABEL}, where the name of a class goes")
        if len(set(lines)) < len(lines):
            raise ValueError("a template stands there twice")
    return tuple(lines) if isinstance(lines, list) else lines


class TunedOn(BaseModel):
    """What settings were chosen by: results on these clips.

    Attributes:
        dataset: Name of the data set.
        folds: Its folds in the authors' numbering that were looked at; empty = all of it.
        date: Day of the choice (ISO 8601); ``None`` = unknown.
        settings: Which settings were chosen so; empty = the whole recipe. An entry holds for those of them that no
            later layer (a model's declaration, ``--set``) gives another value.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    folds: tuple[int, ...] = ()
    date: str | None = None
    settings: tuple[str, ...] = ()


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
        mask_share: Largest share of the bands, and of the frames, that all masks of a clip hide together: each may be
            as wide as this share divided by their number, where that is less than ``freq_mask`` or ``time_mask``.
        roll: Shift each training waveform circularly by a random amount; a recipe may say ``"texture"`` here: where the
            data set calls its sound a texture.
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
        shots: Train on so many clips a class, drawn by the seed out of the training clips; ``None`` = on all. A draw of
            fewer is part of the draw of more.
        long_clips: How a frozen network hears a waveform: ``native`` (whole), ``crop`` (its first ``window_s``) or
            ``window`` (in windows of ``window_s`` every ``hop_s``, whose embeddings are averaged; one that is less
            than half sound is left out).
        window_s: Seconds of a window.
        hop_s: Seconds between windows; ``None`` = as long as they are.
        neighbours: Training clips that vote in mode ``neighbours``; no more than the largest class has.
        head_c: Values of C (the inverse of the penalty) of which mode ``logistic`` chooses inside the training clips.
        frame_dtype: In what mode ``attention`` keeps frames on disk: ``float32`` or ``float16``.
        prompts: Templates of mode ``zero_shot``, each with ``{label}``: one of them, a list, or a text file with one a
            line. A cell takes that at the place of its seed, from 0.
        compile: Run the network through ``torch.compile`` (its front end, optimiser and pre-training stay as they are).
        cuda_graphs: On a GPU capture training step and inference as CUDA graphs; what cannot be captured runs as it
            stands and says why in the record. Without effect on a CPU.
        budget_seconds: Planned cost above which a cell is not run but shown as ``over_budget``.
        publishable: Whether its rows may enter a published table.
        tuned_on: What its settings were chosen by; boards mark a row whose recipe saw the row's own test clips.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = "quick"
    epochs: _Whole = Field(20, ge=0, le=100_000)
    batch: _Whole = Field(16, ge=1)
    eval_batch: _Whole = Field(64, ge=1)
    optimizer: Literal["adamw", "adam"] = "adamw"
    lr: float = Field(1e-3, gt=0, le=10)
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = Field(0.05, ge=0)
    decay_all: bool = False
    schedule: Literal["constant", "cosine", "step"] = "cosine"
    warmup: float = Field(0.08, ge=0, lt=1)
    step_from: _Whole = Field(5, ge=1)
    step_every: _Whole = Field(1, ge=1)
    step_factor: float = Field(0.85, gt=0, le=1)
    clip_norm: float | None = Field(1.0, gt=0)
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    ema: float | None = Field(0.99, gt=0, lt=1)
    mixup_alpha: float = Field(0.0, ge=0)
    mixup_prob: float = Field(0.5, ge=0, le=1)
    spec_masks: _Whole = Field(0, ge=0)
    freq_mask: _Whole = Field(12, ge=0)
    time_mask: _Whole = Field(48, ge=0)
    mask_share: float = Field(0.4, ge=0, le=1)
    roll: bool = False
    shift: float = Field(0.0, ge=0)
    gain_db: float = Field(0.0, ge=0)
    noise_snr_db: float | None = None
    trim_db: float | None = Field(60.0, gt=0)
    fill: Literal["zeros", "tile"] = "tile"
    normalise: Annotated[Literal["bin", "global", "half", "none"], BeforeValidator(_worded)] = "bin"
    head_lr_scale: float = Field(1.0, gt=0)
    pretrain_steps: _Whole = Field(2000, ge=1)
    pretrain_batch: _Whole = Field(32, ge=1)
    pretrain_lr: float = Field(1e-3, gt=0, le=10)
    patience: _Whole | None = Field(None, ge=1)
    shots: _Whole | None = Field(None, ge=1)
    long_clips: Literal["native", "crop", "window"] = "native"
    window_s: float = Field(5.0, gt=0)
    hop_s: float | None = Field(None, gt=0)
    neighbours: _Whole = Field(10, ge=1)
    head_c: tuple[Annotated[float, Field(gt=0)], ...] = Field((1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0), min_length=1)
    frame_dtype: Literal["float32", "float16"] = "float32"
    prompts: Annotated[tuple[str, ...], BeforeValidator(_templates)] = Field(PROMPTS, min_length=1)
    compile: bool = False
    cuda_graphs: bool = False
    budget_seconds: float | None = Field(None, gt=0)
    publishable: bool = True
    tuned_on: tuple[TunedOn, ...] = ()

    @model_validator(mode="after")
    def _one_way_to_run(self) -> Recipe:
        if self.compile and self.cuda_graphs:
            raise ValueError("compile and cuda_graphs exclude each other; set one of the two to false")
        return self

    def digest(self, read: Collection[str] | None = None) -> str:
        """Eight hex digits over every setting that is not the default; a setting added later changes no digest.

        Args:
            read: Count only these settings, which a cell reads.
        """
        counted = None if read is None else set(read)
        values = self.model_dump(mode="json", include=counted, exclude={"name", "tuned_on"}, exclude_defaults=True)
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:8]


def read_settings(values: Mapping[str, Any]) -> Recipe:
    """The recipe with these settings, whose types are taken as they are: ``"20"`` is no number, ``true`` is none.

    Raises:
        RecipeError: Settings are unknown, of another type or out of range; all of them are named.
    """
    try:
        return Recipe.model_validate({str(key): _fixed(value) for key, value in values.items()}, strict=True)
    except ValidationError as error:
        raise RecipeError(
            "; ".join(explain(error, Recipe.model_fields, "recipe."))
            + ". `bench list recipes --json` shows every setting."
        ) from error


def setting_problems(values: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with settings that a plugin declares for its model or data set."""
    given = dict(values)
    if not isinstance(texture := given.pop(TEXTURE, False), bool):
        yield f"{TEXTURE} = {texture!r}: it must be True or False"
    if given.get("roll") == TEXTURE:
        del given["roll"]
    try:
        read_settings(given)
    except RecipeError as error:
        yield str(error)


def _fixed(value: Any) -> Any:
    """Lists, as TOML and JSON have them, as tuples."""
    if isinstance(value, (list, tuple)):
        return tuple(map(_fixed, value))
    return {key: _fixed(item) for key, item in value.items()} if isinstance(value, Mapping) else value


def explain(error: ValidationError, known: Collection[str], prefix: str = "") -> Iterator[str]:
    """What is wrong with each of the user's settings, of which the ``known`` ones are allowed."""
    for item in error.errors():
        key = prefix + ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            yield f"{key} is no setting; {did_you_mean(item['loc'][-1], known)}".removesuffix("?")
        elif item["type"] == "missing":
            yield f"{key} is missing"
        else:
            yield f"{key} = {short(item['input'])}: {item['msg']}"
