"""Who runs the cells: ``--launcher NAME:key=value,...`` as a launcher of the registry, held to what it promises."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace

import psutil

from bench.errors import BenchError, PluginError, SelectionError
from bench.job import Job
from bench.plugins.factories import built, load_factory, written_options
from bench.plugins.interfaces import Answered, Event, Finished, Launcher, Lost, OnEvent, Resources
from bench.plugins.registry import Registry
from bench.results.records import Failure

IMAGE = "bench.execution.image"
"""What cells import at some time or other."""
WORKER_MIB = 2500
"""Host memory to count on for one worker when choosing how many run side by side."""


class Launching:
    """A launcher that always gives each job an end; evaluate cells run ``side_by_side``, profile cells ``alone``.

    Args:
        text: ``NAME`` or ``NAME:key=value,...``; empty = the one whose spec says ``default``.
        registry: All plugins.
        jobs: Evaluate cells side by side; ``None`` = as many as cores and memory allow, one on a GPU.
        device: Where models run.
        nproc: Processes of each evaluate cell.

    Raises:
        SelectionError: An option that the launcher does not have, lacks or refuses.
        UnknownNameError: No plugin gives it.
        PluginError: Its factory raised, or what it returns is no launcher.
    """

    def __init__(
        self, text: str, registry: Registry, *, jobs: int | None = None, device: str = "cpu", nproc: int = 1
    ) -> None:
        if nproc < 1:
            raise SelectionError(f"nproc is {nproc}; a cell takes at least 1 process")
        cores = len(os.sched_getaffinity(0))
        memory = int(psutil.virtual_memory().available / 2**20 // WORKER_MIB)
        slots = jobs or (max(1, min(cores, memory, 8) // nproc) if device == "cpu" else 1)
        self.side_by_side = Resources(slots=slots, threads=max(1, cores // (slots * nproc)))
        self.alone = Resources(slots=1, threads=cores)
        name = text.partition(":")[0]
        if not name:
            name = next((n for n, entry in registry.launchers.entries.items() if entry.spec.default), "")
        entry = registry.launchers[name]
        self.name, self._registry = name, registry
        given = written_options("--launcher", text)
        with self._blamed():
            self._launcher: Launcher = built(f"--launcher {text or name}", load_factory(entry.factory), given)
        if not callable(getattr(self._launcher, "run", None)):
            kind = type(self._launcher).__name__
            raise PluginError(f"launcher {name!r} of {entry.provenance}: {entry.factory} gave a {kind} without run()")
        if offers := getattr(self._launcher, "offers", None):
            with self._blamed():
                self.side_by_side, self.alone = offers(device)
            self.side_by_side = replace(self.side_by_side, slots=jobs or max(1, self.side_by_side.slots // nproc))
        elif device == "cuda" and nproc > 1:
            from bench.measurement.nvml import gpu_count

            if nproc > (there := gpu_count()):
                raise SelectionError(f"--nproc {nproc} takes {nproc} GPUs, one for each process; here are {there}")

    @property
    def stacks(self) -> bool:
        """Whether cells of one model may be trained as one network."""
        return bool(getattr(self._launcher, "stacks", False))

    def prepare(self, models: Sequence[str] = (), *, brief: bool = False, profile: bool = False) -> None:
        """Say that jobs of ``models`` (names, families or sets) may follow, ``brief`` ones: nothing is published.

        ``profile`` cells import torch whatever they measure.
        """
        estimators, networks = self._kinds(models)
        torch = (IMAGE if brief else "bench.execution.network",) if networks or (brief and profile) else ()
        if brief:  # each is forked from one process
            self.side_by_side = replace(self.side_by_side, imports=torch)
            self.alone = replace(self.alone, imports=torch)
        self._start((*torch, *estimators))

    def expect(self, models: Sequence[str]) -> None:
        """Say that a job follows which times this machine, unless all of ``models`` are estimators."""
        if self._kinds(models)[1]:
            self._start(("torch",))

    def _kinds(self, models: Sequence[str]) -> tuple[list[str], bool]:
        """The modules of those models that say they are estimators, and whether there may be others."""
        entries = [self._registry.models.entries.get(name) for name in models]
        found = [entry.factory.partition(":")[0] for entry in entries if entry and entry.spec.estimator]
        return sorted(set(found)), not models or len(found) < len(models)

    def _start(self, imports: tuple[str, ...]) -> None:
        if prepare := getattr(self._launcher, "prepare", None):
            with self._blamed():
                prepare(replace(self.side_by_side, imports=imports))

    def close(self) -> None:
        """Say that no job will follow."""
        if close := getattr(self._launcher, "close", None):
            with self._blamed():
                close()

    @contextlib.contextmanager
    def _blamed(self, raised: Sequence[BaseException] = ()) -> Iterator[None]:
        """What the launcher raises names it; what the host itself ``raised`` comes through."""
        try:
            yield
        except BenchError:
            raise
        except Exception as error:
            if error in raised:
                raise
            raise PluginError(f"launcher {self.name!r} raised {type(error).__name__}: {error}") from error

    def run(self, jobs: Sequence[Job], on_event: OnEvent, resources: Resources) -> None:
        """Run all jobs; a job that the launcher says nothing of is lost.

        Raises:
            PluginError: The launcher raised, or gave the record of another cell.
        """
        waiting = {job.cell: job for job in jobs}
        raised: list[BaseException] = []

        def guarded(event: Event) -> None:
            ends = isinstance(event, (Finished, Answered, Lost))
            known = waiting.pop(event.job.cell, None) if ends else waiting.get(event.job.cell)
            if known is None:
                return  # told twice, or never asked
            try:
                _check_cell(self.name, event)
                on_event(event)
            except BaseException as error:
                raised.append(error)
                raise

        with self._blamed(raised):
            self._launcher.run(jobs, guarded, resources)
        if raised:
            raise raised[0]
        why = f"launcher {self.name!r} ended without a result of this cell"
        for job in list(waiting.values()):
            on_event(Lost(job=job, status="crashed", failure=Failure(reason="exit", stage="worker", message=why)))


def _check_cell(name: str, event: Event) -> None:
    if isinstance(event, Finished) and event.record.cell != event.job.cell:
        raise PluginError(f"launcher {name!r} gave the record of {event.record.cell.id} for {event.job.cell.id}")
