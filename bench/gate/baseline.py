"""The baseline file: what a run measured, small enough to commit, checked when it is read."""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from bench.errors import StoreError
from bench.metrics.specs import METRICS
from bench.results.quantities import QUANTITIES
from bench.results.reading import first_problem
from bench.textfiles import parse_json

SCHEMA_VERSION = 3
DRAWS = 200
"""Of groups, for scores that are no mean over clips."""

_PACKED = "^(bits|float32):([0-9a-f]{2})*$"

_COUNTED = frozenset(one.gated for one in QUANTITIES if one.exact)

RowKind = Literal["evaluate", "profile", "pytest-benchmark"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Scored(_Frozen):
    """What one fold and seed scored.

    Attributes:
        fold: Test fold in the authors' numbering.
        seed: Seed of the run.
        value: The score that boards of this data set sort by.
        clips: Test clips, ``None`` where the record does not say.
        clips_sha256: Over the ids, groups and targets of the test clips, sorted by id; ``None`` without predictions.
        per_clip: Values of the clips, sorted by id, whose mean is the score, see :func:`packed`; ``None`` without
            predictions and for scores that are no mean over clips.
        drawn: Of such a score its values under draws of the fold's groups, see :func:`packed`; both sides of a gate
            draw alike. ``None`` for every other score.
        groups: Of the clips, sorted by id, while a run is read; never written, since ``clips_sha256`` covers them.
    """

    fold: int
    seed: int
    value: float
    clips: int | None = Field(default=None, ge=1)
    clips_sha256: str | None = None
    per_clip: str | None = Field(default=None, pattern=_PACKED)
    drawn: str | None = Field(default=None, pattern=_PACKED)
    groups: tuple[str, ...] | None = Field(default=None, exclude=True)

    @model_validator(mode="after")
    def _one_each(self) -> Scored:
        """There is one value for each clip, and for each draw."""
        for name, text, count in (("per_clip", self.per_clip, self.clips or 0), ("drawn", self.drawn, DRAWS)):
            if text is not None and len(unpacked(text, count)) != count:
                raise ValueError(f"{name} holds other than {count} values")
        return self


class Measured(_Frozen):
    """One quantity of one row.

    Attributes:
        unit: ``s``, ``clips/s``, ``MiB``, ``B`` or empty.
        higher_is_better: Its direction.
        processes: One value per process, at least one: a median latency, a rate, a peak, a count.
        mad: Median absolute deviation of the raw samples of the first process, ``None`` where there are none.
        samples: Raw samples of each process in the order they were taken, thinned to at most 200: latencies, or the
            rates of the blocks of a throughput.
    """

    unit: str
    higher_is_better: bool = False
    processes: tuple[float, ...] = Field(min_length=1)
    mad: float | None = None
    samples: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A score or quantity of a row: the mean over folds and seeds, or the median over ``count`` processes."""

    name: str
    unit: str
    higher_is_better: bool
    is_score: bool
    value: float
    count: int


class PinnedRow(_Frozen):
    """All cells that differ only in fold and seed, measured on one machine.

    Attributes:
        name: Data set, protocol, model and axes; the full name of a test for pytest-benchmark.
        kind: What made it.
        identity: Hash of the protocol on these data; empty where speed alone was measured.
        hardware: Hardware fingerprint and threads; ``None`` where unknown or, for scores, of no importance.
        metric: Name of the score, empty for a row without scores.
        unit: Of the score: ``fraction``, ``nats`` or empty.
        higher_is_better: Direction of the score.
        cells: Scores by fold and seed.
        quantities: By name, see :func:`bench.gate.policy.family`.
        missing: Quantities that could not be measured, with the reason.
    """

    name: str
    kind: RowKind
    identity: str = ""
    hardware: str | None = None
    metric: str = ""
    unit: str = "fraction"
    higher_is_better: bool = True
    cells: tuple[Scored, ...] = ()
    quantities: dict[str, Measured] = Field(default_factory=dict)
    missing: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _positive(self) -> PinnedRow:
        """Only a count may be 0: no time, rate or peak is."""
        for name, one in self.quantities.items():
            if name not in _COUNTED and min(chain(one.processes, *one.samples)) <= 0:
                raise ValueError(f"{name} holds {min(chain(one.processes, *one.samples))}; it must be above 0")
        return self

    def numbers(self) -> Iterator[Number]:
        """The score and every quantity, each as one number."""
        if self.cells:
            yield Number(
                name=self.metric, unit=self.unit, higher_is_better=self.higher_is_better, is_score=True,
                value=score_mean(self.cells), count=len(self.cells),
            )  # fmt: skip
        for name, one in sorted(self.quantities.items()):
            yield Number(
                name=name, unit=one.unit, higher_is_better=one.higher_is_better, is_score=False,
                value=statistics.median(one.processes), count=len(one.processes),
            )  # fmt: skip


class Baseline(_Frozen):
    """A pinned run.

    Attributes:
        schema_version: Of the file.
        pinned_at: UTC, ISO 8601.
        libraries: Versions that measured it, ``None`` = not installed.
        machines: Hardware to words.
        rows: Sorted by name and hardware.
    """

    schema_version: int = SCHEMA_VERSION
    pinned_at: str
    libraries: dict[str, str | None] = Field(default_factory=dict)
    machines: dict[str, str] = Field(default_factory=dict)
    rows: tuple[PinnedRow, ...] = Field(min_length=1)

    def to_json(self) -> str:
        """The file: a row a line, and a checksum over everything else, so that an edit by hand is noticed."""
        values = self.model_dump(mode="json")
        head = {name: value for name, value in values.items() if name != "rows"} | {"sha256": _checksum(values)}
        rows = ",\n".join(json.dumps(row, sort_keys=True, allow_nan=False) for row in values["rows"])
        return f'{json.dumps(head, indent=1, sort_keys=True)[:-2]},\n "rows": [\n{rows}\n ]\n}}\n'


def score_mean(cells: Sequence[Scored]) -> float:
    """Mean score of cells, weighted by their test clips."""
    weights = [cell.clips or 1 for cell in cells]
    return float(np.average([cell.value for cell in cells], weights=weights))


def packed(values: npt.NDArray[np.float64]) -> str:
    """Values per clip or draw as text: hexadecimal digits of single bits for right and wrong, else of float32."""
    if np.isin(values, (0, 1)).all():
        return f"bits:{np.packbits(values.astype(np.bool_)).tobytes().hex()}"
    return f"float32:{values.astype('<f4').tobytes().hex()}"


def unpacked(text: str, clips: int) -> npt.NDArray[np.float64]:
    """The values of :func:`packed` ``(clips,)``."""
    kind, _, digits = text.partition(":")
    if kind not in ("bits", "float32") or (kind == "bits" and len(digits) != 2 * -(-clips // 8)):
        raise ValueError(f"{text[:40]!r} is not {clips} packed values")
    content = np.frombuffer(bytes.fromhex(digits), dtype=np.uint8 if kind == "bits" else "<f4")
    return (np.unpackbits(content, count=clips) if kind == "bits" else content).astype(np.float64)


def _with_directions(raw: dict[str, Any]) -> dict[str, Any]:
    """Version 1 knew the host's own scores and quantities alone, and held every score as right or wrong."""
    scores = {spec.name: spec for spec in METRICS}
    rates = {one.gated for one in QUANTITIES if one.higher_is_better}
    rows = []
    for row in raw["rows"]:
        cells = [{**cell} for cell in row["cells"]]
        for cell in cells:
            bits = cell.pop("correct", None)
            cell["per_clip"] = None if bits is None else f"bits:{bits}"
        named = row["quantities"].items()
        quantities = {name: {**values, "higher_is_better": name in rates} for name, values in named}
        spec = scores.get(row["metric"])
        known = {} if spec is None else {"unit": spec.unit, "higher_is_better": spec.higher_is_better}
        rows.append({**row, **known, "cells": cells, "quantities": quantities})
    return {**raw, "rows": rows}


UPGRADES: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = MappingProxyType(
    {1: _with_directions, 2: lambda raw: raw}  # version 2 had no draws: such a score has no interval
)
"""``{n: function}``: each turns the raw values of version n into those of version n + 1."""


def is_baseline(text: str) -> bool:
    """Whether the text of a file is meant as a baseline, not as JSON of pytest-benchmark."""
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError):
        return True  # said when it is parsed
    return not (isinstance(raw, dict) and "benchmarks" in raw)


def parse_baseline(text: str, origin: str) -> Baseline:
    """The baseline in the text of a file; ``origin`` names it in messages.

    Raises:
        StoreError: Torn, foreign, edited, or newer than this version of bench.
    """
    again = "pin it again with `bench baseline pin RESULTS --to FILE`"
    raw = parse_json(text, origin, error=StoreError, advice=again)
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if isinstance(version, bool) or not isinstance(version, int) or "rows" not in raw:
        raise StoreError(f"{origin}: no baseline of bench (schema_version or rows is missing); {again}")
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{origin}: baseline of schema version {version}, this bench reads up to {SCHEMA_VERSION}; "
            "install the bench-audio that wrote it or a newer one (`pip install -U bench-audio`)"
        )
    stated = raw.pop("sha256", None)
    if stated != _checksum(raw):
        raise StoreError(f"{origin}: the baseline was changed after it was pinned (its checksum differs); {again}")
    if version < 1:
        raise StoreError(f"{origin}: baseline of unknown schema version {version}; {again}")
    try:
        for older in range(version, SCHEMA_VERSION):
            raw = UPGRADES[older](raw)
        return Baseline.model_validate_json(json.dumps({**raw, "schema_version": SCHEMA_VERSION}), strict=True)
    except (LookupError, TypeError, AttributeError) as error:
        raise StoreError(f"{origin}: no valid baseline of version {version}: {error!r}; {again}") from error
    except ValueError as error:
        raise StoreError(f"{origin}: no valid baseline: {first_problem(error)}; {again}") from error


def _checksum(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
