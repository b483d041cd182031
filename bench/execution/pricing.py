"""What a model costs by a few timed steps, where that is asked for (`bench plan --measure`)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from torch import nn

from bench.cell import FROZEN
from bench.execution.build import MASKED, build_model, build_pipeline, materialise
from bench.execution.estimators import inputs_of, logits_of
from bench.execution.inputs import Inputs, prepare
from bench.execution.pipeline import Pipeline
from bench.execution.pretraining import PretrainStep, end_pretraining
from bench.execution.results import Progress
from bench.execution.step import Inference, StepSettings, TrainStep
from bench.job import Job
from bench.measurement.clocks import synchronize
from bench.plugins.registry import Registry

SLOW_STEP_S = 8.0
"""A training step expected to take longer is not run: one forward pass tells enough."""


def run_price(registry: Registry, job: Job, progress: Progress) -> dict[str, Any]:
    """Seconds of the parts of a cell, measured.

    Returns:
        ``{"step_s", "infer_clip_s", "fit_clip_s", "pretrain_step_s", "data_s", "source"}``; ``step_s`` is one training
        step at the cell's batch, ``fit_clip_s`` the fitting time per clip of an estimator (the other one is
        ``None``), ``pretrain_step_s`` one step of masked pre-training at its own batch (``None`` without).
    """
    start = time.perf_counter()
    data = prepare(registry, job)
    progress.stage = "build"
    entry, masked = registry.models[job.cell.model], job.cell.weights == MASKED
    model = build_model(entry, data.task, job.cell.seed, masked=masked, weights=job.weights)
    progress.stage = "profile"
    costs = _time_module(model, data, job) if isinstance(model, nn.Module) else _time_estimator(model, data)
    return {**costs, "data_s": data.seconds, "probe_s": time.perf_counter() - start, "source": "measured"}


def _time_module(model: nn.Module, data: Inputs, job: Job) -> dict[str, Any]:
    device, batch, masked = job.cell.device, job.cell.batch, job.cell.weights == MASKED
    clips = np.arange(min(2 * batch, len(data.clips)), dtype=np.int64)
    pipeline = build_pipeline(model, data, job.recipe, clips)
    materialise(pipeline, data, clips)
    pipeline.to(device)
    infer = Inference(pipeline, device, job.cell.precision)
    single = next(data.test_batches(clips, 1).epoch(0))
    forward = min(_seconds(lambda: infer(single), device, times=2))
    if 3 * forward * max(batch, job.recipe.pretrain_batch if masked else 0) > SLOW_STEP_S:
        return _from_forward(forward, job)
    pretrain_step_s = _time_pretraining(pipeline, data, job) if masked else None
    wanted = np.resize(clips, batch)
    step_s = 0.0
    if job.cell.mode not in FROZEN:
        step = TrainStep(pipeline, StepSettings.of(job, data), -(-len(data.clips) // batch))
        trained = next(data.batches(wanted, batch).epoch(0))
        step(trained)
        step_s = float(np.median(_seconds(lambda: step(trained), device, times=6)))
    tested = next(data.test_batches(wanted, batch).epoch(0))
    infer_s = min(_seconds(lambda: infer(tested), device, times=2)) / batch
    return {"step_s": step_s, "infer_clip_s": infer_s, "fit_clip_s": None, "pretrain_step_s": pretrain_step_s}


def _time_pretraining(pipeline: Pipeline, data: Inputs, job: Job) -> float:
    step = PretrainStep(pipeline, StepSettings.of(job, data))
    clips = np.resize(np.arange(len(data.clips), dtype=np.int64), job.recipe.pretrain_batch)
    batch = next(data.batches(clips, len(clips)).epoch(0))
    step(batch)
    seconds = float(np.median(_seconds(lambda: step(batch), job.cell.device, times=4)))
    end_pretraining(pipeline)
    return seconds


def _from_forward(forward: float, job: Job) -> dict[str, Any]:
    """Costs from the seconds of one clip's forward pass: a training step is three of them for each clip.

    So is a step of pre-training: hiding most of the input saves work and the decoder adds some, and how much of
    either the model does not say. At the usual three quarters hidden this is too much rather than too little.
    """
    step = 3 * forward * job.cell.batch if job.cell.mode not in FROZEN else 0.0
    pretrain_step = 3 * forward * job.recipe.pretrain_batch if job.cell.weights == MASKED else None
    return {"step_s": step, "infer_clip_s": forward, "fit_clip_s": None, "pretrain_step_s": pretrain_step}


def _seconds(call: Callable[[], object], device: str, *, times: int) -> list[float]:
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        synchronize(device)
        seconds.append(time.perf_counter() - start)
    return seconds


def _time_estimator(model: Any, data: Inputs) -> dict[str, Any]:
    count = min(len(data.clips), max(48, 2 * data.task.num_classes))
    clips = np.linspace(0, len(data.clips) - 1, count).astype(np.int64)
    targets = data.clips.targets[clips].astype(np.int64)
    x = inputs_of(data, clips)
    (fitted,) = _seconds(lambda: model.fit(x, targets), "cpu", times=1)
    (scored,) = _seconds(lambda: logits_of(model, x, data.task), "cpu", times=1)
    return {"step_s": None, "infer_clip_s": scored / count, "fit_clip_s": fitted / count}
