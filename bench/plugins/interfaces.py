"""What the host expects of the code that a spec names: shapes of values and calls, and no implementation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from bench.cell import Cell
    from bench.clips import Clips
    from bench.job import Job
    from bench.results.records import Failure, Record, Status

    Indices = npt.NDArray[np.int64]
    Parts = tuple[Indices, Indices, Indices]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What a launcher may take of a machine.

    Attributes:
        slots: Jobs side by side, 1 or more.
        threads: Compute threads of each.
        imports: Modules that the first job will need, for a worker that is started before there is one.
        after: What jobs will be given that follow these, for a worker that is started once these leave a core idle.
    """

    slots: int
    threads: int
    imports: tuple[str, ...] = ()
    after: Resources | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A worker has begun with a job."""

    job: Job


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochEnded:
    """A pass over the training clips ended.

    Attributes:
        job: Of the cell.
        epoch: Passes done, those of pre-training included.
        epochs: Passes in all.
        stage: ``pretrain`` or ``train``.
        scores: The finite ones, ``train_loss`` among them.
    """

    job: Job
    epoch: int
    epochs: int
    stage: str
    scores: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class ObserverFailed:
    """An observer of a plugin raised in the worker; the cell goes on.

    Attributes:
        job: Of the cell.
        plugin: Which plugin.
        hook: Which of its hooks.
        error: Type and first line of what it raised.
    """

    job: Job
    plugin: str
    hook: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A job whose action is ``cell`` gave a record, of whatever status.

    Attributes:
        job: Of the cell.
        record: What became of it, without ``scores`` and ``artifacts``: the host, which alone knows the targets of the
            test clips, fills them in when it stores the files.
        files: Contents by name (``predictions.npz``, ``checkpoint.safetensors``), to be stored beside the record.
        log: What was printed meanwhile.
    """

    job: Job
    record: Record
    files: Mapping[str, bytes] = field(default_factory=dict)
    log: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A job with another action (``price``, ``estimate``, ``pace``, ``trace``) gave plain values.

    Attributes:
        job: What was asked.
        values: The answer, or ``{"problem": why there is none}``.
        files: Contents by name.
        log: What was printed meanwhile.
    """

    job: Job
    values: Mapping[str, Any]
    files: Mapping[str, bytes] = field(default_factory=dict)
    log: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """A job ended without a result: its process died, ran out of time or was stopped.

    Attributes:
        job: Which.
        status: ``crashed``, ``oom``, ``timeout`` or ``cancelled``.
        failure: Why.
        log: What was printed before.
    """

    job: Job
    status: Status
    failure: Failure
    log: str = ""


Event = Started | EpochEnded | ObserverFailed | Finished | Answered | Lost
OnEvent = Callable[[Event], None]


class Launcher(Protocol):
    """Who runs jobs: processes of this machine, of another one, of a cluster.

    ``LauncherSpec.factory`` names a class or function that is called with the options of
    ``--launcher NAME:key=value,...`` and returns such an object. Records and files come back in the events and the
    host stores them, so no disk needs to be shared; where jobs run, the same plugins, data and weights must be there.
    Most launchers only choose where :func:`bench.supervise` is called, which knows how workers are started, heard,
    timed and buried. One that hands all its jobs to one such call may say so by ``stacks = True``: cells are trained as
    one network only then, since what the first of them did is known to its process alone.
    """

    def offers(self, device: str) -> tuple[Resources, Resources]:
        """What there is for evaluate cells side by side, and for profile cells alone. Optional; else: this machine."""

    def prepare(self, resources: Resources) -> None:
        """Told before the plan is made that jobs may follow, so that a worker can be started meanwhile. Optional."""

    def run(self, jobs: Sequence[Job], on_event: OnEvent, resources: Resources) -> None:
        """Run all jobs and return when each has ended.

        Args:
            jobs: In the order in which they should start. Jobs of the same ``key`` may follow each other in one
                process; a job that is ``alone`` needs a fresh one.
            on_event: Called from this thread with what happens. Every job ends with exactly one ``Finished``,
                ``Answered`` or ``Lost``. What it raises must come through, after every process was stopped.
            resources: What may be taken.

        Raises:
            KeyboardInterrupt: Passed on, after every process was stopped and its job reported as ``Lost``
                (``cancelled``).
        """

    def close(self) -> None:
        """Told that no job will follow. Optional."""


class Observer(Protocol):
    """Told in the host process, cell by cell, what happens: what ``ObserverSpec.factory`` returns.

    Every method is optional, and none is ever a cell's fault: what one raises is said once, and the observer is told
    nothing more in that run. Cells run side by side, so that several are open at a time. Told is what runs: a cell
    whose record is reused, or that was planned not to run, is not.
    """

    def cell_start(self, cell: Cell, recipe: Mapping[str, Any]) -> None:
        """A cell began, with the settings it trains by; it may begin again where what ran it was lost."""

    def epoch_end(self, cell: Cell, epoch: int, scores: Mapping[str, float]) -> None:
        """A pass over its training clips ended, counted from 1, those of pre-training included.

        ``scores`` holds the finite ones of what the hook ``bench_epoch_end`` is told.
        """

    def cell_finish(self, record: Record) -> None:
        """It ended, whatever its status; one whose worker was lost may not have begun."""

    def close(self) -> None:
        """The run ended, however it did."""


class Divide(Protocol):
    """How a protocol divides clips: the function that ``ProtocolSpec.divide`` names.

    The host calls it once for each test fold (and seed, if it takes one) when a run is planned, and again in the
    worker, so the same arguments must give the same parts. It is called with ``ProtocolSpec.options`` and, of ``seed``
    (of the cell), ``validation`` and ``version`` (of the spec), with those that its signature names.

    The host keeps the test part sealed, and refuses parts that overlap, repeat or leave the range of the clips, that
    hold clips whose target is unknown (``clips.splits`` says ``predict``), that are empty where they must not be, or
    whose groups leak into the test part.
    """

    def __call__(self, clips: Clips, fold: int, **options: Any) -> Parts:
        """Indices of the train, validation (maybe none) and test clips, each int64 ``(n,)``, in any order.

        Args:
            clips: The loaded data set, which has what ``ProtocolSpec.needs`` names.
            fold: The test fold, one of those of ``ProtocolSpec.folds``.
            options: See above.

        Raises:
            DataError: These clips cannot be divided so; the message reaches the user as it is.
        """
        ...


class NumberFolds(Protocol):
    """Which fold each clip is tested in: the function that ``ProtocolSpec.folds`` names."""

    def __call__(self, clips: Clips, **options: Any) -> Indices:
        """``(clips,)`` int64. The test folds are the numbers of the clips whose target is known; two at least.

        Args:
            clips: The loaded data set.
            options: As :class:`Divide` gets them, without ``seed``.
        """
        ...
