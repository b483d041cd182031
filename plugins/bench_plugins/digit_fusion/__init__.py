"""The `digit_fusion` family: a picture and a recording of a digit, four ways to join them, and controls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bench import ModelSpec, hookimpl

_SOURCE = "github.com/Jaron-U/Multimodal-Image-and-Audio-Recognition-Model; data of Khacef et al., Zenodo 4452953"
_FRONTEND = {"n_mfcc": 13, "n_mels": 64, "fmin": 20, "fmax": 8000, "n_fft": 1024, "window": 640, "hop": 320}
_RECIPES: Mapping[str, Mapping[str, Any]] = {
    "*": {"tuned_on": ({"dataset": "esc10", "folds": (1,)},)},
    "full": {"epochs": 60, "spec_masks": 1, "tuned_on": ({"dataset": "esc10", "folds": (1, 2, 5)},)},
}
"""The design and the settings that all share were chosen on ESC-10 fold 1, ``full`` on folds 1, 2 and 5."""
_BUILD = "bench_plugins.digit_fusion.network:build"

_DOCUMENTED: Mapping[tuple[str, str], int] = {
    ("rnn", "linear"): 772_509,
    ("rnn", "attention"): 772_594,
    ("transformer", "linear"): 770_781,
    ("transformer", "attention"): 770_866,
}

_AS_CODED: Mapping[str, tuple[dict[str, Any], int, int, int]] = {
    # options, parameters at 50 classes, batch and epochs of the published program
    "rnn_linear": ({"encoder": "rnn", "fusion": "linear", "lstm_layers": 3}, 2_170_526, 64, 15),
    "rnn_attention": ({"encoder": "rnn", "fusion": "attention"}, 1_751_986, 128, 15),
    "transformer_linear": ({"encoder": "transformer", "fusion": "linear"}, 17_015_789, 125, 20),
    "transformer_attention": ({"encoder": "transformer", "fusion": "attention", "kernel": 5}, 16_584_251, 128, 20),
}


def _spec(variant: str, factory: str, parameters: int, **more: Any) -> ModelSpec:
    both = {"modalities": ("audio", "image"), "derived": ("image",), "frontend": "mfcc", "recipes": _RECIPES}
    settings: dict[str, Any] = both | more
    if settings["frontend"] is not None:  # "given": published features of 13 x 39, as `digits-khacef` has them
        settings |= {"frontend_options": _FRONTEND, "frontends": ("given",)}
    return ModelSpec(
        name=f"digit_fusion.{variant}", factory=factory, parameters=parameters, license="Apache-2.0", source=_SOURCE,
        **settings,
    )  # fmt: skip


def _documented() -> Iterable[ModelSpec]:
    for (encoder, fusion), parameters in _DOCUMENTED.items():
        variant = f"{encoder}_{fusion}"
        yield _spec(
            variant, _BUILD, parameters, options={"encoder": encoder, "fusion": fusion},
            sets=("default", "documented") if variant == "transformer_attention" else ("documented",),
            description=f"39 x 13 cepstra ({encoder}) and a picture, joined by {fusion} fusion",
        )  # fmt: skip


def _as_coded() -> Iterable[ModelSpec]:
    for variant, (options, parameters, batch, epochs) in _AS_CODED.items():
        published = {
            "optimizer": "adam", "lr": 1e-3, "weight_decay": 0.0, "schedule": "constant", "warmup": 0.0, "batch": batch,
            "epochs": epochs, "clip_norm": None, "label_smoothing": 0.0, "ema": None, "mixup_alpha": 0.0,
            "spec_masks": 0, "roll": False, "gain_db": 0.0,
        }  # fmt: skip
        yield _spec(
            f"as_coded_{variant}", "bench_plugins.digit_fusion.as_coded:build", parameters, options=options,
            recipes={"full": published},
            description=f"the published {variant} program: one audio token or 507 scalar steps, faults included",
        )  # fmt: skip


@hookimpl
def bench_add_models() -> Iterable[ModelSpec]:
    """The four variants, three controls, and the four published programs."""
    alone, attention = "bench_plugins.digit_fusion.network:build_one_view", "transformer_attention"
    return [
        *_documented(),
        _spec(
            "image_only", alone, 172_594, options={"view": "image"}, modalities=("image",), frontend=None,
            description="control: the picture alone",
        ),
        _spec(
            "audio_only", alone, 538_418, options={"view": "audio"}, modalities=("audio",), derived=(),
            description="control: the cepstra alone (transformer)",
        ),
        _spec(
            "shuffled_audio", _BUILD, _DOCUMENTED["transformer", "attention"],
            options={"encoder": "transformer", "fusion": "attention"}, alias_of=f"digit_fusion.{attention}",
            axes={"inputs": "audio.shuffled+image"},
            description=f"control: {attention}, each picture beside another clip's recording",
        ),
        *_as_coded(),
    ]  # fmt: skip
