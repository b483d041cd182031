"""One profile cell: speed and memory of a model on one machine, independent of folds."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from torch import nn

from bench.execution import provenance
from bench.execution.build import build_model, build_pipeline, materialise
from bench.execution.estimators import inputs_of
from bench.execution.inputs import Inputs, prepare
from bench.execution.measurements import added_measurements
from bench.execution.pipeline import compile_network, compiled_graphs
from bench.execution.profile_parts import (
    NO_NETWORK,
    Calls,
    EstimatorCalls,
    NetworkCalls,
    energy_table,
    flops_table,
    guard_table,
    stage_tables,
)
from bench.execution.results import CellResult, Progress
from bench.execution.step import check_finite
from bench.job import Job
from bench.measurement.clocks import synchronize
from bench.measurement.device_memory import DevicePeak
from bench.measurement.guards import restored_flags
from bench.measurement.latency import Latency, Sampling, measure_latency
from bench.measurement.memory import HostPeak
from bench.measurement.readings import join, table
from bench.measurement.throughput import Blocks, Throughput, measure_throughput
from bench.plugins.registry import Registry

CLIPS = 64
"""Distinct clips that the inputs rotate over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measured:
    latency: Latency | None
    infer: Throughput
    learn: Throughput | None
    memory: dict[str, Any]
    changed: dict[str, tuple[Any, Any]]
    compiling: dict[str, float | None] | None


def run_profile(registry: Registry, job: Job, progress: Progress) -> CellResult:
    """Measure latency, throughput and memory, timing and memory in separate passes."""
    started = datetime.now(UTC).isoformat(timespec="seconds")
    start = time.perf_counter()
    device = job.cell.device
    changed: dict[str, tuple[Any, Any]] = {}
    with restored_flags(changed):
        data, calls = build_calls(registry, job, progress)
        network = calls.inference.pipeline if isinstance(calls, NetworkCalls) else None
        progress.stage = "profile"
        compiling = _first_calls(calls, device) if job.recipe.compile and network else None
        memory = _memory(calls, device)
    inductive = registry.models[job.cell.model].spec.inductive
    blocks = _blocks(brief=not job.recipe.publishable)
    found = _Measured(
        latency=_latency(calls, job, data) if inductive else None,
        infer=measure_throughput(calls.infer, device=device, blocks=blocks),
        learn=None if calls.learn is None else measure_throughput(calls.learn, device=device, blocks=blocks),
        memory=memory,
        changed=changed,
        compiling=compiling,
    )
    timing = _timing(calls, job, found)
    if added := added_measurements(registry, calls.infer, found.infer.batch):
        timing["measurements"] = added
    progress.stage = "record"
    record = provenance.ok_record(
        registry, job, data, network, {},
        started_at=started, memory=found.memory, timing={"wall_s": time.perf_counter() - start, **timing},
    )  # fmt: skip
    return CellResult(record=record, arrays=_arrays(found))


def build_calls(registry: Registry, job: Job, progress: Progress) -> tuple[Inputs, Calls]:
    """The data set as the model of a job sees it, and the model as callables over rotating inputs.

    Whatever a plugin raises comes through; ``progress.stage`` says where.
    """
    data, cell = prepare(registry, job), job.cell
    progress.stage = "build"
    entry = registry.models[cell.model]
    # What only pre-training needs is never profiled.
    model = build_model(entry, data.task, cell.seed, weights=job.weights)
    if not isinstance(model, nn.Module):
        count = min(max(CLIPS, 4 * data.task.num_classes), len(data.clips))
        clips = np.linspace(0, len(data.clips) - 1, count).astype(np.int64)
        x = inputs_of(data, clips)
        model.fit(x, data.clips.targets[clips].astype(np.int64))
        return data, EstimatorCalls(model=model, x=x, task=data.task, size=min(cell.batch, len(x)))
    clips = np.arange(min(CLIPS, len(data.clips)), dtype=np.int64)
    pipeline = build_pipeline(model, data, job.recipe, clips)
    check_finite(materialise(pipeline, data, clips).float().numpy())
    pipeline.to(cell.device)
    if job.recipe.compile:
        compile_network(pipeline)
    few = 1 if entry.spec.inductive else cell.batch
    return data, NetworkCalls.of(pipeline, data, job, clips, few=few)


def _timing(calls: Calls, job: Job, found: _Measured) -> dict[str, Any]:
    missing = {}
    if found.latency is None:
        missing["latency"] = "a clip's logits depend on its batch mates: it has no latency of its own"
    if found.learn is None:
        missing["train"] = "fitted as a whole, without steps; see the evaluate cells for its clips per second"
    if isinstance(calls, EstimatorCalls):
        missing |= {"stages": NO_NETWORK, "flops": NO_NETWORK}
    inside = _look_inside(calls, job, found)
    if found.compiling is not None:
        inside |= {"compile": {**found.compiling, "graphs": compiled_graphs()}}
    return {
        "latency": None if found.latency is None else found.latency.to_json(),
        "infer": found.infer.to_json(),
        "train": None if found.learn is None else found.learn.to_json(),
        **inside,
        "reasons": missing,
    }


def _arrays(found: _Measured) -> dict[str, np.ndarray]:
    arrays = {"infer_block_s": found.infer.block_s, "infer_step_stamps_s": found.infer.step_stamps_s}
    if found.latency is not None:
        arrays["latency_s"] = found.latency.host.seconds
    if found.learn is not None:
        arrays |= {"train_block_s": found.learn.block_s, "train_step_stamps_s": found.learn.step_stamps_s}
    return arrays


def _first_calls(calls: Calls, device: str) -> dict[str, float | None]:
    """Seconds of the first batch, training step and single clip of a compiled network: compilation and all."""
    firsts: dict[str, Callable[[int], object] | None] = {
        "first_infer_s": calls.infer, "first_train_s": calls.learn, "first_one_s": calls.one,
    }  # fmt: skip
    found: dict[str, float | None] = {}
    for name, call in firsts.items():
        start = time.perf_counter()
        if call is not None:
            call(0)
            synchronize(device)
        found[name] = None if call is None else time.perf_counter() - start
    return found


def _latency(calls: Calls, job: Job, data: Inputs) -> Latency:
    brief = not job.recipe.publishable
    sampling = Sampling(min_samples=64, min_seconds=0.3, max_seconds=2.0) if brief else Sampling(max_seconds=8.0)
    return measure_latency(calls.one, device=job.cell.device, sampling=sampling, clip_seconds=data.task.clip_seconds)


def _blocks(*, brief: bool) -> Blocks:
    if brief:
        return Blocks(warmup_seconds=0.2, count=10, seconds=0.1, max_seconds=2.0)
    return Blocks(count=10, seconds=0.4, max_seconds=12.0)


def _look_inside(calls: Calls, job: Job, found: _Measured) -> dict[str, Any]:
    """Stages, FLOPs, behaviour and energy, as far as they can be afforded."""
    brief = not job.recipe.publishable
    infer_s, budget_s = _step_s(found.infer), 0.5 if brief else 4.0
    steps: dict[str, tuple[Callable[[int], object], float]] = {"batch inference": (calls.infer, infer_s)}
    network: dict[str, Any] = {"stages": None, "flops": None}
    if isinstance(calls, NetworkCalls) and found.learn is not None:
        learn_s = _step_s(found.learn)
        steps = {"training step": (calls.learn, learn_s), **steps}
        network["stages"] = stage_tables(calls, infer_s, learn_s, budget_s)
        network["flops"] = flops_table(calls, found.infer.clips_per_s)
    if found.latency is not None:
        steps["inference of one clip"] = (calls.one, found.latency.host.median)
    return {
        **network,
        "guards": guard_table(steps, found.changed, budget_s),
        "energy": energy_table(calls.infer, job.cell.device, brief=brief),
    }


def _step_s(run: Throughput) -> float:
    return float(run.block_s.sum()) / run.step_stamps_s.size


def _memory(calls: Calls, device: str) -> dict[str, Any]:
    calls.infer(0)
    with HostPeak() as host_infer, DevicePeak(device) as device_infer:
        calls.infer(1)
    if calls.learn is None:
        return provenance.memory(None, host_infer.peak_mib, device_infer)
    calls.learn(0)
    with HostPeak() as host_train, DevicePeak(device) as device_train:
        calls.learn(1)
    section = provenance.memory(host_train.peak_mib, host_infer.peak_mib, device_train)
    return join(section, table({"device_infer_peak_mib": device_infer.readings["device_peak_mib"]}))
