"""From profile records to one row per batch size, and to where larger batches stop paying."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench.results.quantities import NAMED, measurements
from bench.results.records import Record
from bench.statistics.results import Refusal
from bench.statistics.timing import process_interval
from bench.studies.common import bad_record, known, why

SATURATION_SHARE = 0.9
"""The saturation batch size is the smallest that reaches this share of the highest throughput."""

RATES = {"infer": NAMED["infer_clips_per_s"], "train": NAMED["train_clips_per_s"]}
PEAKS = {name: NAMED[name] for name in ("host_peak_mib", "device_peak_mib")}
SHOWN = RATES | PEAKS


def batch_row(batch: int, records: Sequence[Record]) -> dict[str, Any]:
    """One batch size as JSON values, unknown is ``None``.

    Returns:
        ``batch``; ``statuses`` of each process; ``problem`` of the first that has no result; ``infer`` and ``train``
        (clips per second, medians over processes) with ``infer_interval`` (95 %); ``host_peak_mib`` and
        ``device_peak_mib`` (the highest of all processes); ``added`` (medians of what plugins measured, by title);
        ``reasons`` by name.
    """
    good, bad = [record for record in records if record.status == "ok"], bad_record(records)
    problem = None if bad is None else f"{bad.status}: {why(bad)}"
    reasons: dict[str, str] = {}
    added = {one.title: one for one in (measurements(good[0]) if good else ())}
    found = {name: known(good, one.read) for name, one in (SHOWN | added).items()}
    rates, peaks = ({name: found[name] for name in names} for names in (RATES, PEAKS))
    if good:
        empty = {name: (SHOWN | added)[name] for name, values in found.items() if not values}
        reasons = {name: one.reason(good[0]) or "not measured" for name, one in empty.items()}
    interval = process_interval(rates["infer"]) if rates["infer"] else None
    if isinstance(interval, Refusal):
        reasons["infer_interval"] = interval.reason
    return {
        "batch": batch,
        "statuses": [record.status for record in records],
        "problem": problem,
        **{name: float(np.median(values)) if values else None for name, values in rates.items()},
        **{name: max(values, default=None) for name, values in peaks.items()},
        "added": {name: float(np.median(found[name])) if found[name] else None for name in added},
        "infer_interval": None if interval is None or isinstance(interval, Refusal) else [interval.low, interval.high],
        "reasons": reasons if good else {"infer": problem or "no result"},
    }


def saturation(rates: Mapping[int, float | None]) -> dict[str, float] | str:
    """The smallest batch with at least 90 % of the highest rate, or why there is none.

    Args:
        rates: Clips per second by batch; ``None`` where there is no result.

    Returns:
        ``batch``, its ``clips_per_s``, and the ``best`` rate of all.

    >>> saturation({1: 10.0, 2: 19.0, 4: 20.0})["batch"]
    2
    """
    measured = {batch: rate for batch, rate in sorted(rates.items()) if rate is not None}
    if len(measured) < 2:
        return f"it takes two batch sizes with a result, there are {len(measured)}"
    best = max(measured.values())
    batch = next(batch for batch, rate in measured.items() if rate >= SATURATION_SHARE * best)
    return {"batch": batch, "clips_per_s": measured[batch], "best": best}


def cell_details(record: Record) -> dict[str, Any]:
    """Latency, stages, FLOPs, guards and energy of one profile cell as it stored them."""
    names = ("latency", "stages", "flops", "guards", "energy")
    return {
        "cell": record.cell.id,
        **{name: record.timing.get(name) for name in names},
        "reasons": record.timing.get("reasons", {}),
    }
