"""What the host expects of the code that a spec names: shapes of values and calls, and no implementation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from bench.job import Job
    from bench.results.records import Failure, Record, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What a launcher may take of a machine.

    Attributes:
        slots: Jobs side by side, 1 or more.
        threads: Compute threads of each.
    """

    slots: int
    threads: int


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
        record: What became of it, without ``artifacts``: the host fills them in when it stores the files.
        files: Contents by name (``predictions.npz``, ``checkpoint.safetensors``), to be stored beside the record.
        log: What was printed meanwhile.
    """

    job: Job
    record: Record
    files: Mapping[str, bytes] = field(default_factory=dict)
    log: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A job with another action (``price``, ``estimate``, ``trace``) gave plain values.

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
    timed and buried.
    """

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
