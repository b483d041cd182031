"""The `calm` family: audio and text, a shared encoder, cross-attention."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from bench import ModelSpec, hookimpl

_SOURCE = "github.com/developerdhruv/Cross-Attention-Based-Large-Audio-Model, the description"
_FRONTEND = {"n_mfcc": 40, "n_mels": 64, "fmin": 20, "fmax": 8000, "n_fft": 1024, "window": 640, "hop": 320}
_FOLD_1 = {"dataset": "esc10", "folds": (1,)}
_RECIPES: Mapping[str, Mapping[str, Any]] = {
    "*": {"tuned_on": (_FOLD_1,)},
    "quick": {"epochs": 15},
    "full": {"epochs": 75, "tuned_on": ({"dataset": "esc10", "folds": (1, 2, 3, 4, 5)},)},
}
"""The design and the settings that all share were chosen on ESC-10 fold 1; ``full`` on folds 1, 2 and 5, and its passes
and mixup once more when its first result on all five was known."""

_VARIANTS: Mapping[str, tuple[dict[str, Any], int, str]] = {
    "conv": ({}, 3_772_338, "shared convolutional encoder, cross-attention to the class bank or a text"),
    "rnn": ({"encoder": "rnn"}, 3_670_450, "shared BiGRU encoder instead of convolutions"),
    "separate": ({"shared": False}, 4_171_186, "ablation: one encoder for each stream"),
    "no_cross": ({"cross": False}, 3_243_954, "ablation: streams are joined without cross-attention"),
    "no_self": ({"self_attention": False}, 3_508_658, "ablation: no self-attention layer before the encoder"),
}


def _spec(variant: str, options: Mapping[str, Any], parameters: int, description: str, **more: Any) -> ModelSpec:
    settings: dict[str, Any] = {
        "factory": "bench_plugins.calm.network:build",
        "optional_modalities": ("text",),
        "recipes": _RECIPES,
        "sets": ("default", "documented") if variant == "conv" else (),
        **more,
    }
    return ModelSpec(
        name=f"calm.{variant}", options=options, frontend="mfcc", frontend_options=_FRONTEND, parameters=parameters,
        license="Apache-2.0", source=_SOURCE, description=description, **settings,
    )  # fmt: skip


def _pretrained() -> Iterable[ModelSpec]:
    """Text encoders that bring their weights, and the control that hears nothing."""
    module = "bench_plugins.calm.encoders"
    minilm: Mapping[str, Any] = {
        "factory": f"{module}:build_minilm",
        "tokenizer": f"{module}:minilm_tokens",
        "extra": "text",
        "trained_on": ("sentence pairs (all-MiniLM-L6-v2, text only)",),
    }
    bert: Mapping[str, Any] = {
        "factory": f"{module}:build_bert",
        "tokenizer": f"{module}:bert_tokens",
        "needs_weights": True,
    }
    slow = {**_RECIPES, "*": {**_RECIPES["*"], "lr": 3e-4}}  # the described rates: 3e-4, and 2e-5 for BERT
    frozen, tuned = "BERT of --weights DIR as text encoder, frozen", "BERT of --weights DIR, tuned at its own rate"
    alone = "control: MiniLM's text stream and no sound at all"
    control = _spec(
        "text_only", {}, 24_946_098, alone, **{**minilm, "factory": "bench_plugins.calm.encoders:build_text_only"}
    )
    return [
        _spec("minilm", {}, 25_878_962, "pretrained MiniLM as text encoder, frozen", **minilm),
        _spec("bert_frozen", {"tuned": False}, 112_303_538, frozen, **bert),
        _spec("bert_tuned", {"tuned": True}, 112_303_538, tuned, **bert, recipes=slow),
        replace(control, modalities=("text",), optional_modalities=(), frontend=None, frontend_options={}),
    ]


@hookimpl
def bench_add_models() -> Iterable[ModelSpec]:
    """The variants, with pretrained text encoders or none, and the published graph."""
    control = "control: no text stream at all"
    published = "the published graph on stand-ins for its CLAP vectors: one answer for a whole batch"
    return [
        *(_spec(variant, *values) for variant, values in _VARIANTS.items()),
        _spec("audio_only", {"text_encoder": "none"}, 2_686_386, control, optional_modalities=()),
        _spec(
            "as_coded", {}, 8_947_250, published, factory="bench_plugins.calm.as_coded:build",
            optional_modalities=(), inductive=False, recipes={},
        ),
        *_pretrained(),
    ]  # fmt: skip
