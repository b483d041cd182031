"""What a model costs: from its operators without running it, or a few timed steps where that is asked for."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from bench.cell import FROZEN
from bench.execution.build import MASKED, build_model, build_pipeline, materialise
from bench.execution.estimators import inputs_of, logits_of
from bench.execution.inputs import Inputs, prepare
from bench.execution.opening import WorkerCache, open_data
from bench.execution.pipeline import Pipeline, call_model
from bench.execution.pretraining import PretrainStep, end_pretraining
from bench.execution.results import Progress
from bench.execution.step import Inference, StepSettings, TrainStep
from bench.job import Job
from bench.measurement.clocks import synchronize
from bench.measurement.work import Operators, Pace, calibrate, expected_seconds
from bench.plugins.registry import Registry

SLOW_STEP_S = 8.0
"""A training step expected to take longer is not run: one forward pass tells enough."""
BESIDE = 1.35
"""What batches, augmentation, loss and Python add to a step: the median over default networks on two data sets."""
UPDATE_BYTES = 4 * 20
"""Bytes that an update moves for each parameter: gradient, clipping, two moments, weight, its average."""


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


def run_estimate(registry: Registry, job: Job, progress: Progress, known: Known) -> dict[str, Any]:
    """The numbers of :func:`run_price` without running the model, which is built without weights on the meta device.

    Its operators are priced at the machine's pace; only the front end, which has no weights to learn, is timed. Of the
    data set its list is read, no recording.
    """
    fitted = {"step_s": None, "infer_clip_s": 0.01, "fit_clip_s": 0.02, "data_s": 0.0, "source": "estimated"}
    entry = registry.models[job.cell.model]
    if entry.spec.estimator:
        return fitted
    data = prepare(registry, job, known.cache, open_data(registry, job, known.cache, stand_in=True))
    progress.stage = "build"
    weights = job.weights if entry.spec.needs_weights else None  # its numbers do not change the count
    with torch.device("meta"):
        model = build_model(entry, data.task, job.cell.seed, masked=job.cell.weights == MASKED, weights=weights)
    if not isinstance(model, nn.Module):
        return fitted
    progress.stage = "profile"
    model.to("meta").eval()
    size = job.cell.batch
    batch = next(data.batches(np.resize(np.arange(len(data.clips), dtype=np.int64), size), size).epoch(0))
    told = {name: x for name, x in batch.inputs.items() if name == "audio_samples"}  # nothing is computed of it
    inputs = {name: torch.empty_like(x, device="meta") for name, x in batch.inputs.items()} | told
    front_s = 0.0
    if data.task.feature_shape is not None and "audio" in inputs:
        inputs["audio"] = torch.empty(size, *data.task.feature_shape, device="meta")
        if data.frontend is not None:
            front_s = known.front_end(data.frontend.to(job.cell.device), batch.inputs["audio"].to(job.cell.device), job)
    pace, given = known.pace(job), inputs if data.by_name else inputs[data.modalities[0]]
    forward = expected_seconds(lambda: call_model(model, given), pace, known.operators)
    update = UPDATE_BYTES * sum(x.numel() for x in model.parameters() if x.requires_grad) / pace.bytes_s
    step = 0.0 if job.cell.mode in FROZEN else BESIDE * (front_s + _both_ways(model, given, pace, known) + update)
    clip = (front_s + forward) / size
    pretrain_step = BESIDE * (3 * clip * job.recipe.pretrain_batch + update) if job.cell.weights == MASKED else None
    costs = {"step_s": step, "infer_clip_s": clip, "fit_clip_s": None, "pretrain_step_s": pretrain_step}
    return {**costs, "data_s": 0.0, "source": "estimated"}


def _both_ways(model: nn.Module, given: torch.Tensor | dict[str, torch.Tensor], pace: Pace, known: Known) -> float:
    """Seconds forward and backward in training, when a network may leave out a part of its tokens."""

    def step() -> None:
        call_model(model, given).float().sum().backward()

    model.train()
    try:
        return expected_seconds(step, pace, known.operators)
    finally:
        model.eval()


@dataclass(slots=True)
class Known:
    """What estimates that follow each other in one process share: lists of clips, paces, front ends, operators."""

    cache: WorkerCache = field(default_factory=WorkerCache)
    paces: dict[str, Pace] = field(default_factory=dict)
    front_ends: dict[object, float] = field(default_factory=dict)
    operators: Operators = field(default_factory=dict)

    def pace(self, job: Job) -> Pace:
        """Of the device of a job, measured once."""
        device = job.cell.device
        if device not in self.paces:
            self.paces[device] = calibrate(device, 1.5 if job.recipe.publishable else 0.6)
        return self.paces[device]

    def front_end(self, frontend: nn.Module, waveforms: torch.Tensor, job: Job) -> float:
        """Seconds of a batch through a front end of these settings, timed once."""
        key = (job.cell.frontend, repr(frontend), tuple(waveforms.shape), job.cell.device)
        if key not in self.front_ends:
            with torch.inference_mode():
                self.front_ends[key] = min(_seconds(lambda: frontend(waveforms), job.cell.device, times=3))
        return self.front_ends[key]
