"""Base, candidate and base again, measured in turns until the verdict is clear or the time is over."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path

from bench.config.selection import Selection
from bench.config.settings import Settings
from bench.errors import BenchError, NoCellError
from bench.gate.comparison import judge
from bench.gate.intervals import Difference
from bench.gate.looks import Key, Series, judge_look
from bench.gate.policy import Policy, family
from bench.gate.verdict import Finding, Verdict
from bench.job import Action, Job
from bench.measurement.machine import CONTENDED_SHARE, foreign_cpu
from bench.plugins.interfaces import Answered, Event, Lost, Resources
from bench.running.process import COMMAND, Worker
from bench.running.progress import Progress
from bench.running.supervise import supervise
from bench.statistics.sequential import FIRST, planned_looks
from bench.studies.gate.jobs import plan_jobs, to_json
from bench.studies.gate.revisions import INSTEAD, RevisionError, Revisions, Tree, find_revisions, prepare_trees
from bench.studies.gate.rounds import SIDES, Rounds, Values

TURNS = (SIDES, ("candidate", "again", "base"), ("again", "base", "candidate"))
MOST_ROUNDS = 200
RENEWED = 8
"""Rounds after which a side's image is made afresh, so that no verdict rests on one."""


def gate_revisions(
    selection: Selection, settings: Settings, ref: str, policy: Policy, minutes: float, progress: Progress
) -> Verdict:
    """Measure what ``ref`` and the working tree around the current folder make of a selection, and compare.

    Args:
        selection: Which cells; their speed and memory are measured.
        settings: How; what was measured is kept in its run folder.
        ref: Commit, branch or tag of the base.
        policy: What is tolerated.
        minutes: Time for all processes together; checking out and installing are not in it.
        progress: Told what happens.

    Raises:
        SelectionError: No repository, no such revision, or a name that the candidate does not know.
        RevisionError: A revision cannot be checked out, installed or measured.
        NoCellError: No cell of the selection can be measured.
    """
    revisions = find_revisions(ref, Path.cwd())
    progress.note(f"base {revisions.base[:12]} ({ref}), candidate {revisions.candidate}")
    sides = open_sides(revisions, prepare_trees(revisions), selection, settings)
    if not any(side.jobs for side in sides.values()):
        raise NoCellError("neither revision has a cell to measure; `bench plan` with the same options shows why")
    jobs = {name: [job.fingerprint for _, job in sorted(side.jobs.items())] for name, side in sides.items()}
    key = {"base": revisions.base, "head": revisions.head, "changed": revisions.changed, "jobs": jobs}
    rounds = Rounds.open(settings.out, key | {"minutes": minutes, "policy": {n: asdict(r) for n, r in policy.items()}})
    gate = Gate(sides, rounds, policy, minutes, progress)
    others = foreign_cpu()
    try:
        gate.run()
    finally:
        gate.close()
    rounds.finish()
    return Verdict(findings=tuple(gate.findings()), notes=tuple(_notes(revisions, gate, others.value)))


def _notes(revisions: Revisions, gate: Gate, others: float | None) -> Iterator[str]:
    yield f"base {revisions.base[:12]} ({revisions.ref}), candidate {revisions.candidate}"
    if revisions.same:
        yield "both sides are the same revision: what differs is noise"
    yield f"{gate.done} rounds of base, candidate and base again in {gate.spent / 60:.1f} minutes"
    if gate.short:
        yield gate.short
    if others is not None and others > CONTENDED_SHARE:
        yield f"others used {others:.1f} cores of the machine when the gate began"


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


class Gate:
    """One job: measures round by round and judges at the planned looks.

    Args:
        sides: By name.
        rounds: What was measured before.
        policy: What is tolerated.
        minutes: Time for all of it.
        progress: Told what happens.

    Attributes:
        rows: What both revisions have.
        decided: Findings so far.
        done: Rounds.
        short: Why there is no interval, empty where there is time for one.
    """

    def __init__(
        self, sides: Mapping[str, Side], rounds: Rounds, policy: Policy, minutes: float, progress: Progress
    ) -> None:
        self._sides, self._rounds, self._policy, self._progress = sides, rounds, policy, progress
        self._budget, self._start, self._before = 60 * minutes, time.monotonic(), rounds.seconds
        self.rows = sorted(sides["base"].jobs.keys() & sides["candidate"].jobs.keys())
        self.decided: dict[Key, Finding] = {}
        self.done, self.short = 0, ""
        self._shares: list[float] = []
        self._tests = 0

    def run(self) -> None:
        """Measure and judge until nothing is open."""
        for row in self.rows:
            if row not in self._rounds.counts:
                self._measure(row, SIDES, "counts", "count")
        while active := [row for row in self._alive() if not self.done or self._open(row)]:
            self.done += 1
            due = [row for row in active if len(self._rounds.blocks.get(row, ())) < self.done]
            start = time.monotonic()
            for row in due:
                self._measure(row, TURNS[self.done % len(TURNS)], "block", "block")
            if not self._rounds.most and (self.done > 1 or 3 * (time.monotonic() - start) > self._budget):
                self._plan(time.monotonic() - start)
            over = bool(due) and self.spent > self._budget
            last = over or self.done >= (self._rounds.most or MOST_ROUNDS)
            if last or self.done in planned_looks(self._rounds.most):
                self._look(last=last)
            if due:
                self._progress.note(self._state())
            if due and self.done % RENEWED == 0:
                self.close()

    def close(self) -> None:
        """End all images."""
        for side in self._sides.values():
            side.close()

    @property
    def spent(self) -> float:
        """Seconds so far, those of an earlier call included."""
        return time.monotonic() - self._start + self._before

    def findings(self) -> Iterator[Finding]:
        """All that was found, row by row."""
        base, candidate = (self._sides[name].jobs for name in ("base", "candidate"))
        for row in sorted(base.keys() | candidate.keys()):
            if row not in candidate:
                yield Finding(row=row, quantity="all", status="vanished", reason="the candidate has no such cell")
            elif row not in base:
                yield Finding(row=row, quantity="all", status="new", reason="the base has no such cell")
            elif row in self._rounds.failed:
                side, why = self._rounds.failed[row]
                status, who = ("vanished", "candidate") if side == "candidate" else ("not_compared", "base")
                yield Finding(row=row, quantity="all", status=status, reason=f"{who}: {why}")  # type: ignore[arg-type]
            else:
                yield from self._counts(row)
                yield from (found for key, found in self.decided.items() if key[0] == row)
                yield from self._gone(row)

    def _alive(self) -> list[str]:
        return [row for row in self.rows if row not in self._rounds.failed]

    def _series(self, row: str) -> Iterator[Series]:
        for one in self._rounds.series(row, self.done):
            if not self._policy[family(one.quantity)].skip:
                yield one

    def _open(self, row: str) -> bool:
        return any(one.key not in self.decided for one in self._series(row))

    def _measure(self, row: str, order: tuple[str, ...], what: str, action: Action) -> None:
        start, found = time.monotonic(), dict[str, Values]()
        for side in order:
            values = self._sides[side].measure(row, action)
            if isinstance(values, str):
                self._rounds.add("failed", row=row, side=side, why=values, seconds=time.monotonic() - start)
                return
            found[side] = values
        self._rounds.add(what, row=row, sides=found, seconds=time.monotonic() - start)

    def _plan(self, seconds: float) -> None:
        """After two rounds, the first of which may be a slow one, it is known how many the time allows."""
        most = self.done + math.floor(max(0.0, self._budget - self.spent) / max(seconds, 1e-3))
        if most < FIRST:
            needed = math.ceil((self.spent + FIRST * seconds) / 60)
            self.short = f"a round takes {seconds:.0f} s and an interval {FIRST} of them: give --minutes {needed}"
            most = self.done
        self._rounds.add("most", rounds=min(MOST_ROUNDS, most))

    def _look(self, *, last: bool) -> None:
        everything = [one for row in self._alive() for one in self._series(row)]
        self._tests = self._tests or len(everything)
        self._shares.append(min(1.0, self.done / (self._rounds.most or self.done)))
        left = [one for one in everything if one.key not in self.decided]
        shares = tuple(self._shares)
        self.decided |= judge_look(left, self._policy, shares, self.decided, tests=self._tests, last=last)

    def _state(self) -> str:
        count = sum(self._open(row) for row in self._alive())
        state, most = f"round {self.done}: {count} of {len(self.rows)} rows open", self._rounds.most
        return f"{state}, at most {self.spent / self.done * (most - self.done):.0f} s left" if most else state

    def _counts(self, row: str) -> Iterator[Finding]:
        base, candidate = (self._rounds.counts[row][side] for side in ("base", "candidate"))
        for name in sorted(base.keys() & candidate.keys()):
            rule, about = self._policy[family(name)], candidate[name]
            old, new = base[name]["value"], about["value"]
            if not rule.skip:
                exact = Difference(baseline=old, candidate=new, low=new - old, high=new - old, method="exact")
                yield judge(
                    row, name, exact, rule, unit=about["unit"], higher_is_better=about["higher_is_better"]
                )  # fmt: skip

    def _gone(self, row: str) -> Iterator[Finding]:
        """What the base measures and the candidate does not."""
        pairs = [self._rounds.counts[row], *self._rounds.blocks.get(row, ())[:1]]
        for name in sorted({name for pair in pairs for name in pair["base"].keys() - pair["candidate"].keys()}):
            if not self._policy[family(name)].skip:
                yield Finding(row=row, quantity=name, status="vanished", reason="the candidate does not measure it")
