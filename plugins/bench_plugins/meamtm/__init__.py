"""An Audio Spectrogram Transformer behind a front end on the fly: sizes x strides, declared without importing torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bench import ModelSpec, hookimpl

SOURCE = (
    "redkai11/An-Audio-is-Worth-16-x-16-words-Memory-Efficient-Audio-Spectrogram-Transformer; "
    "AST arXiv:2104.01778; nnAudio, IEEE Access 8 (2020)"
)

_FRONTEND: Mapping[str, Any] = {"n_fft": 512, "window": 400, "hop": 160, "n_mels": 128, "fmin": 20.0, "fmax": 8000.0}
_FRONTENDS = ("torchaudio", "nnaudio", "nnaudio_mel", "nnaudio_stft", "kaldi")

_PARAMETERS: Mapping[str, Mapping[int, int]] = {
    "micro": {16: 1_887_602, 14: 1_900_466, 12: 1_918_706, 10: 1_952_882},
    "tiny": {16: 5_446_514, 14: 5_459_378, 12: 5_477_618, 10: 5_511_794},
    "mini": {16: 10_863_026, 14: 10_888_754, 12: 10_925_234, 10: 10_993_586},
    "small": {16: 21_509_810, 14: 21_535_538, 12: 21_572_018, 10: 21_640_370},
    "base": {10: 85_748_018, 12: 85_611_314, 14: 85_538_354, 16: 85_486_898},
}
"""Size -> stride -> parameters at 50 classes and 128 x 501 features; the first stride is the size's own."""

_SHAPES: Mapping[str, str] = {
    "micro": "192 wide, 3 heads, 4 blocks",
    "tiny": "192 wide, 3 heads, 12 blocks (DeiT-Ti)",
    "mini": "384 wide, 6 heads, 6 blocks",
    "small": "384 wide, 6 heads, 12 blocks (DeiT-S)",
    "base": "768 wide, 12 heads, 12 blocks (DeiT-B)",
}

_DROPPED = ({"patch_dropout": 0.5, "drop_path": 0.1}, {"patch_dropout": 0.75, "drop_path": 0.0})
"""Of the larger sizes, and of ``micro``."""

_SETS: Mapping[str, tuple[str, ...]] = {"micro": ("default",), "base": ("documented",)}

_TUNED: Mapping[str, Any] = {
    "optimizer": "adam", "lr": 1e-5, "betas": (0.95, 0.999), "weight_decay": 5e-7, "decay_all": True, "warmup": 0.0,
    "schedule": "step", "step_from": 6, "step_every": 1, "step_factor": 0.85, "head_lr_scale": 10.0,
    "clip_norm": None, "label_smoothing": 0.0, "ema": None, "mixup_alpha": 0.0, "spec_masks": 1, "freq_mask": 24,
    "time_mask": 96, "roll": False, "gain_db": 0.0,
}  # fmt: skip
"""AST's own on ESC-50 from AudioSet (egs/esc50/run_esc.sh and src/traintest.py @ 31088be), whole clips included.

Two differences: batches of 16 instead of 48, which stride 10 would not leave room for; ten times the rate for the head,
as CAV-MAE gives layers that start fresh. From ImageNet alone AST takes 1e-4: ``--set recipe.lr=1e-4``.
"""

_LARGER: Mapping[str, Mapping[str, Any]] = {
    "*": {"lr": 3e-4, "warmup": 0.1, "normalise": "half"},
    "full": {"epochs": 150},
    "*@finetune": _TUNED,
    "quick@finetune": {"epochs": 25},
    "full@finetune": {"epochs": 25},
}
"""From scratch as described: low rate, long, features as AST normalises them; mixup and SpecAugment are ``full``'s."""

_MICRO: Mapping[str, Mapping[str, Any]] = {
    "*": {"lr": 6e-4, "warmup": 0.1, "tuned_on": ({"dataset": "esc10", "folds": (1,)},)},
    "smoke": {"lr": 1e-3, "epochs": 9},
    "quick": {"epochs": 16, "roll": False, "gain_db": 0.0, "spec_masks": 0, "mixup_alpha": 0.0},
    "full": {"epochs": 60, "tuned_on": ({"dataset": "esc10", "folds": (1, 2, 5)},)},
}
"""Of the smallest size: the rate that learns fastest on ESC-10 fold 1, and as many epochs as a CPU has time for.

In the few passes of ``quick`` augmentation costs 5 points there (benchmarks/results/augmentation.md): it has none.

Nobody has published weights of this size: what is fine-tuned was trained here, and is tuned with the same settings.
"""

_PUBLISHED: Mapping[str, Mapping[str, Any]] = {
    "full": {
        "optimizer": "adam", "lr": 1e-4, "weight_decay": 0.0, "schedule": "constant", "warmup": 0.0, "batch": 12,
        "epochs": 100, "clip_norm": None, "label_smoothing": 0.0, "ema": None, "mixup_alpha": 0.0, "spec_masks": 0,
        "roll": False, "gain_db": 0.0,
    },
}  # fmt: skip
"""What the published notebook trains with."""


def _model(name: str, size: str, stride: int, **fields: Any) -> ModelSpec:
    micro = size == "micro"
    return ModelSpec(
        name=f"meamtm.{name}",
        factory="bench_plugins.meamtm.network:build",
        options={"size": size, "stride": stride, **_DROPPED[micro]},
        frontend="torchaudio", frontends=_FRONTENDS, frontend_options=_FRONTEND,
        recipes=_MICRO if micro else _LARGER, parameters=_PARAMETERS[size][stride],
        license="Apache-2.0", source=SOURCE, **fields,
    )  # fmt: skip


def _grid() -> Iterator[ModelSpec]:
    for size, strides in _PARAMETERS.items():
        own = next(iter(strides))
        for stride in strides:
            name = size if stride == own else f"{size}_s{stride}"
            said = f"AST {_SHAPES[size]}, patches of 16 every {stride}"
            yield _model(name, size, stride, sets=_SETS.get(name, ()), description=said)


def _alias(name: str, axes: Mapping[str, str], description: str) -> ModelSpec:
    return _model(name, "micro", 16, alias_of="meamtm.micro", axes=axes, description=description)


@hookimpl
def bench_add_models() -> Iterable[ModelSpec]:
    """Five sizes with four strides each, the published notebook, and three fixed choices of how the smallest is fed."""
    said = "the published notebook: the model brings clips to 44.1 kHz; window of 25 samples, no logarithm"
    return [
        *_grid(),
        ModelSpec(
            name="meamtm.as_coded", factory="bench_plugins.meamtm.as_coded:build", recipes=_PUBLISHED,
            parameters=85_851_570, license="Apache-2.0", source=SOURCE, description=said,
        ),
        _alias("precomputed", {"feeding": "precomputed"}, "micro fed from stored log-mel features"),
        _alias("trainable_mel", {"frontend": "nnaudio_mel"}, "micro with a trainable mel filter bank"),
        _alias("trainable_stft", {"frontend": "nnaudio_stft"}, "micro with trainable Fourier kernels"),
    ]  # fmt: skip
