"""The largest batch that fits a device, bisected; each try is a profile cell in a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from bench.config.selection import Selection
from bench.config.settings import Settings
from bench.errors import BenchError, NoCellError
from bench.running.progress import Progress
from bench.studies.common import profile_in_turns, why
from bench.studies.profile.run import ON_CPU, ProfileStudy, at_batch

LARGEST_TRIED = 65_536
"""No larger batch is tried."""


def search_largest(selection: Selection, study: ProfileStudy, settings: Settings, progress: Progress) -> ProfileStudy:
    """The study with the largest batch that fits the device, each try in a process of its own.

    Args:
        selection: As for :func:`bench.studies.profile.run.run_batches`.
        study: Its result; what it found to fit or not is where the search begins.
        settings: How to run.
        progress: Told what happens.

    Raises:
        BenchError: A try ends otherwise than with a result or out of memory.
    """
    if selection.device == "cpu":
        return replace(study, largest=ON_CPU)
    brief = replace(selection, overrides=(*selection.overrides, "recipe.publishable=false"))

    def fits(batch: int) -> bool:
        tried = profile_in_turns({batch: at_batch(brief, batch)}, settings, progress)[batch]
        if tried.refused is not None:
            raise NoCellError(tried.refused)
        (record,) = tried.records
        if record.status not in ("ok", "oom"):
            raise BenchError(f"the search for the largest batch stopped at {batch}: {record.status}: {why(record)}")
        return record.status == "ok"

    low = max((row["batch"] for row in study.rows if set(row["statuses"]) == {"ok"}), default=0)
    high = min((row["batch"] for row in study.rows if "oom" in row["statuses"]), default=None)
    return replace(study, largest=bisect_largest(fits, low=low, high=high))


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
        low, high = (tried, None) if fits(tried) else (low, tried)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low or "not even one clip fits"
