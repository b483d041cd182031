"""Something of every kind from outside; importing this imports neither torch nor numpy."""

from __future__ import annotations

from bench import (
    DatasetSpec,
    FrontendSpec,
    LauncherSpec,
    MeasurementSpec,
    MetricSpec,
    ModelSpec,
    ObserverSpec,
    ProtocolSpec,
    ReporterSpec,
    TaskInfo,
    hookimpl,
)

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
            primary_metric="full.distance",
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


@hookimpl
def bench_add_metrics() -> list[MetricSpec]:
    """Missed registers."""
    return [
        MetricSpec(
            name="full.distance",
            compute="bench_full.distance:mean",
            per_clip="bench_full.distance:per_clip",
            higher_is_better=False,
            unit="registers",
            description="registers between the predicted and the true one",
        )
    ]


@hookimpl
def bench_add_measurements() -> list[MeasurementSpec]:
    """The priority of the process that measures."""
    return [
        MeasurementSpec(
            name="full.niceness",
            measure="bench_full.measuring:niceness",
            title="niceness",
            description="scheduling priority of the worker",
        )
    ]


@hookimpl
def bench_add_protocols() -> list[ProtocolSpec]:
    """One split of whole groups."""
    return [
        ProtocolSpec(
            name="full.halves",
            divide="bench_full.halves:divide",
            needs=("groups",),
            description="train on every other group, test on the rest",
        )
    ]


@hookimpl
def bench_add_launchers() -> list[LauncherSpec]:
    """Workers that give way."""
    return [
        LauncherSpec(
            name="full.niced",
            factory="bench_full.launching:Niced",
            description="worker processes under nice, one model at a time",
        )
    ]


@hookimpl
def bench_add_observers() -> list[ObserverSpec]:
    """A line for each event."""
    return [
        ObserverSpec(name="full.diary", factory="bench_full.diary:Diary", description="a line for each event of a run")
    ]


@hookimpl
def bench_add_reporters() -> list[ReporterSpec]:
    """JSON lines."""
    return [
        ReporterSpec(name="full.lines", render="bench_full.lines:render", suffix=".jsonl", description="JSON lines")
    ]
