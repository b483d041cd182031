"""ConvNeXt with self-attentive pooling and a graph convolution: the variants, declared without importing torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bench import ModelSpec, hookimpl

_FRONTEND: Mapping[str, Any] = {"n_fft": 1024, "window": 640, "hop": 320, "n_mels": 64, "fmin": 20, "fmax": 8000}

_TINY: Mapping[str, Any] = {
    "depths": (2, 2, 6, 2), "widths": (32, 64, 128, 256),
    "stem_stride": 4, "short_stem": True, "norm": "batch", "layer_scale": 1.0, "drop_path": 0.1, "kernel": 5,
    "attention_dim": 128, "heads": 4, "graph_widths": (128, 128), "head_widths": (),
}  # fmt: skip


def _variant(name: str, parameters: int, description: str, options: Mapping[str, Any], **fields: Any) -> ModelSpec:
    return ModelSpec(
        name=f"convnext_attention.{name}", factory="bench_plugins.convnext_attention.network:build", options=options,
        frontend="torchaudio", frontends=("torchaudio", "nnaudio"), frontend_options=_FRONTEND, parameters=parameters,
        license="Apache-2.0", description=description,
        source="HazCodesLots/AudioForgeryDetection, Frontend/ConvNeXt/README.md; ConvNeXt arXiv:2201.03545", **fields,
    )  # fmt: skip


_TINY_RECIPES: Mapping[str, Mapping[str, Any]] = {
    "*": {"tuned_on": ({"dataset": "esc10", "folds": (1,)},)},
    "full": {
        "epochs": 40, "spec_masks": 1, "mixup_alpha": 0.0,
        "tuned_on": ({"dataset": "esc10", "folds": (1, 2, 5)},),
    },
}  # fmt: skip
"""The shared recipe, shorter, with one mask of each kind and without mixup."""

_LARGE_RECIPES: Mapping[str, Mapping[str, Any]] = {"*": {"batch": 64}}
"""ConvNeXt's recipe from scratch: AdamW 1e-3, weight decay 0.05, warm-up and cosine, batch 64."""

_BATCH_RECIPES: Mapping[str, Mapping[str, Any]] = {"*": {"batch": 20, "eval_batch": 20}}
"""The original's batch of 20: the graph has as many nodes in test as in training."""


@hookimpl
def bench_add_models() -> Iterable[ModelSpec]:
    """The tiny design, the described model in one and two dimensions, and its ablations (of the 1-D model)."""
    large: dict[str, Any] = {"recipes": _LARGE_RECIPES}
    return [
        _variant("tiny", 2_252_590, "1-D, 2.3 M: BatchNorm, layer scale 1, stem of four frames", _TINY,
                 recipes=_TINY_RECIPES, sets=("default",)),
        _variant("1d", 29_537_552, "as described: mel bins are channels, k-NN graph over a clip's tokens", {},
                 sets=("documented",), **large),
        _variant("2d", 30_776_720, "as coded, 9x9 depthwise convolutions, graph over a clip's tokens", {"dims": 2},
                 **large),
        _variant("batch_graph", 30_776_720, "as coded: 2-D, k-NN graph over the clips of the mini-batch",
                 {"dims": 2, "graph": "batch"}, recipes=_BATCH_RECIPES, inductive=False),
        _variant("no_ggcn", 29_470_480, "1d without the graph convolution", {"graph": "none"}, **large),
        _variant("no_attention", 27_764_496, "1d without self-attentive pooling", {"attention_dim": 0}, **large),
        _variant("no_se", 29_126_162, "1d without squeeze-excitation", {"squeeze": 0}, **large),
    ]  # fmt: skip
