"""What is measured of speed, memory and work: one table that boards, pages, plots, the gate and studies read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from bench.results.records import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """One measured quantity: where it stands in a record, and how it is compared and shown.

    Attributes:
        name: Key in boards and studies, the unit in it.
        paths: Where it stands in a record (``timing.infer.clips_per_s``); the first that holds a number counts, and
            one that ends in ``_ms`` is brought to seconds.
        per: Path of a number that it is divided by.
        unit: What it is stored and compared in.
        higher_is_better: Its direction.
        shown: In tables ``always``, where a row of the table has it (``known``), or ``never``.
        title: Header of its column, with the unit.
        device: The only kind of device whose tables show it, empty for all.
        factor: What it is multiplied by to be shown.
        form: How its number is written: three digits, a whole number, or a count in k, M, G.
        axis: Label where it is the cost in the plot of cost against score, empty where it is not.
        csv: Its column in CSV, where that is not ``name``.
        gated: Its name in baselines and verdicts, empty where it is not gated.
        family: Rule of the gate that it falls under, where that is not ``gated``.
        raw: Path of its raw samples, in ``unit``.
        array: Name of the array of raw samples beside the record.
        exact: A count that every process and every evaluate cell gives alike.
    """

    name: str
    paths: tuple[str, ...]
    per: str = ""
    unit: str = ""
    higher_is_better: bool = False
    shown: Literal["always", "known", "never"] = "never"
    title: str = ""
    device: str = ""
    factor: float = 1.0
    form: Literal["digits", "whole", "count"] = "digits"
    axis: str = ""
    csv: str = ""
    gated: str = ""
    family: str = ""
    raw: str = ""
    array: str = ""
    exact: bool = False

    def read(self, record: Record) -> float | None:
        """The number in a record, ``None`` where there is none that is finite."""
        divisor = finite(follow(record, self.per)) if self.per else 1.0
        for path in self.paths:
            value = finite(follow(record, path))
            if value is not None and divisor:
                return value * (1e-3 if path.endswith("_ms") else 1.0) / divisor
        return None

    def reason(self, record: Record) -> str | None:
        """Why a record lacks the quantity; ``None`` where it neither holds nor explains it."""
        keys = self.paths[0].split(".")
        for depth in range(1, len(keys)):
            reasons = follow(record, ".".join([*keys[:depth], "reasons"]))
            if isinstance(reasons, Mapping) and keys[depth] in reasons:
                return str(reasons[keys[depth]])
        spoken_of = self.read(record) is None and any(follow(record, path) is not None for path in self.paths)
        return f"{self.gated or self.name} is no finite number" if spoken_of else None


COUNTERS: Mapping[str, str] = MappingProxyType(
    {"operators": "", "kernels": "", "allocations": "", "tensor_bytes": "B", "instructions": ""}
)
"""Counters of one step (``--counters``), name to unit."""

REFERENCE = "reference"
"""Gated name of the fixed work that profile cells time beside the model: how fast the machine is."""

QUANTITIES: tuple[Quantity, ...] = (
    Quantity(
        name="train_clips_per_s", paths=("timing.train.clips_per_s",), unit="clips/s", higher_is_better=True,
        shown="always", title="train clips/s", gated="train_throughput", family="throughput",
        raw="timing.train.block_clips_per_s",
    ),
    Quantity(
        name="infer_clips_per_s", paths=("timing.infer.clips_per_s",), unit="clips/s", higher_is_better=True,
        shown="always", title="infer clips/s", axis="inference, clips/s", gated="infer_throughput",
        family="throughput", raw="timing.infer.block_clips_per_s",
    ),
    Quantity(
        name="latency_s", paths=("timing.latency.median_ms", "timing.latency.median_s"), unit="s",
        shown="always", title="latency ms", factor=1000, axis="latency of one clip, ms", csv="latency_median_s",
        gated="latency", array="latency_s",
    ),
    Quantity(name="latency_mad_s", paths=("timing.latency.mad_ms",), unit="s", factor=1000),
    Quantity(
        name="host_peak_mib", paths=("memory.host_peak_mib",), unit="MiB", shown="always", title="peak MiB",
        device="cpu", form="whole", axis="peak memory, MiB", gated="host_memory",
    ),
    Quantity(
        name="device_peak_mib", paths=("memory.device_peak_mib",), unit="MiB", shown="always",
        title="peak device MiB", device="cuda", form="whole", axis="peak memory, MiB", gated="device_memory",
    ),
    Quantity(
        name="real_time_factor", paths=("timing.latency.real_time_factor",), shown="known",
        title="real-time factor",
    ),
    Quantity(
        name="flops_per_clip", paths=("timing.flops.total",), per="timing.flops.clips", unit="FLOP",
        shown="known", title="FLOPs/clip", form="count", exact=True,
    ),
    Quantity(
        name="joules_per_clip", paths=("timing.energy.joules_per_clip",), unit="J", shown="known",
        title="J/clip",
    ),
    Quantity(name="net_joules_per_clip", paths=("timing.energy.net_joules_per_clip",), unit="J"),
    Quantity(name="reference_s", paths=("timing.reference.median_ms",), unit="s", gated=REFERENCE),
    Quantity(name="parameters", paths=("provenance.model.parameters",), gated="parameters", exact=True),
    Quantity(
        name="flops", unit="FLOP", gated="flops", exact=True,
        paths=("timing.flops.total", "provenance.model.flops.total", "provenance.model.flops"),
    ),
    *(
        Quantity(
            name=f"{step}_{name}", paths=(f"timing.counters.{step}.{name}",), unit=unit, gated=f"{step}_{name}",
            family="instructions" if name == "instructions" else "counters", exact=True,
        )
        for step in ("infer", "train")
        for name, unit in COUNTERS.items()
    ),
    Quantity(
        name="storage", unit="B", gated="storage", exact=True,
        paths=("memory.storage_bytes", "provenance.storage.bytes_per_clip", "artifacts.checkpoint.bytes"),
    ),
)  # fmt: skip
"""Everything the host measures; what plugins measure is described by the record, see :func:`measurements`."""

NAMED = MappingProxyType({one.name: one for one in QUANTITIES})
OF_SPEED = tuple(one for one in QUANTITIES if one.title or not one.gated)
"""What a row's :class:`Speed` holds; the others are for the gate alone."""


def measurements(record: Record) -> tuple[Quantity, ...]:
    """What ``bench_add_measurements`` added, as the record itself describes it."""
    stored = follow(record, "timing.measurements")
    return tuple(
        Quantity(
            name=name,
            paths=(f"timing.measurements.{name}.value",),
            unit=str(entry.get("unit", "")),
            higher_is_better=bool(entry.get("higher_is_better")),
            shown="known",
            title=str(entry.get("title") or name),
        )
        for name, entry in sorted(stored.items() if isinstance(stored, Mapping) else ())
    )


def finite(value: Any) -> float | None:
    """A finite number, ``None`` for anything else."""
    try:
        good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # a whole number of hundreds of digits
        return None
    return float(value) if good else None


def follow(record: Record, path: str) -> Any:
    """What stands at a dotted path of a record, ``None`` where nothing does."""
    first, *keys = path.split(".")
    value: Any = getattr(record, first)
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """One machine and device that speed was measured on.

    Attributes:
        key: Hardware fingerprint and device; speeds with different keys never share a column.
        device: ``cpu`` or ``cuda``.
        label: In words.
    """

    key: str
    device: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """What the profile cells of one model measured; medians over their processes.

    Attributes:
        hardware: Key of :class:`Hardware`.
        values: By the name of a :class:`Quantity`; ``None`` where it was not measured.
        intervals: 95 % intervals over processes by the same names; empty below eight processes.
        reasons: Why a value is ``None``, by the record's own names.
        unsteady: Whether the samples of latency showed a trend.
        infer_batch: Batch of the inference throughput.
        uncounted: Operators that the FLOPs leave out, with how often each ran: ``fft_r2c x1``.
        energy_source: Which counter.
        notes: What differs from the row's own axes.
        processes: Fresh processes that it was measured in.
        added: What plugins measured besides :data:`QUANTITIES`.
    """

    hardware: str
    values: Mapping[str, float | None]
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    unsteady: bool = False
    infer_batch: int | None = None
    uncounted: tuple[str, ...] = ()
    energy_source: str = ""
    notes: tuple[str, ...] = ()
    processes: int = 1
    added: tuple[Quantity, ...] = ()
