"""The `avmae` family: a masked audio-visual transformer built from timm's parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bench import ModelSpec, hookimpl

_SOURCE = "CAV-MAE, arXiv 2210.07839; github.com/Vincent9339/Transformers-Audio-Visual-Classification"
_KALDI = {"n_mels": 128, "fmin": 20, "fmax": 8000, "n_fft": 512, "window": 400, "hop": 160}
_COARSE = {"n_mels": 64, "fmin": 20, "fmax": 8000, "n_fft": 1024, "window": 640, "hop": 320}

_RECIPES: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "tiny": {"smoke": {"epochs": 8}, "full": {"epochs": 60}},
    "small": {"*": {"lr": 3e-4}},
    "base": {"*": {"lr": 1e-4}},
}

_SIZES: Mapping[str, tuple[dict[str, Any], int, tuple[str, ...], str]] = {
    "tiny": (
        {
            "dim": 192, "heads": 3, "depth": 5, "decoder_dim": 128, "decoder_depth": 2, "decoder_heads": 4,
            "token_drop": 0.5, "drop_path": 0.1, "audio_patch": (16, 8),
        },
        2_729_138, ("default",), "192-d, 5 + 1 blocks: trains on two CPU cores in minutes",
    ),
    "small": (
        {
            "dim": 384, "heads": 6, "depth": 11, "decoder_dim": 192, "decoder_depth": 4, "decoder_heads": 6,
            "token_drop": 0.5, "drop_path": 0.1,
        },
        21_511_730, (), "384-d, 11 + 1 blocks",
    ),
    "base": ({"drop_path": 0.1}, 85_490_738, ("documented",), "768-d, 11 + 1 blocks: the published size"),
}  # fmt: skip


@hookimpl
def bench_add_models() -> Iterable[ModelSpec]:
    """Three sizes, trained from scratch on audio, or on audio and pictures where the data set gives them.

    The declared parameters are those of a task without pictures, which has no visual branch.
    `tiny` hears 64 mel bins every 20 ms and cuts them into 16 bins x 160 ms: 128 tokens for 5 s where the document's
    geometry has 256, and a quarter of its attention.
    """
    return [
        ModelSpec(
            name=f"avmae.{size}",
            factory="bench_plugins.avmae.network:build",
            options=options,
            optional_modalities=("image",),
            frontend="kaldi",
            frontends=("torchaudio", "nnaudio"),
            frontend_options=_COARSE if size == "tiny" else _KALDI,
            recipes=_RECIPES[size],
            sets=sets,
            parameters=parameters,
            license="Apache-2.0",
            source=_SOURCE,
            description=description,
        )
        for size, (options, parameters, sets, description) in _SIZES.items()
    ]
