"""What a run shows while it goes on, on standard error: bars with an ETA on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any, Self

from bench.cell import Cell
from bench.escaping import line, terminal
from bench.planning.plan import Plan
from bench.plugins.interfaces import EpochEnded
from bench.results.records import Record
from bench.running.progress import Progress

_QUIET_S = 2.0


def duration(seconds: float) -> str:
    """``75`` as ``1m 15s``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    return f"{whole // 3600}h {whole % 3600 // 60:02d}m"


class _Counting(Progress):
    """Remaining time: the plan's costs of what is left, corrected by how finished cells compared with theirs.

    Cells of a model that has finished one go by that model's own; the others by all, four times either way at most.
    """

    _count = _done = 0
    _planned: float | None = None
    _total = _start = 0.0

    def __init__(self) -> None:
        self._begun: dict[str, tuple[float, int]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def _left(self, what: str, done: int, total: int) -> str:
        """Words on the time that what is counted still takes at the pace since it was first mentioned."""
        start, first = self._begun.setdefault(what, (time.monotonic(), done))
        spent = time.monotonic() - start
        if spent < _QUIET_S or not first < done < total:
            return ""
        return f", {duration(spent / (done - first) * (total - done))} left"

    def planned(self, plan: Plan, slots: int) -> None:
        """One line on the plan."""
        self._costs = {p.cell: p.cost_s for p in plan.runnable}
        self._count, self._planned, self._start = len(self._costs), plan.eta_s(slots), time.monotonic()
        self._done, self._seen = 0, dict[object, tuple[float, float]]()
        self._total = sum(cost or 0.0 for cost in self._costs.values())
        self.note(summary(plan, slots))

    def _state(self, record: Record, before: str) -> str | None:
        """How far the run is with this record, ``None`` without a plan; ``before`` stands before the time left."""
        if not self._start:
            return None
        if record.cell in self._costs:
            cost, seconds = self._costs.pop(record.cell), record.timing.get("wall_s")
            self._done += 1
            if cost is not None and seconds is not None:
                for key in (None, _model(record.cell)):
                    expected, taken = self._seen.get(key, (0.0, 0.0))
                    self._seen[key] = expected + cost, taken + float(seconds)
        remaining = self._remaining()
        left = "" if remaining is None else f"{before}{duration(remaining)} left"
        return f"{self._done}/{self._count}{left}"

    def _remaining(self) -> float | None:
        """Seconds left, ``None`` while nothing is known."""
        if self._planned is None or not self._total:
            spent = time.monotonic() - self._start
            return spent / self._done * len(self._costs) if self._done else None
        left = sum(cost * self._pace(cell) for cell, cost in self._costs.items() if cost)
        return self._planned * left / self._total

    def _pace(self, cell: Cell) -> float:
        """Seconds that a cell takes for each that its plan expects."""
        expected, taken = self._seen.get(_model(cell), (0.0, 0.0))
        if expected:
            return taken / expected
        expected, taken = self._seen.get(None, (0.0, 0.0))
        return min(4.0, max(0.25, taken / expected)) if expected else 1.0


def _model(cell: Cell) -> object:
    return cell.kind, cell.model, cell.mode, cell.dataset


class LineProgress(_Counting):
    """One line per event that matters; for logs and pipes."""

    def __init__(self) -> None:
        super().__init__()
        self._counted: dict[str, float] = {}

    def note(self, text: str) -> None:
        """A sentence."""
        print(text, file=sys.stderr, flush=True)

    def count(self, what: str, done: int, total: int) -> None:
        """At most one line in two seconds, and none for what is over at once."""
        now, left = time.monotonic(), self._left(what, done, total)
        last = self._counted.setdefault(what, now)
        if now - last >= _QUIET_S:
            self._counted[what] = now
            self.note(f"{what}: {done} of {total}{left}")

    def finished(self, record: Record) -> None:
        """A line for each finished cell."""
        if state := self._state(record, ", "):
            self.note(f"[{state}] {outcome(record)}")


class BarProgress(_Counting):
    """A bar for the whole run, one line per running cell, finished cells above."""

    def __init__(self) -> None:
        super().__init__()
        from rich import progress
        from rich.console import Console

        self._console = Console(file=getattr(sys.stderr, "drawn", sys.stderr))
        self._bars = progress.Progress(
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(bar_width=24),
            progress.TextColumn("{task.fields[state]}", markup=False),
            console=self._console,
            transient=True,
        )
        self._whole: Any = None
        self._tasks: dict[Any, Any] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bars.stop()

    def note(self, text: str) -> None:
        """A sentence above the bars."""
        self._console.print(terminal(text, keep="\n"), markup=False, highlight=False)

    def count(self, what: str, done: int, total: int) -> None:
        """A bar that vanishes when it is full."""
        left = self._left(what, done, total)
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(line(what), total=total, state="")
        self._bars.update(self._tasks[what], completed=done, total=total, state=f"{done}/{total}{left}")
        if done >= total:
            self._bars.remove_task(self._tasks.pop(what))

    def planned(self, plan: Plan, slots: int) -> None:
        """Begin the bar of the whole run."""
        super().planned(plan, slots)
        self._whole = self._bars.add_task("all cells", total=max(1, len(plan.runnable)), state="")

    def started(self, cell: Cell) -> None:
        """A line for the cell, in place of one that it had."""
        if cell in self._tasks:
            self._bars.remove_task(self._tasks[cell])
        self._tasks[cell] = self._bars.add_task(line(cell.short), total=None, state="")

    def epoch(self, event: EpochEnded) -> None:
        """Its bar moves on."""
        if event.job.cell in self._tasks:
            loss = event.scores.get("train_loss")
            state = f"epoch {event.epoch}/{event.epochs}" + (f"  loss {loss:.3f}" if loss is not None else "")
            self._bars.update(self._tasks[event.job.cell], completed=event.epoch, total=event.epochs, state=state)

    def finished(self, record: Record) -> None:
        """The bar of the whole run moves on, a line above tells the outcome."""
        if record.cell in self._tasks:
            self._bars.remove_task(self._tasks.pop(record.cell))
        if state := self._state(record, "  "):
            self._bars.update(self._whole, completed=self._done, state=state)
            self.note(outcome(record))


def open_progress() -> LineProgress | BarProgress:
    """Bars where standard error is a terminal, lines elsewhere."""
    return BarProgress() if sys.stderr.isatty() else LineProgress()


def summary(plan: Plan, slots: int) -> str:
    """One sentence on a plan."""
    counts = {kind: sum(p.decision == kind for p in plan.cells) for kind in ("incompatible", "over_budget")}
    reused = sum(p.reused for p in plan.cells)
    eta = plan.eta_s(slots)
    parts = [f"{len(plan.runnable)} cells to run, {slots} side by side"]
    if reused:
        parts.append(f"{reused} already measured")
    parts += [f"{count} {kind.replace('_', ' ')}" for kind, count in counts.items() if count]
    unknown = sum(p.cost_s is None for p in plan.runnable)
    parts.append(f"about {duration(eta)}" if eta is not None else f"time unknown ({unknown} cells without a cost)")
    return "plan: " + ", ".join(parts)


def outcome(record: Record) -> str:
    """One line on a finished cell."""
    took = record.timing.get("wall_s")
    seconds = "" if took is None else f" in {duration(took)}"
    if record.status != "ok":
        why = record.error.message if record.error else ""
        return f"{record.status.replace('_', ' ')}: {record.cell.short}: {why}"
    if record.cell.kind == "profile":
        rate = record.timing["infer"]["clips_per_s"]
        return f"ok: {record.cell.short}: {rate:.4g} clips/s{seconds}"
    score = record.primary
    if score is None or score.value is None:
        return f"ok: {record.cell.short}: scored{seconds}"
    from bench.reports import formatting  # not before there is something to say: a run starts sooner

    said = f"{score.name} {formatting.score(score.value, score)}{formatting.unit(score)}"
    return f"ok: {record.cell.short}: {said}{seconds}"
