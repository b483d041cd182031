"""What was measured of a row's speed, memory and work, and on which machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


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
        train_clips_per_s: Training throughput.
        infer_clips_per_s: Inference throughput.
        infer_batch: Batch of the inference throughput.
        latency_s: Median latency of one clip, in seconds.
        latency_mad_s: Its median absolute deviation.
        unsteady: Whether the samples showed a trend.
        real_time_factor: Median latency over the length of a clip; below 1 = faster than the sound.
        host_peak_mib: Peak host memory of the process.
        device_peak_mib: Peak device memory.
        flops_per_clip: Floating-point operations of inference, front end included.
        uncounted: Operators that :attr:`flops_per_clip` leaves out, with how often each ran: ``fft_r2c x1``.
        joules_per_clip: Energy of batched inference, from a hardware counter.
        net_joules_per_clip: The same less what the machine takes when idle.
        energy_source: Which counter.
        reasons: Why a value is ``None``, by the record's own names.
        notes: What differs from the row's own axes.
        processes: Fresh processes that it was measured in.
        intervals: 95 % intervals over processes by the name of a field here; empty below eight processes.
    """

    hardware: str
    train_clips_per_s: float | None
    infer_clips_per_s: float | None
    infer_batch: int | None
    latency_s: float | None
    latency_mad_s: float | None
    unsteady: bool
    host_peak_mib: float | None
    device_peak_mib: float | None
    real_time_factor: float | None = None
    flops_per_clip: float | None = None
    uncounted: tuple[str, ...] = ()
    joules_per_clip: float | None = None
    net_joules_per_clip: float | None = None
    energy_source: str = ""
    reasons: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    processes: int = 1
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
