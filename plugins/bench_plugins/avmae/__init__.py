"""The `avmae` family: a masked audio-visual transformer built from timm's parts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bench import ModelSpec, hookimpl

_SOURCE = "CAV-MAE, arXiv 2210.07839; github.com/Vincent9339/Transformers-Audio-Visual-Classification"
_KALDI = {"n_mels": 128, "fmin": 20, "fmax": 8000, "n_fft": 512, "window": 400, "hop": 160}
_COARSE = {"n_mels": 64, "fmin": 20, "fmax": 8000, "n_fft": 1024, "window": 640, "hop": 320}
_TINY: Mapping[str, Any] = {
    "dim": 192, "heads": 3, "depth": 5, "decoder_dim": 128, "decoder_depth": 2, "decoder_heads": 4,
    "token_drop": 0.5, "drop_path": 0.1, "audio_patch": (64, 8), "along_frequency": True,
}  # fmt: skip
_SMALL: Mapping[str, Any] = {
    "dim": 384, "heads": 6, "depth": 11, "decoder_dim": 192, "decoder_depth": 4, "decoder_heads": 6,
    "token_drop": 0.5, "drop_path": 0.1,
}  # fmt: skip
_BASE: Mapping[str, Any] = {"drop_path": 0.1}

_PLAIN: Mapping[str, Any] = {"roll": False, "gain_db": 0.0, "spec_masks": 0, "mixup_alpha": 0.0}
"""No augmentation: in the few passes of ``quick`` it costs 8 points on ESC-10 (benchmarks/results/augmentation.md)."""

_RECIPES: Mapping[str, Mapping[str, Any]] = {
    "*": {"tuned_on": ({"dataset": "esc10", "folds": (1,)},)},
    "smoke": {"epochs": 4, "pretrain_steps": 60},
    "quick": {"pretrain_steps": 300, **_PLAIN},
    "full": {"epochs": 30, "pretrain_steps": 800, "tuned_on": ({"dataset": "esc10", "folds": (1, 2, 5)},)},
}
"""Of the smallest size: as many epochs and steps as a CPU has time for; both ways to start train equally long.

Its fine-tuning starts from a few hundred steps of masked pre-training, not from millions, and so keeps these settings.
"""

_FINER: Mapping[str, Mapping[str, Any]] = {**_RECIPES, "quick": {**_PLAIN, "epochs": 15, "pretrain_steps": 150}}
"""Of its masks, which need more patches."""


_TUNED: Mapping[str, Any] = {
    "optimizer": "adam", "lr": 1e-4, "betas": (0.95, 0.999), "weight_decay": 5e-7, "decay_all": True,
    "head_lr_scale": 10.0, "mixup_alpha": 10.0, "mixup_prob": 0.5, "label_smoothing": 0.1, "spec_masks": 1,
    "freq_mask": 48, "time_mask": 192, "roll": False, "gain_db": 0.0,
}  # fmt: skip
"""CAV-MAE's own on VGGSound (egs/vggsound/run_cavmae_ft.sh @ 9f21c9e), a tenth of the rate below the fresh head.

Its ten epochs, halving from the third on, are meant for millions of clips, here they would be 200 steps: epochs,
schedule and the averaging of weights are left to the recipe, batches too.
"""


def _published(lr: float) -> Mapping[str, Mapping[str, Any]]:
    """CAV-MAE's own settings, its pre-training rate of 2e-4 at 256 clips scaled to the batch."""
    masked = {"pretrain_batch": 64, "pretrain_lr": 5e-5, "pretrain_steps": 5000}
    return {"*": {"lr": lr, **masked}, "*@finetune": _TUNED}


_MASKED = {"mode": "finetune", "weights": "masked"}
_MODES: Mapping[str, tuple[Mapping[str, str], str]] = {
    "": ({}, "from scratch"),
    "_probe": ({"mode": "probe", "weights": "masked"}, "masked pre-training, frozen, linear probe"),
    "_finetune": (_MASKED, "masked pre-training, then fine-tuned"),
}
_INPUTS = {
    "_audio": ("audio", "sound alone"), "_visual": ("image", "pictures alone"),
    "_both": ("audio+image", "sound and pictures"),
}  # fmt: skip
_MISSING: Mapping[str, tuple[str, str]] = {
    "image": ("audio+image.missing", "trained with sound and pictures, tested on sound alone"),
    "audio": ("audio.missing+image", "trained with sound and pictures, tested on pictures alone"),
}
_PATCHED: Mapping[str, Any] = {**_TINY, "audio_patch": (16, 16), "along_frequency": False}
_MASKS = {
    "unstructured": "single patches", "time": "whole stretches of time", "freq": "whole bands",
    "time_freq": "stretches of time and bands",
}  # fmt: skip
_LOSSES: Mapping[str, str] = {"mae": "reconstruction alone", "contrastive": "matching sound and picture alone"}


def _model(name: str, options: Mapping[str, Any], parameters: int, description: str, **fields: Any) -> ModelSpec:
    settings = {
        "modalities": (), "optional_modalities": ("audio", "image"), "frontend_options": _COARSE, "recipes": _RECIPES,
        **fields,
    }  # fmt: skip
    return ModelSpec(
        name=f"avmae.{name}", factory="bench_plugins.avmae.network:build",
        pretrain="bench_plugins.avmae.pretraining:build", options=dict(options), parameters=parameters,
        frontend="kaldi", frontends=("torchaudio", "nnaudio", "given"),
        license="Apache-2.0", source=_SOURCE, description=description, **settings,
    )  # fmt: skip


_TINY_PARAMETERS = 3_107_698


def _sizes() -> Iterator[ModelSpec]:
    kaldi = {"frontend_options": _KALDI}
    yield _model(
        "tiny", _TINY, _TINY_PARAMETERS, "192-d, 5 + 1 blocks: trains on two CPU cores in minutes", sets=("default",)
    )
    yield _model("small", _SMALL, 21_511_730, "384-d, 11 + 1 blocks", recipes=_published(3e-4), **kaldi)
    yield _model(
        "base", _BASE, 85_490_738, "768-d, 11 + 1 blocks: the published size",
        recipes=_published(1e-4), sets=("documented",), **kaldi,
    )  # fmt: skip


def _alias(name: str, axes: Mapping[str, str], description: str) -> ModelSpec:
    said = f"tiny: {description}"
    return _model(f"tiny{name}", _TINY, _TINY_PARAMETERS, said, alias_of="avmae.tiny", axes=axes)


def _aliases() -> Iterator[ModelSpec]:
    for mode, (axes, meaning) in _MODES.items():
        if mode:
            yield _alias(mode, axes, f"{meaning}, on what the data gives")
        for suffix, (inputs, what) in _INPUTS.items():
            yield _alias(mode + suffix, {**axes, "inputs": inputs}, f"{meaning}, {what}")
    yield _alias("_knn", {"mode": "knn", "weights": "masked"}, "masked pre-training, frozen, nearest neighbours")
    for name, (inputs, what) in _MISSING.items():
        yield _alias(f"_missing_{name}", {"inputs": inputs}, f"from scratch, {what}")


def _ablations() -> Iterator[ModelSpec]:
    """Another network each, since what is hidden and what is asked are no axes of a run; fine-tuned by default."""
    for mask, what in _MASKS.items():
        options = {**_PATCHED, "mask": mask}
        said = f"tiny with 16 x 16 patches: pre-training hides {what}, then fine-tuned"
        yield _model(f"tiny_{mask}", options, 2_741_426, said, axes=_MASKED, recipes=_FINER)
    for objective, what in _LOSSES.items():
        options = {**_TINY, "objective": objective}
        said = f"tiny, pre-trained on sound and pictures: {what}; then fine-tuned"
        both = {"modalities": ("audio", "image"), "optional_modalities": ()}
        yield _model(f"tiny_{objective}", options, 5_350_066, said, axes=_MASKED, **both)


@hookimpl
def bench_add_models() -> Iterable[ModelSpec]:
    """Three sizes; how the smallest is trained and on what, as aliases; its masks and losses as models of their own.

    The declared parameters are those of a task without pictures, which has no visual branch.
    `tiny` hears 64 mel bins every 20 ms in columns of 160 ms, embedded along frequency: 32 tokens for 5 s where the
    document's geometry has 256, in a seventh of the time, and it learns 320 clips better.
    """
    return [*_sizes(), *_aliases(), *_ablations()]
