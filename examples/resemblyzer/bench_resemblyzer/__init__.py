"""Resemblyzer as a model of bench, declared without importing it."""

from __future__ import annotations

from collections.abc import Iterable

from bench import ModelSpec, hookimpl


@hookimpl
def bench_add_models() -> Iterable[ModelSpec]:
    """The speaker encoder."""
    yield ModelSpec(
        name="resemblyzer",
        factory="bench_resemblyzer.encoder:build",
        sample_rate=16_000,
        lengths=True,
        axes={"mode": "probe"},
        recipes={"*": {"trim_db": None, "fill": "zeros"}},
        license="Apache-2.0",
        source="Wan et al. 2018 (1710.10467), as trained by Jemine (Resemblyzer 0.1.4)",
        trained_on=("LibriSpeech train-other", "VoxCeleb1", "VoxCeleb2"),
        description="speaker encoder: 256 values of length 1, the mean over 1.6 s",
    )
