"""One profile cell: speed and memory of a model on one machine, independent of folds; and its traces."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from bench.execution import provenance
from bench.execution.build import build_model, build_pipeline, materialise
from bench.execution.counters import counter_table
from bench.execution.estimators import inputs_of
from bench.execution.inputs import Inputs, prepare
from bench.execution.pipeline import compile_network, compiled_graphs
from bench.execution.profile_parts import (
    NO_NETWORK,
    OPAQUE,
    Calls,
    EstimatorCalls,
    NetworkCalls,
    added_measurements,
    energy_table,
    flops_table,
    guard_table,
    stage_tables,
)
from bench.execution.results import CellResult, Progress, check_finite
from bench.job import Job
from bench.measurement.clocks import synchronize
from bench.measurement.device_memory import DevicePeak
from bench.measurement.guards import restored_flags
from bench.measurement.latency import LEAST, Latency, Sampling, measure_latency
from bench.measurement.memory import HostPeak, read_field
from bench.measurement.noise import measure_noise
from bench.measurement.readings import join, table
from bench.measurement.throughput import Blocks, Throughput, measure_throughput
from bench.measurement.trace import write_trace
from bench.plugins.registry import Registry
from bench.results.quantities import QUANTITIES, finite

CLIPS = 64
"""Distinct clips that the inputs rotate over."""
TRACED_STEPS, TOP_OPERATORS = 2, 20
REFERENCE_TIMES = 60
"""Repetitions of a fixed piece of work, about 2 ms each: what it takes says how fast the machine is today."""
ENOUGH = 0.05
"""Relative standard error of a throughput at which a recipe that is for trying out asks for no more of it."""
SHORT_CLIPS, MOVED_BY = 32, 64
SHORT_BLOCKS = Blocks(warmup_steps=1, warmup_seconds=0, count=8, min_steps=1, seconds=0.02, max_seconds=0.12)
SHORT_SAMPLING = Sampling(warmup_calls=2, warmup_seconds=0, min_samples=LEAST, min_seconds=0.1, max_seconds=0.2)
"""How long a gate that measures in turns looks at a process: many short ones say more than a few long ones. Blocks of
random sizes move what each has in memory, so that no place that one revision happens to have counts as its speed."""


def run_profile(registry: Registry, job: Job, progress: Progress) -> CellResult:
    """Measure latency, throughput and memory, timing and memory in separate passes."""
    started = datetime.now(UTC).isoformat(timespec="seconds")
    start = time.perf_counter()
    changed: dict[str, tuple[Any, Any]] = {}
    with restored_flags(changed):
        data, calls = build_calls(registry, job, progress)
        network = calls if isinstance(calls, NetworkCalls) else None
        progress.stage = "profile"
        compiling = _first_calls(network, job.cell.device) if job.recipe.compile and network else None
        memory = _memory(calls, job.cell.device)
    latency = _latency(calls, job, data) if registry.models[job.cell.model].spec.inductive else None
    infer = _throughput(calls.infer, job)
    learn = None if calls.learn is None else _throughput(calls.learn, job)
    timing: dict[str, Any] = {
        "latency": None if latency is None else latency.to_json(),
        "infer": infer.to_json(),
        "train": None if learn is None else learn.to_json(),
        "reference": {"median_ms": 1e3 * float(np.median(measure_noise(repetitions=REFERENCE_TIMES).seconds))},
        **_look_inside(calls, job, changed, latency, infer, learn),
    }
    if compiling is not None:
        timing["compile"] = {**compiling, "graphs": compiled_graphs()}
    if network is not None and job.recipe.cuda_graphs:
        timing["graphs"] = network.graphs
    timing["reasons"] = _missing(calls, latency)
    if job.counters:
        timing["counters"] = counter_table(calls, job)
    if added := added_measurements(registry, calls.infer, infer.batch):
        timing["measurements"] = added
    progress.stage = "record"
    record = provenance.ok_record(
        registry, job, data, None if network is None else network.inference.pipeline, {},
        started_at=started, memory=memory, timing={"wall_s": time.perf_counter() - start, **timing},
    )  # fmt: skip
    arrays = {} if latency is None else {"latency_s": latency.host.seconds}
    for name, run in (("infer", infer), ("train", learn)):
        if run is not None:
            arrays |= {f"{name}_block_s": run.block_s, f"{name}_step_stamps_s": run.step_stamps_s}
    return CellResult(record=record, arrays=arrays)


def run_trace(registry: Registry, job: Job, progress: Progress, folder: Path) -> dict[str, Any]:
    """Trace two batches of inference, and two training steps where the model has steps.

    Args:
        registry: All plugins.
        job: Of the model.
        progress: Where this is, for whoever catches what a plugin raises.
        folder: Where the traces are written.

    Returns:
        By name (``infer``, ``train``) ``{"file": name in the folder, "steps", "batch", "operators": [row, ...]}``;
        ``train`` is ``None`` where the model has no steps.
    """
    _, calls = build_calls(registry, job, progress)
    progress.stage = "profile"
    found: dict[str, Any] = {}
    for name, step in (("infer", calls.infer), ("train", calls.learn)):
        found[name] = None
        if step is not None:
            clips = step(0)
            trace = write_trace(step, folder, device=job.cell.device, steps=TRACED_STEPS, name=name, top=TOP_OPERATORS)
            found[name] = {"file": trace.file.name, "steps": TRACED_STEPS, "batch": clips}
            found[name]["operators"] = list(trace.operators)
    return found


def run_block(registry: Registry, job: Job, progress: Progress) -> dict[str, Any]:
    """Measure a model shortly, in one of the many processes of a gate: memory, then times, or what can be counted.

    Returns:
        ``quantities`` by their names in gates, each with ``value`` (of times the median), ``unit`` and
        ``higher_is_better``; ``missing`` with the reason for what a plugin's measurement does not give.
    """
    added: dict[str, dict[str, Any]] = {}
    moved = [bytes(size) for size in np.random.default_rng().integers(1, 8192, size=MOVED_BY)]
    with restored_flags({}):
        _, calls = build_calls(registry, job, progress, most=SHORT_CLIPS)
        progress.stage = "profile"
        if job.action == "count":
            values = _counted(calls, job)
        else:
            values = _short(calls, job, alone=registry.models[job.cell.model].spec.inductive)
            added = added_measurements(registry, calls.infer, calls.infer(0))
    moved.clear()
    known = {one.gated: one for one in QUANTITIES}
    quantities: dict[str, Any] = {
        name: {"value": value, "unit": known[name].unit, "higher_is_better": known[name].higher_is_better}
        for name, value in values.items()
        if value is not None and name in known
    }
    quantities |= {name: one for name, one in added.items() if one["value"] is not None}
    missing = {name: one["reasons"]["value"] for name, one in added.items() if one["value"] is None}
    return {"quantities": quantities, "missing": missing}


def _counted(calls: Calls, job: Job) -> dict[str, float | None]:
    if isinstance(calls, EstimatorCalls):
        return {}
    steps = counter_table(calls, job) if job.counters else {}
    found = {f"{step}_{name}": value for step in ("infer", "train") for name, value in (steps.get(step) or {}).items()}
    flops = flops_table(calls, 1.0) or {"total": None}
    counts = {"parameters": calls.inference.pipeline.counts["parameters"], "flops": flops["total"]}
    return {name: finite(value) for name, value in (found | counts).items()}


def _short(calls: Calls, job: Job, *, alone: bool) -> dict[str, float | None]:
    device, values = job.cell.device, dict[str, float | None]()
    with HostPeak() as host, DevicePeak(device) as peak:
        for name, step in (("infer_throughput", calls.infer), ("train_throughput", calls.learn)):
            if step is not None:
                rates = measure_throughput(step, device=device, blocks=SHORT_BLOCKS).block_rates
                values[name] = float(np.median(rates))
    files = read_field(Path("/proc/self/status"), "RssFile").value or 0.0  # as many as the page cache holds: noise
    values["host_memory"] = host.peak_mib.value and host.peak_mib.value - files
    values["device_memory"] = peak.readings["device_peak_mib"].value if device != "cpu" else None
    if alone:
        values["latency"] = measure_latency(calls.one, device=device, sampling=SHORT_SAMPLING).host.median
    return values


def build_calls(registry: Registry, job: Job, progress: Progress, *, most: int = CLIPS) -> tuple[Inputs, Calls]:
    """The data set as the model of a job sees it, and the model as callables over ``most`` rotating clips.

    Whatever a plugin raises comes through; ``progress.stage`` says where.
    """
    data, cell = prepare(registry, job), job.cell
    progress.stage = "build"
    entry = registry.models[cell.model]
    # What only pre-training needs is never profiled.
    model = build_model(entry, data.task, cell.seed, weights=job.weights)
    if not isinstance(model, nn.Module):
        count = min(max(most, 4 * data.task.num_classes), len(data.clips))
        clips = np.linspace(0, len(data.clips) - 1, count).astype(np.int64)
        x = inputs_of(data, clips)
        model.fit(x.copy(), data.clips.targets[clips].astype(np.int64))
        return data, EstimatorCalls(model=model, x=x, task=data.task, size=min(cell.batch, len(x)))
    clips = np.arange(min(most, len(data.clips)), dtype=np.int64)
    pipeline = build_pipeline(model, data, job.recipe, clips)
    check_finite(materialise(pipeline, data, clips).float().numpy())
    pipeline.to(cell.device)
    if job.recipe.compile:
        compile_network(pipeline)
    few = 1 if entry.spec.inductive else cell.batch
    return data, NetworkCalls.of(pipeline, data, job, clips, few=few)


def _missing(calls: Calls, latency: Latency | None) -> dict[str, str]:
    missing = {}
    if latency is None:
        missing["latency"] = "a clip's logits depend on its batch mates: it has no latency of its own"
    if isinstance(calls, EstimatorCalls):
        missing["train"] = "fitted as a whole, without steps; see the evaluate cells for its clips per second"
        missing |= {"stages": NO_NETWORK, "flops": NO_NETWORK}
    elif calls.inference.pipeline.opaque:
        missing["flops"] = OPAQUE
    return missing


def _first_calls(calls: NetworkCalls, device: str) -> dict[str, float]:
    """Seconds of the first batch, training step and single clip of a compiled network: compilation and all."""
    found = {}
    for name, call in (("first_infer_s", calls.infer), ("first_train_s", calls.learn), ("first_one_s", calls.one)):
        start = time.perf_counter()
        call(0)
        synchronize(device)
        found[name] = time.perf_counter() - start
    return found


def _latency(calls: Calls, job: Job, data: Inputs) -> Latency:
    brief = not job.recipe.publishable
    few = Sampling(warmup_calls=3, warmup_seconds=0.1, min_samples=64, min_seconds=0.1, max_seconds=1.0)
    sampling = few if brief else Sampling(max_seconds=8.0)
    return measure_latency(calls.one, device=job.cell.device, sampling=sampling, clip_seconds=data.task.clip_seconds)


def _throughput(step: Callable[[int], int], job: Job) -> Throughput:
    blocks = Blocks(count=10, seconds=0.4, max_seconds=12.0)
    if not job.recipe.publishable:
        blocks = Blocks(
            warmup_steps=2, warmup_seconds=0.1, count=10, min_steps=1, seconds=0.05, max_seconds=1.0, enough=ENOUGH
        )
    return measure_throughput(step, device=job.cell.device, blocks=blocks)


def _look_inside(
    calls: Calls, job: Job, changed: dict[str, tuple[Any, Any]], latency: Latency | None, infer: Throughput,
    learn: Throughput | None,
) -> dict[str, Any]:  # fmt: skip
    """Stages, FLOPs, behaviour and energy, as far as they can be afforded."""
    brief = not job.recipe.publishable
    budget_s = 0.15 if brief else 4.0
    infer_s = _step_s(infer)
    steps: dict[str, tuple[Callable[[int], object], float]] = {"batch inference": (calls.infer, infer_s)}
    network: dict[str, Any] = {"stages": None, "flops": None}
    if isinstance(calls, NetworkCalls) and learn is not None:
        learn_s = _step_s(learn)
        steps = {"training step": (calls.learn, learn_s), **steps}
        network["stages"] = stage_tables(calls, infer_s, learn_s, budget_s)
        network["flops"] = flops_table(calls, infer.clips_per_s)
    if latency is not None:
        steps["inference of one clip"] = (calls.one, latency.host.median)
    return {
        **network,
        "guards": guard_table(steps, changed, budget_s, altering=calls.altering),
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
