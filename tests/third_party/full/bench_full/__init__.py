"""A model, a data set and a front end from outside; importing this imports neither torch nor numpy."""

from __future__ import annotations

from bench import DatasetSpec, FrontendSpec, ModelSpec, TaskInfo, hookimpl

LABELS = ("low", "middle", "high")


@hookimpl
def bench_add_models() -> list[ModelSpec]:
    """A linear model on the mean of each band."""
    return [
        ModelSpec(
            name="full.bands",
            factory="bench_full.network:build",
            frontend="full.bands",
            frontends=("torchaudio",),
            parameters=17 * 50,
            license="MIT",
            description="mean of each band over time, then a linear layer",
        )
    ]


@hookimpl
def bench_add_datasets() -> list[DatasetSpec]:
    """Generated tones."""
    return [
        DatasetSpec(
            name="full.tones",
            load="bench_full.tones:load",
            task=TaskInfo(num_classes=3, sample_rate=16_000, clip_samples=4_000, label_names=LABELS),
            folds=(1, 2),
            groups="phase",
            recipe="smoke",
            license="MIT",
            needs_files=False,
            description="tones in three registers, 48 clips of 0.25 s",
        )
    ]


@hookimpl
def bench_add_frontends() -> list[FrontendSpec]:
    """Log energy in sixteen bands."""
    return [
        FrontendSpec(
            name="full.bands",
            factory="bench_full.bands:build",
            description="log energy in 16 bands of equal width",
        )
    ]
