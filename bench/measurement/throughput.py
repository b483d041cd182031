"""Throughput: clips per second of the pipelined run."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter, process_time
from typing import Any

import numpy as np

from bench.errors import BenchError
from bench.measurement.clocks import Seconds, device_type, quiet_collector, synchronize
from bench.measurement.readings import Reading, table

Step = Callable[[int], int]
"""``step(i)`` processes the i-th batch and returns the clips in it; all batches have one size."""

FEWEST = 5
"""Blocks whose spread says how well their mean is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocks:
    """How long to warm up and how long to run: ``count`` blocks, whose spread is the spread of the result.

    A block of about ``seconds`` has a number of steps fixed from the warm-up; none starts after ``max_seconds``, nor
    once the mean rate of five or more is known to a relative standard error of ``enough``.
    """

    warmup_steps: int = 3
    warmup_seconds: float = 0.5
    count: int = 5
    min_steps: int = 3
    seconds: float = 1.0
    max_seconds: float = 30.0
    enough: float = 0.0

    def __post_init__(self) -> None:
        if self.warmup_steps < 1 or self.count < 1 or self.min_steps < 1:
            raise BenchError(
                "warmup_steps, count and min_steps must be 1 or more, "
                f"got {self.warmup_steps}, {self.count} and {self.min_steps}"
            )

    def go_on(self, taken: Sequence[float]) -> bool:
        """Whether to run another block after those that took these seconds."""
        if len(taken) >= self.count or sum(taken) >= self.max_seconds:
            return False
        rates = 1 / np.asarray(taken)
        return len(taken) < FEWEST or float(rates.std(ddof=1) / rates.mean()) > self.enough * math.sqrt(len(taken))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Throughput:
    """Wall times of repeated blocks of steps.

    Attributes:
        batch: Clips per step.
        block_s: Wall seconds of each block, its single synchronise at the end included, shape ``(blocks,)``.
        step_stamps_s: Seconds since the start of its block at which each step had been queued (on CPU: was done),
            shape ``(blocks, steps)``.
        warmup_steps: Steps before the first block, the first one included.
        cpu_s: CPU time of this process in all blocks, all threads.
    """

    batch: int
    block_s: Seconds
    step_stamps_s: Seconds
    first_step_s: float
    warmup_steps: int
    cpu_s: float

    @property
    def clips(self) -> int:
        """Clips processed in all blocks."""
        return self.batch * int(self.step_stamps_s.size)

    @property
    def clips_per_s(self) -> float:
        """All clips over all wall seconds."""
        return self.clips / float(self.block_s.sum())

    @property
    def block_rates(self) -> Seconds:
        """Clips per second of each block, shape ``(blocks,)``."""
        return np.asarray(self.batch * self.step_stamps_s.shape[1] / self.block_s, dtype=np.float64)

    @property
    def spread(self) -> Reading:
        """Standard deviation of the blocks' rates over their mean; unknown for a single block."""
        if len(self.block_s) < 2:
            return Reading.unknown("one block only: its spread is not known")
        return Reading.of(float(self.block_rates.std(ddof=1) / self.block_rates.mean()))

    def to_json(self) -> dict[str, Any]:
        """JSON values: the rate, its spread over blocks, batch, counts and times."""
        known: dict[str, Any] = {
            "clips_per_s": self.clips_per_s,
            "block_clips_per_s": [float(rate) for rate in self.block_rates],
            "batch": self.batch,
            "clips": self.clips,
            "blocks": len(self.block_s),
            "steps_per_block": int(self.step_stamps_s.shape[1]),
            "first_step_ms": self.first_step_s * 1e3,
            "warmup_steps": self.warmup_steps,
            "wall_s": float(self.block_s.sum()),
            "cpu_s": self.cpu_s,
        }
        return known | table({"spread": self.spread})


@dataclass(slots=True)
class _Runner:
    """Runs steps one after another over rotating inputs and holds them to one batch size."""

    step: Step
    device: str
    batch: int = 0
    done: int = 0

    def block(self, steps: int) -> tuple[float, list[float]]:
        """Seconds of a block of ``steps`` steps, and the stamp after each."""
        stamps: list[float] = []
        synchronize(self.device)
        start = perf_counter()
        for _ in range(steps):
            clips = self.step(self.done)
            if clips < 1 and not self.done:
                raise BenchError(f"a step processed {clips} clips; it must return the size of its batch, 1 or more")
            self.batch = self.batch or clips
            if clips != self.batch:
                raise BenchError(
                    f"step {self.done} processed {clips} clips, the ones before it {self.batch}: a throughput is "
                    "stated at one batch size; leave out the partial last batch"
                )
            self.done += 1
            stamps.append(perf_counter() - start)
        synchronize(self.device)
        return perf_counter() - start, stamps


def measure_throughput(step: Step, *, device: str, blocks: Blocks | None = None) -> Throughput:
    """Clips per second of ``step`` run over and over, synchronised only at the ends of a block.

    Serves inference and training alike. By default 5 blocks of about 1 s run, at most about 30 s.

    Args:
        step: ``step(i)`` processes batch ``i`` of several distinct batches (``i`` modulo their number) and returns its
            clips. It must not synchronise, or the run is no longer pipelined.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        blocks: Warm-up and length.

    Raises:
        BenchError: Unknown device, or a step that returns no or changing batch sizes.
    """
    rule = blocks or Blocks()
    device_type(device)
    runner = _Runner(step, device)
    first, _ = runner.block(1)
    rehearsal, start = first, perf_counter()
    while runner.done < rule.warmup_steps or perf_counter() - start < rule.warmup_seconds:
        rehearsal, _ = runner.block(1)
    warmup = runner.done
    steps = max(rule.min_steps, math.ceil(rule.seconds / max(rehearsal, 1e-9)))
    blocks_run: list[tuple[float, list[float]]] = []
    with quiet_collector():
        cpu = process_time()
        while rule.go_on([seconds for seconds, _ in blocks_run]):
            blocks_run.append(runner.block(steps))
        cpu = process_time() - cpu
    taken, stamps = zip(*blocks_run, strict=True)
    return Throughput(
        batch=runner.batch,
        block_s=np.asarray(taken, dtype=np.float64),
        step_stamps_s=np.asarray(stamps, dtype=np.float64),
        first_step_s=first,
        warmup_steps=warmup,
        cpu_s=cpu,
    )
