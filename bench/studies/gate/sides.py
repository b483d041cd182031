"""The sides of a gate: the jobs of one revision each, and the image whose forks do them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace

from bench.config.selection import Selection
from bench.config.settings import Settings
from bench.errors import BenchError
from bench.job import Action, Job
from bench.plugins.interfaces import Answered, Event, Lost, Resources
from bench.running.process import COMMAND, Worker
from bench.running.supervise import supervise
from bench.studies.gate.jobs import plan_jobs, to_json
from bench.studies.gate.revisions import INSTEAD, RevisionError, Revisions, Tree
from bench.studies.gate.rounds import SIDES, Values

_IMPORTS = ("bench.execution.network", "bench.execution.profile")


class Side:
    """One of the three: its jobs, and the image whose forks measure them.

    Args:
        name: Of :data:`SIDES`.
        jobs: By row.
        command: What starts its worker.
    """

    def __init__(self, name: str, jobs: Mapping[str, Job], command: tuple[str, ...]) -> None:
        self.name, self.jobs, self._command = name, jobs, command
        self._workers: list[Worker] = []

    def start(self) -> None:
        """Make a new image, without waiting for it."""
        self.close()
        threads = next(iter(self.jobs.values())).threads
        self._workers = [Worker(threads, self._command, _IMPORTS)]

    def measure(self, row: str, action: Action = "block") -> Values | str:
        """What one process measures, or why it does not."""
        ends: list[Event] = []
        early, self._workers = self._workers, []
        job = replace(self.jobs[row], action=action)
        supervise(
            [job], ends.append, Resources(slots=1, threads=job.threads), early=early, command=self._command,
            kept=self._workers,
        )  # fmt: skip
        match ends[-1]:
            case Answered(values={"quantities": dict(found)}):
                return found
            case Answered(values={"problem": str(problem)}):
                return problem
            case Lost(failure=failure):
                return failure.message
        return "this revision cannot be measured in turns: its bench is older than `bench gate --against`"

    def close(self) -> None:
        """End its image."""
        while self._workers:
            self._workers.pop().close()


def open_sides(
    revisions: Revisions, trees: tuple[Tree, Tree], selection: Selection, settings: Settings
) -> dict[str, Side]:
    """Base, candidate and base again; each revision plans its jobs with its own code.

    Raises:
        RevisionError: The base cannot be planned.
        BenchError: The candidate cannot be.
    """
    planned: dict[str, tuple[Mapping[str, Job], tuple[str, ...]]] = {}
    for name, tree in reversed([*zip(SIDES, trees, strict=False)]):  # what the candidate does not know is a mistake
        plugins = tuple(tree.place(path, revisions.root) for path in settings.plugins)
        variables = [f"{key}={value}" for key, value in tree.environment(revisions.root).items()]
        prefix = ("env", *variables) if variables else ()
        try:
            jobs = _planned(prefix, selection, replace(settings, plugins=plugins), strict=name == "candidate")
        except BenchError as error:
            if name == "candidate":
                raise
            raise RevisionError(f"the base revision {revisions.ref} cannot be measured: {error}\n{INSTEAD}") from error
        planned[name] = jobs, (*prefix, *COMMAND)
    return {name: Side(name, *planned.get(name, planned["base"])) for name in SIDES}


def _planned(prefix: tuple[str, ...], selection: Selection, settings: Settings, *, strict: bool) -> Mapping[str, Job]:
    """In a process of its own where modules of one revision could stand for those of the other."""
    if strict and not prefix:
        return plan_jobs(selection, settings, strict=True)
    command = [*prefix, sys.executable, "-P", "-m", "bench.studies.gate.jobs"]
    asked = to_json(selection, settings, strict=strict)
    done = subprocess.run(command, input=asked, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(done.stderr.strip()[-2000:] or f"planning ended with status {done.returncode}")
    return {row: Job.from_json(line) for row, line in json.loads(done.stdout.splitlines()[-1]).items()}
