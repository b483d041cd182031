"""A file of pytest-benchmark as rows of a baseline."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from bench.errors import DataError
from bench.gate.baseline import PinnedRow
from bench.gate.collect import Collected, measured
from bench.results.quantities import finite
from bench.textfiles import parse_json


def collect_benchmarks(text: str, origin: str) -> Collected:
    """The timings in the text of a file of pytest-benchmark; ``origin`` names it in messages.

    Raises:
        DataError: Another kind of file, or a test that stands in it twice.
    """
    content = parse_json(text, origin, advice=f"run pytest --benchmark-json={origin} again")
    entries = content.get("benchmarks") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not all(isinstance(e, dict) and "fullname" in e for e in entries):
        raise DataError(f"{origin}: not a file of pytest-benchmark; make one with pytest --benchmark-json={origin}")
    where, words = _machine(_block(content.get("machine_info")))
    rows = sorted((_benchmark_row(entry, where) for entry in entries), key=lambda row: row.name)
    names = [row.name for row in rows]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"{origin}: in it twice: {', '.join(twice)}; run each test once")
    return Collected(rows=tuple(rows), machines={where: words} if where else {})


def _benchmark_row(entry: Mapping[str, Any], where: str | None) -> PinnedRow:
    stats = _block(entry.get("stats"))
    raw = stats.get("data")
    samples = [finite(value) for value in raw] if isinstance(raw, list) else []
    times = [value for value in samples if value is not None and value > 0]
    median = finite(stats.get("median"))
    row = PinnedRow(name=str(entry["fullname"]), kind="pytest-benchmark", hardware=where)
    if not samples and raw is not None:
        missing = "no round was timed"
    elif len(times) < len(samples):
        missing = "raw times are not positive and finite"
    elif median is None or median <= 0:
        missing = "the median is no positive, finite number"
    else:
        return row.model_copy(update={"quantities": {"latency": measured("s", [median], [times] if times else ())}})
    return row.model_copy(update={"missing": {"latency": missing}})


def _machine(info: Mapping[str, Any]) -> tuple[str | None, str]:
    """A short name of the CPU and its cores, and words; no host name. ``None`` where the CPU is not named."""
    cpu = _block(info.get("cpu"))
    brand, count = cpu.get("brand_raw"), cpu.get("count")
    if not brand:
        return None, ""
    facts = json.dumps([brand, count, info.get("machine"), info.get("system")])
    return hashlib.sha256(facts.encode()).hexdigest()[:12], f"{brand}, {count} logical cores"


def _block(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
