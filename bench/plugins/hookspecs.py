"""The seam between host and plugins: every hook, typed and documented.

A plugin is a module with functions of these names, marked ``@bench.hookimpl``, registered under the entry-point
group ``bench`` or given with ``--plugin FILE``. The ``bench_add_*`` hooks are pure: they return specs. The others are
observers: what one of them raises is reported once, with the plugin's name, and it is not called again in that run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from bench.analysis.model import Board
    from bench.cell import Cell
    from bench.planning.plan import Plan
    from bench.plugins.specs import (
        DatasetSpec,
        FrontendSpec,
        LauncherSpec,
        MeasurementSpec,
        MetricSpec,
        ModelSpec,
        ObserverSpec,
        ProtocolSpec,
        ReporterSpec,
    )
    from bench.results.records import Record

hookspec = pluggy.HookspecMarker("bench")


@hookspec
def bench_add_models() -> Iterable[ModelSpec]:  # type: ignore[empty-body]
    """Return the models this plugin provides."""


@hookspec
def bench_add_datasets() -> Iterable[DatasetSpec]:  # type: ignore[empty-body]
    """Return the data sets this plugin provides."""


@hookspec
def bench_add_frontends() -> Iterable[FrontendSpec]:  # type: ignore[empty-body]
    """Return the front ends (waveform to features) this plugin provides."""


@hookspec
def bench_add_metrics() -> Iterable[MetricSpec]:  # type: ignore[empty-body]
    """Return the scores this plugin provides; each is computed for every cell of its kind of task."""


@hookspec
def bench_add_measurements() -> Iterable[MeasurementSpec]:  # type: ignore[empty-body]
    """Return what is measured of every model in its profile cells, beside speed and memory."""


@hookspec
def bench_add_launchers() -> Iterable[LauncherSpec]:  # type: ignore[empty-body]
    """Return the places where cells can run."""


@hookspec
def bench_add_reporters() -> Iterable[ReporterSpec]:  # type: ignore[empty-body]
    """Return the leaderboard formats this plugin provides."""


@hookspec
def bench_add_observers() -> Iterable[ObserverSpec]:  # type: ignore[empty-body]
    """Return what ``--observer`` takes: tools that a run is written to while it goes on."""


@hookspec
def bench_add_protocols() -> Iterable[ProtocolSpec]:  # type: ignore[empty-body]
    """Return the evaluation protocols this plugin provides; each runs on every data set that has what it needs."""


@hookspec
def bench_run_start(plan: Plan) -> None:
    """Observe that a run begins (host process)."""


@hookspec
def bench_cell_start(cell: Cell) -> None:
    """Observe that a cell begins (worker process).

    It begins anew where several cells were trained as one network and their process was lost.
    """


@hookspec
def bench_epoch_end(cell: Cell, epoch: int, scores: Mapping[str, float]) -> None:
    """Observe the end of training epoch ``epoch``, counted from 1 (worker process).

    ``scores`` holds ``train_loss`` (mean over the epoch), ``lr`` (learning rate of the next step), ``seconds`` (of
    training so far) and, where epochs are selected on validation clips, ``val_`` with the name of the metric. Passes
    of masked pre-training are not told.
    """


@hookspec
def bench_cell_finish(record: Record) -> None:
    """Observe a finished cell, whatever its status (host process)."""


@hookspec
def bench_run_finish(records: Sequence[Record], board: Board) -> None:
    """Observe that a run ended, with its records (reused ones included) and its leaderboard (host process)."""
