"""Where the numbers that the gate compares stand in a record."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a quantity of a profile record stands.

    Attributes:
        paths: Keys to follow with the factor that brings the number to ``unit``; the first that gives a number counts.
        unit: Of the result.
        raw: Keys to a list of raw samples in ``unit``, or ``array``.
        array: Name of the array of raw samples beside the record.
    """

    paths: tuple[tuple[tuple[str, ...], float], ...]
    unit: str
    raw: tuple[str, ...] = ()
    array: str = ""


SOURCES: tuple[tuple[str, Source], ...] = (
    (
        "latency",
        Source(
            paths=((("timing", "latency", "median_ms"), 1e-3), (("timing", "latency", "median_s"), 1.0)),
            unit="s",
            array="latency_s",
        ),
    ),
    (
        "infer_throughput",
        Source(
            paths=((("timing", "infer", "clips_per_s"), 1.0),),
            unit="clips/s",
            raw=("timing", "infer", "block_clips_per_s"),
        ),
    ),
    (
        "train_throughput",
        Source(
            paths=((("timing", "train", "clips_per_s"), 1.0),),
            unit="clips/s",
            raw=("timing", "train", "block_clips_per_s"),
        ),
    ),
    ("host_memory", Source(paths=((("memory", "host_peak_mib"), 1.0),), unit="MiB")),
    ("device_memory", Source(paths=((("memory", "device_peak_mib"), 1.0),), unit="MiB")),
    ("parameters", Source(paths=((("provenance", "model", "parameters"), 1.0),), unit="")),
    (
        "flops",
        Source(
            paths=(
                (("timing", "flops", "total"), 1.0),
                (("provenance", "model", "flops", "total"), 1.0),
                (("provenance", "model", "flops"), 1.0),
            ),
            unit="FLOP",
        ),
    ),
    (
        "storage",
        Source(
            paths=(
                (("memory", "storage_bytes"), 1.0),
                (("provenance", "storage", "bytes_per_clip"), 1.0),
                (("artifacts", "checkpoint", "bytes"), 1.0),
            ),
            unit="B",
        ),
    ),
)
"""What is read from a record; scores are read by :func:`bench.gate.collect.collect`."""

UNSAMPLED = frozenset({"parameters", "flops", "storage"})
"""Counts: equal in every process, and all that is read from an evaluate record besides its score."""
