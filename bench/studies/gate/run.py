"""Base, candidate and base again, measured in turns until the verdict is clear or the time is over."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from bench.config.selection import Selection
from bench.config.settings import Settings
from bench.errors import NoCellError
from bench.gate.comparison import judge
from bench.gate.intervals import Difference
from bench.gate.looks import Key, Series, judge_look
from bench.gate.policy import Policy, family
from bench.gate.verdict import Finding, Verdict
from bench.job import Action
from bench.measurement.machine import CONTENDED_SHARE, foreign_cpu
from bench.running.progress import Progress
from bench.statistics.sequential import FIRST, planned_looks
from bench.studies.gate.revisions import Revisions, find_revisions, prepare_trees
from bench.studies.gate.rounds import SIDES, Rounds, Values, middle_values
from bench.studies.gate.sides import Side, open_sides

TURNS = (SIDES, ("candidate", "again", "base"), ("again", "base", "candidate"))
COUNTED = SIDES[:2]
MOST_ROUNDS = 200
FORKS = 3
"""Processes of a side in a round; starting its image takes about as long as so many. Several rows share them."""


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
        self._count([row for row in self.rows if row not in self._rounds.counts])
        while active := [row for row in self._alive() if not self.done or self._open(row)]:
            self.done += 1
            due = [row for row in active if len(self._rounds.blocks.get(row, ())) < self.done]
            start = time.monotonic()
            self._round(due)
            if not self._rounds.most and (self.done > 1 or 3 * (time.monotonic() - start) > self._budget):
                self._plan(time.monotonic() - start)
            over = bool(due) and self.spent > self._budget
            last = over or self.done >= (self._rounds.most or MOST_ROUNDS)
            if last or self.done in planned_looks(self._rounds.most):
                self._look(last=last)
            if due:
                self._progress.note(self._state())

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

    def _count(self, rows: Sequence[str]) -> None:
        """What is the same in every process, once."""
        for side in COUNTED if rows else ():
            self._sides[side].start()
        for row in rows:
            start = time.monotonic()
            if found := self._measured(row, COUNTED, "count"):
                self._rounds.add("counts", row=row, sides=found, seconds=time.monotonic() - start)

    def _round(self, rows: Sequence[str]) -> None:
        """New images, which fork processes of all rows in turns: where an image lies in memory moves all its forks.

        So a round, and not a process, is what says the same again.
        """
        if not rows:
            return
        start = time.monotonic()
        for side in self._sides.values():
            side.start()
        quick = min(rows, key=lambda row: self._rounds.took.get(row, 0.0))
        for side in self._sides.values():  # a first process, which is not kept, once all of them are there
            side.measure(quick)
        taken: dict[str, list[dict[str, Values]]] = {row: [] for row in rows}
        for turn in range(max(1, FORKS // len(self.rows))):
            for row in rows:
                order = TURNS[(self.done + turn) % len(TURNS)]
                if row not in self._rounds.failed and (found := self._measured(row, order, "block")):
                    taken[row].append(found)
        self.close()
        whole = [row for row in rows if row not in self._rounds.failed]
        seconds = (time.monotonic() - start) / max(1, len(whole))
        for row in whole:
            sides = {side: middle_values([turn[side] for turn in taken[row]]) for side in SIDES}
            self._rounds.add("block", row=row, sides=sides, seconds=seconds)

    def _measured(self, row: str, order: tuple[str, ...], action: Action) -> dict[str, Values] | None:
        """One process of each side, or nothing where one fails."""
        found = dict[str, Values]()
        for side in order:
            values = self._sides[side].measure(row, action)
            if isinstance(values, str):
                self._rounds.add("failed", row=row, side=side, why=values)
                return None
            found[side] = values
        return found

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
