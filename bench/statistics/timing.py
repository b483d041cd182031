"""Times: the unit of inference is the process, never the iteration."""

from __future__ import annotations

import math

import numpy as np
import scipy  # of which `special` is imported when it is used: 24 MB
from numpy.typing import ArrayLike

from bench.statistics.results import Floats, Interval, Refusal, check_level, finite_vector, too_few

MIN_PROCESSES = 8
"""An interval needs at least this many processes."""
BOOTSTRAP_PROCESSES = 20
"""From here on processes are drawn; below, Student's t on their logarithms."""


def samples_needed(q: float) -> int:
    """Samples that a percentile takes.

    Args:
        q: Percentile, strictly between 0 and 100.

    Returns:
        The smallest n for which, with 99 % confidence, two samples lie beyond the percentile:
        11 / 64 / 130 / 662 for p50 / p90 / p95 / p99, and the same for p50 / p10 / p5 / p1.

    Raises:
        ValueError: If ``q`` is no percentile.

    Source: MLPerf inference rules, early stopping (at most one excess allowed).
    """
    if not 0 < q < 100:
        raise ValueError(f"q is {q}; a percentile lies strictly between 0 and 100")
    beyond = min(q, 100 - q) / 100
    n = 2
    while scipy.special.bdtr(1, n, beyond) > 0.01:
        n = max(n + 1, n * 101 // 100)
    while scipy.special.bdtr(1, n - 1, beyond) <= 0.01:
        n -= 1
    return n


def percentile(samples: ArrayLike, q: float) -> float | Refusal:
    """A percentile, refused where the samples cannot show it.

    Args:
        samples: Raw times ``(samples,)``.
        q: Percentile, strictly between 0 and 100.

    Returns:
        The linearly interpolated percentile, in the samples' unit.

    Raises:
        ValueError: If ``q`` is no percentile or a sample is not finite.
    """
    values, need = finite_vector(samples, "samples"), samples_needed(q)
    if values.size < need:
        reason = f"p{q:g} of {values.size} samples: it takes at least {need}"
        return Refusal(reason=reason, have=values.size, need=need)
    return float(np.percentile(values, q))


def process_interval(
    medians: ArrayLike, *, level: float = 0.95, draws: int = 10_000, seed: int = 0
) -> Interval | Refusal:
    """Interval of a typical time from one median per process.

    Args:
        medians: Median time of each process ``(processes,)``, above 0.
        level: Nominal coverage.
        draws: Resamples from 20 processes on.
        seed: Of the resampling.

    Returns:
        In the unit of the medians: of their geometric mean (Student's t on logarithms) for 8 to 19 processes, of their
        median (bootstrap) from 20 on, a refusal below 8. ``method`` says which.

    Raises:
        ValueError: If a time is not positive and finite.
    """
    check_level(level)
    values = finite_vector(medians, "medians", positive=True)
    if values.size < MIN_PROCESSES:
        return too_few("process", values.size, MIN_PROCESSES, "an interval")
    if values.size < BOOTSTRAP_PROCESSES:
        return _log_t(np.log(values), level)
    drawn = _drawn_medians(values, draws, np.random.default_rng(seed))
    return _percentiles(float(np.median(values)), drawn, level, f"bootstrap of the median of {values.size} processes")


def compare_times(
    candidate: ArrayLike, baseline: ArrayLike, *, level: float = 0.95, draws: int = 10_000, seed: int = 0
) -> Interval | Refusal:
    """Ratio of two times from interleaved processes; above 1 = the candidate is slower.

    Args:
        candidate: Median time of each candidate process ``(processes,)``, above 0.
        baseline: The same for the baseline; the counts may differ.
        level: Nominal coverage.
        draws: Resamples where both sides have 20 processes.
        seed: Of the resampling.

    Returns:
        The interval of the ratio: Welch's t on logarithms (geometric means) where a side has fewer than
        20 processes, else the bootstrap of the ratio of medians. A refusal below eight processes a side.

    Raises:
        ValueError: If a time is not positive and finite.
    """
    check_level(level)
    new = finite_vector(candidate, "candidate", positive=True)
    old = finite_vector(baseline, "baseline", positive=True)
    smallest = min(new.size, old.size)
    if smallest < MIN_PROCESSES:
        return too_few("process", smallest, MIN_PROCESSES, "an interval")
    if smallest < BOOTSTRAP_PROCESSES:
        return _welch(np.log(new), np.log(old), level)
    rng = np.random.default_rng(seed)
    drawn = _drawn_medians(new, draws, rng) / _drawn_medians(old, draws, rng)
    return _percentiles(float(np.median(new) / np.median(old)), drawn, level, "bootstrap of the ratio of medians")


def _percentiles(estimate: float, drawn: Floats, level: float, method: str) -> Interval:
    low, high = (float(end) for end in np.quantile(drawn, [0.5 - level / 2, 0.5 + level / 2]))
    return Interval(estimate=estimate, low=low, high=high, level=level, method=method)


def _log_t(logs: Floats, level: float) -> Interval:
    centre = float(logs.mean())
    half = float(scipy.special.stdtrit(logs.size - 1, 0.5 + level / 2)) * float(logs.std(ddof=1)) / math.sqrt(logs.size)
    return _raised(centre, half, level, f"t on the logarithms of {logs.size} process medians")


def _welch(new: Floats, old: Floats, level: float) -> Interval:
    errors = np.array([new.var(ddof=1) / new.size, old.var(ddof=1) / old.size])
    centre, variance = float(new.mean() - old.mean()), float(errors.sum())
    half = 0.0
    if variance > 0:
        freedom = variance**2 / float((errors**2 / (np.array([new.size, old.size]) - 1)).sum())
        half = float(scipy.special.stdtrit(freedom, 0.5 + level / 2)) * math.sqrt(variance)
    return _raised(centre, half, level, "Welch's t on the logarithms of process medians")


def _raised(centre: float, half: float, level: float, method: str) -> Interval:
    """An interval of logarithms, raised."""
    low, middle, high = (math.exp(centre + move) for move in (-half, 0.0, half))
    return Interval(estimate=middle, low=low, high=high, level=level, method=method)


def _drawn_medians(values: Floats, draws: int, rng: np.random.Generator) -> Floats:
    picked = rng.integers(0, values.size, size=(draws, values.size))
    medians: Floats = np.median(values[picked], axis=1)
    return medians
