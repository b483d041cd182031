"""One evaluate cell from start to record."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch
from safetensors.torch import save as save_tensors
from torch import nn

from bench.execution import describe, estimators
from bench.execution.building import build_model, build_pipeline, materialise
from bench.execution.evaluation import Predictions, predict
from bench.execution.inputs import Material, Shelf, prepare, split_for
from bench.execution.job import Job
from bench.execution.pipeline import Pipeline, count_parameters
from bench.execution.scoring import compute_scores
from bench.execution.seeding import deterministic
from bench.execution.training import Curves, Trained, TrainingPlan, train
from bench.measurement.device_memory import DevicePeak
from bench.measurement.memory import HostPeak
from bench.protocols import Split
from bench.records import Record
from bench.registry import Registry

Observe = Callable[[int, Mapping[str, float]], None]


@dataclass(slots=True)
class Progress:
    """Where a cell is, so that a failure can name its stage; shared with whoever catches it.

    Attributes:
        stage: ``data``, ``build``, ``train``, ``evaluate``, ``profile`` or ``record``.
    """

    stage: str = "data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """An ``ok`` record with what stands beside it."""

    record: Record
    arrays: dict[str, np.ndarray]
    files: dict[str, bytes] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What training and scoring one model gave, module or estimator alike."""

    predictions: Predictions
    curves: Curves
    timing: dict[str, Any]
    memory: dict[str, Any]
    parameters: int | None
    frontend_parameters: int
    checkpoint: bytes | None
    nondeterministic: list[str]


def run_evaluate(
    registry: Registry, job: Job, progress: Progress, observe: Observe, shelf: Shelf | None = None
) -> Finished:
    """Train on the training clips, then score the sealed test clips.

    Whatever a plugin raises comes through; ``progress.stage`` says where. A ``shelf`` keeps what the next cell of the
    same worker can use again.
    """
    started = datetime.now(UTC).isoformat(timespec="seconds")
    start = time.perf_counter()
    cell = job.cell
    protocol = registry.protocols[cell.protocol.partition("@")[0]].spec
    material = prepare(registry, job, shelf)
    split = split_for(protocol, material, job)
    progress.stage = "build"
    model = build_model(registry.models[cell.model], material.task, cell.seed)
    if isinstance(model, nn.Module):
        outcome = _module(model, material, split, job, progress, observe)
    else:
        progress.stage = "train"
        outcome = _estimator(model, material, split)
    progress.stage = "record"
    predictions = outcome.predictions
    targets = material.clips.targets[predictions.index]
    scores = compute_scores(registry, material.task.task_type, predictions.logits, targets)
    timing = {"data_s": material.seconds, **outcome.timing, "wall_s": time.perf_counter() - start}
    record = Record(
        cell=cell,
        status="ok",
        scores=scores,
        timing=timing,
        memory=outcome.memory,
        recipe=job.recipe.model_dump(mode="json"),
        environment=describe.environment(cell.device),
        provenance=describe.provenance(registry, job, material, split, outcome),
        started_at=started,
    )
    groups = material.clips.groups or ("",) * len(material.clips)
    arrays = {
        "ids": np.asarray([material.clips.ids[i] for i in predictions.index]),
        "groups": np.asarray([groups[i] for i in predictions.index]),
        "targets": targets,
        "logits": predictions.logits,
        **outcome.curves.arrays(),
    }
    keep = job.keep_checkpoint and outcome.checkpoint is not None
    files = {"checkpoint.safetensors": outcome.checkpoint} if keep and outcome.checkpoint else {}
    return Finished(record=record, arrays=arrays, files=files)


def _module(
    model: nn.Module, material: Material, split: Split, job: Job, progress: Progress, observe: Observe
) -> Outcome:
    cell, recipe = job.cell, job.recipe
    pipeline = build_pipeline(model, material, recipe, split.train)
    materialise(pipeline, material, split.train)
    pipeline.to(cell.device)
    select = None
    if len(split.validation):
        validation = material.batches(split.validation, recipe.eval_batch)
        select = _selector(validation, cell.device, cell.precision)
    plan = TrainingPlan(
        recipe=recipe, seed=cell.seed, device=cell.device, precision=cell.precision,
        sample_rate=material.task.sample_rate, multi_label=material.task.task_type == "multi_label",
        waveforms=not material.stored_features, select=select, on_epoch=observe,
    )  # fmt: skip
    progress.stage = "train"
    with deterministic() as offenders, HostPeak() as host_train, DevicePeak(cell.device) as device_peak:
        trained = train(pipeline, material.batches(split.train, cell.batch, seed=cell.seed), plan)
    progress.stage = "evaluate"
    with HostPeak() as host_infer:
        test = material.batches(split.test_indices(finalised=True), recipe.eval_batch)
        predictions = predict(trained.pipeline, test, device=cell.device, precision=cell.precision)
    memory = describe.memory(host_train.peak_mib, host_infer.peak_mib, device_peak)
    return Outcome(
        predictions=predictions,
        curves=trained.curves,
        timing=_timing(trained, predictions),
        memory=memory,
        parameters=count_parameters(trained.pipeline.model),
        frontend_parameters=count_parameters(trained.pipeline.frontend),
        checkpoint=_checkpoint(trained.pipeline) if job.keep_checkpoint else None,
        nondeterministic=offenders,
    )


def _estimator(model: Any, material: Material, split: Split) -> Outcome:
    with HostPeak() as host:
        fitted = estimators.fit(model, material, split.train)
        predictions = estimators.predict(model, material, split.test_indices(finalised=True))
    timing = {
        "train_s": fitted,
        "train_clips_per_s": len(split.train) / fitted,
        "evaluate_s": predictions.seconds,
        "infer_clips_per_s": len(predictions.index) / predictions.seconds,
        "epochs": None,
        "steps": None,
    }
    return Outcome(
        predictions=predictions, curves=Curves(), timing=timing,
        memory=describe.memory(host.peak_mib, host.peak_mib, None), parameters=None, frontend_parameters=0,
        checkpoint=None, nondeterministic=[],
    )  # fmt: skip


def _selector(validation: Any, device: str, precision: str) -> Callable[[Pipeline], float]:
    from bench.metrics.scores import accuracy

    def select(pipeline: Pipeline) -> float:
        found = predict(pipeline, validation, device=device, precision=precision)
        return float(accuracy(found.logits, validation.targets[found.index]))

    return select


def _timing(trained: Trained, predictions: Predictions) -> dict[str, Any]:
    return {
        "train_s": trained.seconds,
        "train_clips_per_s": trained.clips / trained.seconds if trained.seconds else None,
        "evaluate_s": predictions.seconds,
        "infer_clips_per_s": len(predictions.index) / predictions.seconds,
        "epochs": trained.epochs,
        "steps": trained.steps,
        "selected_epoch": trained.selected_epoch,
    }


def _checkpoint(pipeline: Pipeline) -> bytes:
    state = {name: x.detach().cpu().contiguous().clone() for name, x in pipeline.state_dict().items()}
    content: bytes = save_tensors({name: x for name, x in state.items() if isinstance(x, torch.Tensor)})
    return content
