"""The largest batch that fits a device, bisected; each try is a profile cell in a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from bench.config.selection import Selection
from bench.config.settings import Settings
from bench.errors import BenchError
from bench.running.progress import Progress
from bench.running.runner import Runner
from bench.studies.profile.run import ON_CPU, Sweep, at_batch

LARGEST_TRIED = 65_536
"""No larger batch is tried."""


def search_largest(selection: Selection, sweep: Sweep, settings: Settings, progress: Progress) -> Sweep:
    """The sweep with the largest batch that fits the device, each try in a process of its own.

    Args:
        selection: As for :func:`run_sweep`.
        sweep: Its result; what it found to fit or not is where the search begins.
        settings: How to run.
        progress: Told what happens.

    Raises:
        BenchError: A try ends otherwise than with a result or out of memory.
    """
    if selection.device == "cpu":
        return replace(sweep, largest=ON_CPU)

    def fits(batch: int) -> bool:
        brief = replace(selection, overrides=(*selection.overrides, "recipe.publishable=false"))
        (record,) = Runner(at_batch(brief, batch, 0), settings, progress).run().records
        if record.status not in ("ok", "oom"):
            why = record.error.message if record.error else "no reason given"
            raise BenchError(f"the search for the largest batch stopped at {batch}: {record.status}: {why}")
        return record.status == "ok"

    low = max((row.batch for row in sweep.rows if set(row.statuses) == {"ok"}), default=0)
    high = min((row.batch for row in sweep.rows if "oom" in row.statuses), default=None)
    return replace(sweep, largest=bisect_largest(fits, low=low, high=high))


def bisect_largest(fits: Callable[[int], bool], *, low: int, high: int | None) -> int | str:
    """The largest batch that fits: doubled until one does not, then bisected to the very clip.

    Args:
        fits: Tries a batch.
        low: Known to fit; 0 = nothing is known.
        high: Known not to fit; ``None`` = nothing is known.

    >>> bisect_largest(lambda batch: batch <= 1234, low=16, high=None)
    1234
    """
    while high is None:
        tried = max(1, 2 * low)
        if tried > LARGEST_TRIED:
            return f"a batch of {low} still fits; nothing larger was tried"
        if fits(tried):
            low = tried
        else:
            high = tried
    while high - low > 1:
        middle = (low + high) // 2
        if fits(middle):
            low = middle
        else:
            high = middle
    return low or "not even one clip fits"
