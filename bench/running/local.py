"""Jobs in worker processes of this machine."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from bench.job import Job
from bench.plugins.interfaces import Answered, Event, Finished, Lost, OnEvent, Resources
from bench.running.process import Worker
from bench.running.supervise import supervise


class LocalLauncher:
    """Worker processes of this machine, the first of them started while the host still plans.

    Args:
        slots: Evaluate cells side by side, instead of ``--jobs``.
    """

    stacks = True

    def __init__(self, *, slots: int | None = None) -> None:
        if slots is not None and not (isinstance(slots, int) and slots >= 1):
            raise ValueError(f"slots={slots}; give 1 or more")
        self._slots = slots
        self._early: list[Worker] = []
        self._keeps = False

    def prepare(self, resources: Resources) -> None:
        """Start a worker, which imports what every cell needs, where a core is free for it; keep idle ones."""
        self._keeps = True
        if not self._early and len(os.sched_getaffinity(0)) > 1:
            self._early = [Worker(resources.threads, imports=resources.imports)]

    def run(self, jobs: Sequence[Job], on_event: OnEvent, resources: Resources) -> None:
        """Run all jobs; see :func:`bench.running.supervise.supervise`."""
        mine = replace(resources, slots=self._slots or resources.slots)
        early, self._early = self._early[: mine.slots], self._early[mine.slots :]
        if any(job.alone for job in jobs):
            self._end_early()
        left, cores = len(jobs), len(os.sched_getaffinity(0))

        def expect() -> None:
            if self._keeps and mine.after and not self._early and min(mine.slots, left) < cores:
                self._early.append(Worker(mine.after.threads, imports=mine.after.imports))

        def heard(event: Event) -> None:
            nonlocal left
            on_event(event)
            left -= isinstance(event, Finished | Answered | Lost)
            expect()

        expect()
        kept: list[Worker] = []
        try:
            supervise(jobs, heard, mine, early=early, kept=kept if self._keeps else None)
        finally:
            self._early = kept + self._early

    def close(self) -> None:
        """End the workers that are idle, and keep no later one."""
        self._keeps = False
        self._end_early()

    def _end_early(self) -> None:
        while self._early:
            self._early.pop().kill()
