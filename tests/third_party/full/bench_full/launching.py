"""Worker processes that give way to everything else on the machine, one model after another."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from itertools import groupby

from bench import Job, OnEvent, Resources, supervise


class Niced:
    """Runs jobs under ``nice``; no more than one model is in memory at a time.

    Args:
        nice: How far workers step back, 0 to 19.
    """

    def __init__(self, *, nice: int = 5) -> None:
        if not 0 <= nice <= 19:
            raise ValueError(f"nice={nice}; allowed are 0 to 19")
        self._command = ("nice", "-n", str(nice), sys.executable, "-P", "-m", "bench.running.worker")

    def run(self, jobs: Sequence[Job], on_event: OnEvent, resources: Resources) -> None:
        """Run the jobs of each model in turn."""
        for wave in _waves(jobs):
            supervise(wave, on_event, resources, command=self._command)


def _waves(jobs: Sequence[Job]) -> Iterator[list[Job]]:
    for _, wave in groupby(jobs, key=lambda job: job.cell.model):
        yield list(wave)
