"""The host's own front ends, metrics, launchers, reporters, observers and protocols, given like any plugin's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from bench import hookimpl
from bench.plugins.specs import FrontendSpec, LauncherSpec, MetricSpec, ObserverSpec, ProtocolSpec, ReporterSpec

DIVISIONS = "bench.protocols.divisions"


@hookimpl
def bench_add_frontends() -> Iterable[FrontendSpec]:
    """Log-mel in three implementations, MFCC, and the name of published features."""
    from bench.frontends.specs import FRONTENDS, GIVEN

    return (*FRONTENDS, GIVEN)


@hookimpl
def bench_add_metrics() -> Iterable[MetricSpec]:
    """The usual scores."""
    from bench.metrics.specs import METRICS

    return METRICS


@hookimpl
def bench_add_launchers() -> Iterable[LauncherSpec]:
    """Worker processes on this machine, or on those of a Ray cluster."""
    return [
        LauncherSpec(
            name="local",
            factory="bench.running.local:LocalLauncher",
            default=True,
            description="worker processes on this machine",
        ),
        LauncherSpec(
            name="ray",
            factory="bench.running.ray:RayLauncher",
            description="a Ray cluster: ray:address=auto, HOST:PORT or local (pip install 'bench-audio[ray]')",
        ),
    ]


@hookimpl
def bench_add_reporters() -> Iterable[ReporterSpec]:
    """Leaderboard formats."""
    both: tuple[Literal["run", "report"], ...] = ("run", "report")
    formats = (
        ("md", "formats:markdown", ".md", both, "Markdown tables for people"),
        ("csv", "formats:csv", ".csv", both, "one line per row, raw numbers"),
        ("json", "formats:json_", ".json", both, "rows as objects, raw numbers"),
        ("latex", "formats:latex", ".tex", both, "a booktabs table for papers"),
        ("html", "html:render", ".html", both, "one self-contained page"),
        ("eval-results", "exchange:eval_results", ".yaml", (), "entries of .eval_results, as Hugging Face reads them"),
        ("every-eval-ever", "exchange:every_eval_ever", ".jsonl", (), "a log of Every Eval Ever for each row"),
    )
    return [
        ReporterSpec(name=name, render=f"bench.reports.{render}", suffix=suffix, verbs=verbs, description=text)
        for name, render, suffix, verbs, text in formats
    ]


@hookimpl
def bench_add_observers() -> Iterable[ObserverSpec]:
    """Tools that track experiments, each an extra."""
    tools = (
        ("tensorboard", "TensorBoard", "event files of TensorBoard in a folder"),
        ("mlflow", "MLflow", "an experiment of MLflow in an SQLite file"),
        ("wandb", "Wandb", "offline runs of Weights & Biases in a folder"),
        ("trackio", "Trackio", "a project of Trackio in an SQLite file"),
    )
    return [
        ObserverSpec(
            name=name,
            factory=f"bench.observers.{name}:{factory}",
            description=f"{text} (pip install 'bench-audio[{name}]')",
        )
        for name, factory, text in tools
    ]


@hookimpl
def bench_add_protocols() -> Iterable[ProtocolSpec]:
    """How clips are divided and which epoch is kept."""
    return [
        *_on_folds(),
        *_at_random(),
        *_on_groups(),
        *_on_splits(),
        ProtocolSpec(name="speaker", description="test on one fold of speakers, train on the other speakers"),
        ProtocolSpec(
            name="leave-one-group-out",
            divide=f"{DIVISIONS}:group",
            folds=f"{DIVISIONS}:group_folds",
            needs=("groups",),
            description="test on one group, train on the others",
        ),
        *(
            ProtocolSpec(
                name=f"few-shot-{shots}",
                divide=f"{DIVISIONS}:few_shot",
                options={"shots": shots},
                description=f"test on one fold, train on {shots} a class drawn from the others; a seed is a draw",
            )
            for shots in (1, 2, 4, 5, 8, 10, 16, 20)
        ),
    ]


def _on_folds() -> list[ProtocolSpec]:
    return [
        ProtocolSpec(
            name="4+1", description="test on one fold, train on all others for a fixed number of epochs, no selection"
        ),
        ProtocolSpec(
            name="3+1+1",
            validation="next_fold",
            select_on="validation",
            description="test on one fold, choose the epoch on the next, train on the rest",
        ),
        ProtocolSpec(
            name="inner",
            divide=f"{DIVISIONS}:inner",
            ranked=False,
            description="one fold left out altogether, test on the next, train on the others: chooses settings for it",
        ),
        ProtocolSpec(
            name="paper-style",
            select_on="test",
            ranked=False,
            description="the epoch is chosen on the test fold, as in many papers: too good, never ranked",
        ),
    ]


def _at_random() -> list[ProtocolSpec]:
    return [
        ProtocolSpec(
            name="random-5fold",
            divide=f"{DIVISIONS}:random",
            folds=f"{DIVISIONS}:random_folds",
            needs=(),
            description="shuffled folds that ignore groups; refused wherever groups leak",
        ),
        ProtocolSpec(
            name="random-80-20",
            divide=f"{DIVISIONS}:random_split",
            needs=(),
            leaks="reported",
            ranked=False,
            description="a shuffled 80/20 split that ignores groups, as published code does: it leaks, never ranked",
        ),
    ]


def _on_groups() -> list[ProtocolSpec]:
    return [
        ProtocolSpec(
            name="grouped-folds",
            needs=("folds", "groups"),
            description="test on one of the authors' folds, train on the others; no group may stand in two of them",
        ),
        *(
            ProtocolSpec(
                name=f"grouped-{count}",
                version=2,
                divide=f"{DIVISIONS}:grouped",
                folds=f"{DIVISIONS}:draw_folds",
                options={"count": count},
                needs=("groups",),
                description=f"test on one of {count} folds drawn of whole groups, classes spread evenly",
            )
            for count in (3, 5, 10)
        ),
    ]


def _on_splits() -> list[ProtocolSpec]:
    return [
        ProtocolSpec(
            name="official",
            divide=f"{DIVISIONS}:split",
            needs=("splits",),
            description="the publishers' own split, a fixed number of epochs, no selection",
        ),
        ProtocolSpec(
            name="official-val",
            divide=f"{DIVISIONS}:split",
            needs=("splits", "validation"),
            validation="split",
            select_on="validation",
            description="the publishers' split, epoch picked on their validation part",
        ),
    ]
