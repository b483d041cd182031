"""The host's own front ends, metrics, launchers, reporters and protocols, given like any plugin's."""

from __future__ import annotations

from collections.abc import Iterable

from bench import hookimpl
from bench.plugins.specs import FrontendSpec, LauncherSpec, MetricSpec, ProtocolSpec, ReporterSpec


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
    """Worker processes on this machine."""
    return [
        LauncherSpec(
            name="local",
            factory="bench.running.local:LocalLauncher",
            default=True,
            description="worker processes on this machine",
        )
    ]


@hookimpl
def bench_add_reporters() -> Iterable[ReporterSpec]:
    """Leaderboard formats."""
    tables = (
        ("md", "markdown", ".md", "Markdown tables for people"),
        ("csv", "csv", ".csv", "one line per row, raw numbers"),
        ("json", "json_", ".json", "rows as objects, raw numbers"),
        ("latex", "latex", ".tex", "a booktabs table for papers"),
    )
    return [
        *(
            ReporterSpec(
                name=name,
                render=f"bench.reports.formats:{function}",
                suffix=suffix,
                verbs=("run", "report"),
                description=text,
            )
            for name, function, suffix, text in tables
        ),
        ReporterSpec(
            name="html",
            render="bench.reports.html:render",
            suffix=".html",
            verbs=("report",),
            description="one self-contained page",
        ),
    ]


@hookimpl
def bench_add_protocols() -> Iterable[ProtocolSpec]:
    """How clips are divided and which epoch is kept."""
    return [
        ProtocolSpec(name="4+1", description="test on one fold, train on the others, a fixed number of epochs"),
        ProtocolSpec(
            name="3+1+1",
            validation="next_fold",
            select_on="validation",
            description="test on one fold, pick the epoch on the next, train on the others",
        ),
        ProtocolSpec(
            name="paper-style",
            select_on="test",
            ranked=False,
            description="epoch picked on the test fold, as some papers do; biased upwards, never ranked",
        ),
        ProtocolSpec(
            name="random-5fold",
            scheme="random",
            description="shuffled folds that ignore groups; refused wherever groups leak",
        ),
        ProtocolSpec(
            name="random-80-20",
            scheme="random_split",
            ranked=False,
            description="shuffled 80/20 that ignores groups, as published code does; shows its leak, never ranked",
        ),
        ProtocolSpec(
            name="grouped-5",
            scheme="grouped",
            description="five folds by a hash of the group; test on one, train on the others",
        ),
        ProtocolSpec(name="official", scheme="split", description="the publishers' split, a fixed number of epochs"),
        ProtocolSpec(
            name="official-val",
            scheme="split",
            validation="split",
            select_on="validation",
            description="the publishers' split, epoch picked on their validation part",
        ),
        ProtocolSpec(name="speaker", description="test on one fold of speakers, train on the other speakers"),
        ProtocolSpec(name="leave-one-group-out", scheme="group", description="test on one group, train on the others"),
    ]
