"""What is checked of launchers, reporters, observers, protocols and measurements, on synthetic values."""

from __future__ import annotations

import functools
import inspect
import itertools
import math
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np

from bench.cell import Cell
from bench.clips import Clips
from bench.config.recipes import resolve
from bench.errors import LeakError, SelectionError
from bench.job import Job
from bench.plugins.factories import load_factory
from bench.plugins.interfaces import Answered, Event, Finished, Launcher, Lost, Resources
from bench.plugins.registry import Entry
from bench.plugins.specs import LauncherSpec, MeasurementSpec, ObserverSpec, ProtocolSpec
from bench.protocols.split import Split, available_folds, make_split, takes_seed
from bench.results.records import Failure, Record, Score, Status
from bench.testing.inputs import synthetic_clips
from bench.testing.results import Check, CheckResult, checks_of, failed, judge, passed, skipped

if TYPE_CHECKING:
    from bench.analysis.model import Board

_CELL = Cell(
    kind="evaluate", dataset="check-clips", protocol="4+1@1", fold=1, model="check.constant", frontend="waveform",
    recipe="smoke",
)  # fmt: skip


def launcher_checks(entry: Entry[LauncherSpec]) -> dict[str, Check]:
    """The checks of one launcher, on cells that take no time; skipped where what it needs is not here."""
    return _unless_absent(checks_of(entry, ends, stops))


def _unless_absent(checks: Mapping[str, Check]) -> dict[str, Check]:
    def check_or_skip(check: Check) -> CheckResult:
        try:
            return check()
        except SelectionError as error:
            return skipped(str(error))

    return {name: functools.partial(check_or_skip, check) for name, check in checks.items()}


def _launch(entry: Entry[LauncherSpec], jobs: list[Job], on_event: Callable[[Event], None]) -> None:
    launcher: Launcher = load_factory(entry.factory)()
    try:
        launcher.run(jobs, on_event, Resources(slots=2, threads=1))
    finally:
        if hasattr(launcher, "close"):
            launcher.close()


def _jobs(count: int) -> list[Job]:
    home = Path(__file__).with_name("shortest_cell.py")
    job = Job(cell=_CELL, recipe=resolve("smoke"), fingerprint="check", plugins=(home,), timeout_s=120)
    return [replace(job, cell=replace(_CELL, seed=seed)) for seed in range(count)]


def ends(entry: Entry[LauncherSpec]) -> CheckResult:
    """Every job ends once, with the record of its own cell or with why it was lost."""
    jobs, events = _jobs(2), list[Event]()
    _launch(entry, jobs, events.append)
    ended = [event for event in events if isinstance(event, (Finished, Answered, Lost))]
    if sorted(event.job.cell.id for event in ended) != sorted(job.cell.id for job in jobs):
        return failed(f"{len(ended)} ends for {len(jobs)} jobs; report each job's end once, with the job it got")
    for event in ended:
        if isinstance(event, Answered):
            return failed("a job whose action is 'cell' was answered; pass its record on as Finished")
        if isinstance(event, Finished) and event.record.cell != event.job.cell:
            return failed(f"the record of {event.record.cell.id} came for {event.job.cell.id}; keep job and record")
        if isinstance(event, Finished) and event.record.status == "ok" and "predictions.npz" not in event.files:
            return failed("a record came without its predictions.npz; hand over the files of the event too")
    lost = next((event for event in ended if isinstance(event, Lost)), None)
    said = "each with its record" if lost is None else f"as lost ({lost.status}: {lost.failure.message})"
    return passed(f"{len(jobs)} jobs ended {said}", float(len(events)))


def stops(entry: Entry[LauncherSpec]) -> CheckResult:
    """What the host raises while it is told of an event comes through."""

    class StoppedError(Exception):
        pass

    def refuse(_event: Event) -> None:
        raise StoppedError

    try:
        _launch(entry, _jobs(1), refuse)
    except StoppedError:
        return passed("what on_event raises comes through")
    return failed("what on_event raised was swallowed; let it pass, after your processes were stopped")


def sample_board(*, empty: bool = False) -> Board:
    """Two models on one fold, without predictions; no row where it is ``empty``."""
    from bench.analysis.board import build_board  # imports scipy, which few of these checks need

    records = [] if empty else [
        Record(
            cell=replace(_CELL, model=model), status="ok", scores=(Score(name="accuracy", value=value),),
            started_at="2026-01-01T00:00:00+00:00",
            provenance={"dataset": {"title": "Sample", "test": 40}, "model": {"name": model}},
        )
        for model, value in (("check.one", 0.5), ("check.two", 0.75))
    ]  # fmt: skip
    return build_board(records, metrics={})


Render = Callable[["Board"], str | bytes]


def reporter_checks(render: Render) -> dict[str, Check]:
    """The checks of one report format, by name, in order."""
    return checks_of(render, renders, repeats, empty)


def renders(render: Render) -> CheckResult:
    """A board becomes text or bytes."""
    found: Any = render(sample_board())
    if not isinstance(found, (str, bytes)):
        return failed(f"it gave {type(found).__name__}; return str or bytes")
    return judge(bool(found), f"a {type(found).__name__} of {len(found)}", "return the whole file", float(len(found)))


def repeats(render: Render) -> CheckResult:
    """The same board gives the same file; one that says when it was made says ``SOURCE_DATE_EPOCH`` where it is set."""
    with patch.dict(os.environ, SOURCE_DATE_EPOCH="1767225600"):
        same = render(sample_board()) == render(sample_board())
    advice = "leave out random names and times, or take the time from SOURCE_DATE_EPOCH where it is set"
    return judge(same, f"two files are {'the same' if same else 'different'}", advice)


def empty(render: Render) -> CheckResult:
    """A board without rows is a file too."""
    render(sample_board(empty=True))
    return passed("a board without rows is rendered")


def observer_checks(entry: Entry[ObserverSpec]) -> dict[str, Check]:
    """The checks of one observer; skipped where what it needs is not here."""
    return _unless_absent(checks_of(entry, observes))


def observes(entry: Entry[ObserverSpec]) -> CheckResult:
    """Two cells side by side, of which one fails, and one that never began; then a run that ends with a cell open."""
    jobs, build = _jobs(3), load_factory(entry.factory)
    ends: tuple[Status, ...] = ("ok", "failed", "crashed")
    with tempfile.TemporaryDirectory(prefix="bench-observer-") as folder:
        where = {"folder": Path(folder) / "new"} if "folder" in inspect.signature(build).parameters else {}
        tell = functools.partial(_tell, build(**where))
        for job in jobs[:2]:
            tell("cell_start", job.cell, job.recipe.model_dump(mode="json"))
        for epoch, job in itertools.product((1, 2), jobs[:2]):
            tell("epoch_end", job.cell, epoch, {"train_loss": 1.0 / epoch, "lr": 1e-3, "seconds": 0.5})
        for job, status in zip(jobs, ends, strict=True):
            tell("cell_finish", _ended(job, status))
        tell("close")
        tell = functools.partial(_tell, build(**where))
        for job in jobs[:1] * 2:  # what ran it was lost
            tell("cell_start", job.cell, job.recipe.model_dump(mode="json"))
        tell("close")
    return passed(f"{len(jobs)} cells, two of them side by side; a run that ends with a cell open")


def _tell(observer: Any, method: str, *values: Any) -> None:
    if call := getattr(observer, method, None):
        call(*values)


def _ended(job: Job, status: Status) -> Record:
    ok = status == "ok"
    return Record(
        cell=job.cell, status=status, scores=(Score(name="accuracy", value=0.5),) if ok else (),
        recipe=job.recipe.model_dump(mode="json"), started_at="2026-01-01T00:00:00+00:00",
        error=None if ok else Failure(reason="exit", stage="worker", message="its process died"),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class ProtocolCase:
    """A protocol with clips of folds, groups and a published split; ``clips`` have groups only where it needs them."""

    entry: Entry[ProtocolSpec]
    grouped: Clips
    clips: Clips

    @classmethod
    def of(cls, entry: Entry[ProtocolSpec]) -> ProtocolCase:
        """Make the clips."""
        clips, place = synthetic_clips(clips=600, classes=3, samples=400), np.arange(600) // 6
        splits = tuple(("train", "train", "train", "val", "test")[i % 5] for i in place)
        full = replace(clips, folds=place % 5 + 1, groups=tuple(f"group {i}" for i in place), splits=splits)
        return cls(entry, full, full if "groups" in entry.spec.needs else replace(full, groups=None))

    def split(self, fold: int, seed: int = 0) -> Split:
        """The parts of one fold; the host refuses what overlaps, is empty or leaves the clips."""
        return make_split(self.entry, self.clips, fold, seed=seed)


def protocol_checks(case: ProtocolCase) -> dict[str, Check]:
    """The checks of one protocol, by name, in order."""
    return checks_of(case, parts, repeatable, seeds, groups)


def parts(case: ProtocolCase) -> CheckResult:
    """Every fold gives disjoint parts of known clips, of which train and test are not empty."""
    sizes = [len(case.split(fold).test) for fold in available_folds(case.entry, case.clips)]
    return passed(f"{len(sizes)} folds of {min(sizes)} to {max(sizes)} test clips, parts disjoint", float(len(sizes)))


def _same(one: Split, other: Split, *names: str) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)


def repeatable(case: ProtocolCase) -> CheckResult:
    """The same fold and seed give the same parts: the host divides when it plans, the worker divides again."""
    fold = available_folds(case.entry, case.clips)[0]
    same = _same(case.split(fold), case.split(fold), "train", "validation", "test")
    return judge(same, f"fold {fold} twice: {'the same' if same else 'other'} parts", "draw from `seed` or `version`")


def seeds(case: ProtocolCase) -> CheckResult:
    """Where a seed is a draw, all draws have the same test part."""
    if not takes_seed(case.entry):
        return skipped("its division takes no seed")
    fold = available_folds(case.entry, case.clips)[0]
    one, other = case.split(fold), case.split(fold, seed=1)
    if not _same(one, other, "test"):
        return failed("another seed gives another test part; draw from the other clips only")
    return judge(not _same(one, other, "train"), "another seed, another draw", "use `seed`, or do not take it")


def groups(case: ProtocolCase) -> CheckResult:
    """Groups within folds do not leak; a protocol that ignores them is refused by the host, or reports its leak."""
    try:
        fold = available_folds(case.entry, case.grouped)[0]
        leak = make_split(case.entry, case.grouped, fold).leak
    except LeakError as error:
        return passed(f"it ignores groups, so the host refuses it where they leak ({error.rate:.0%})", error.rate)
    said = f"{leak.rate or 0:.0%} of the test clips share a group with train or validation"
    allowed = not leak.groups or (case.entry.spec.leaks == "reported" and not case.entry.spec.ranked)
    return judge(allowed, said, "a protocol that reports its leak needs ranked=False", leak.rate)


def measures(entry: Entry[MeasurementSpec]) -> CheckResult:
    """A finite number, or ``None`` where it cannot be measured here, of calls that multiply small matrices."""
    matrix = np.ones((64, 64), dtype=np.float32)
    found: Any = load_factory(entry.factory)(lambda _index: matrix @ matrix, 4)
    if found is None:
        return skipped("it cannot be measured here")
    good = isinstance(found, (int, float)) and math.isfinite(found)
    return judge(good, f"{found!r} {entry.spec.unit}".strip(), "return a finite number, or None")
