"""Encoders of other people, by reference: folders of transformers, networks of timm, ONNX and TFLite files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bench import ModelSpec, hookimpl

_HERE = "bench_plugins.encoders"
_ALONE: Mapping[str, Any] = {"axes": {"mode": "probe"}, "lengths": True, "recipes": {"*": {"fill": "zeros"}}}
"""Frozen where no other mode is asked for, and each clip at its own length."""


@hookimpl
def bench_add_models() -> Iterable[ModelSpec]:
    """One family for each kind of file."""
    runtime: dict[str, Any] = {
        "factory": f"{_HERE}.runtimes:build",
        "syntax": "FILE?output=NAME&rate=HZ&window=SAMPLES&hop=SAMPLES",
        "frozen": True,
        **_ALONE,
    }
    return [
        ModelSpec(
            name="mel_statistics", factory=f"{_HERE}.statistics:build", frontend="torchaudio",
            frontends=("nnaudio", "kaldi"), axes={"mode": "probe"}, frozen=True, license="Apache-2.0",
            recipes={"*": {"normalise": "none", "trim_db": None, "fill": "zeros"}},
            description="mean and deviation over time of the log-mel and of its change: the floor for encoders",
        ),
        ModelSpec(
            name="hf", factory=f"{_HERE}.hf:build", reference=f"{_HERE}.targets:hf",
            syntax="FOLDER_OR_ID?layer=N&pool=POOL&dtype=DTYPE", embeds_frames=True,
            description="an audio encoder or classifier of transformers with its own feature extractor and rate",
            **_ALONE,
        ),
        ModelSpec(
            name="timm", factory=f"{_HERE}.image_networks:build", reference=f"{_HERE}.targets:timm",
            syntax="NAME?weights=FILE", frontend="torchaudio", frontends=("nnaudio", "kaldi"),
            description="an image network of timm on the log-mel as a picture of one channel",
        ),
        ModelSpec(
            name="onnx", reference=f"{_HERE}.targets:onnx", extra="onnx",
            description="a waveform encoder or classifier run by ONNX Runtime", **runtime,
        ),
        ModelSpec(
            name="tflite", reference=f"{_HERE}.targets:tflite", extra="tflite",
            description="a waveform encoder or classifier run by LiteRT", **runtime,
        ),
    ]  # fmt: skip
