"""What a model would do: its operators, counted on the meta device. It is built without weights and never run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from torch import nn

from bench.cell import FROZEN
from bench.execution.build import MASKED, build_model
from bench.execution.inputs import prepare
from bench.execution.opening import Opened, WorkerCache, open_data
from bench.execution.pipeline import call_model
from bench.execution.results import Progress
from bench.job import Job
from bench.measurement.pace import Counts, Work
from bench.measurement.work import Operators, count
from bench.plugins.registry import Registry


def count_work(registry: Registry, job: Job, progress: Progress, known: Known, opened: Opened | None = None) -> Work:
    """Of one batch of a cell; of the data set its list is read, no recording: noise stands in for all of them.

    The front end is counted as it runs on that noise. ``opened``: the data set, where it is open.
    """
    entry = registry.models[job.cell.model]
    if entry.spec.estimator:
        return Work(fitted=True)
    data = prepare(registry, job, known.cache, opened or open_data(registry, job, known.cache, stand_in=True))
    progress.stage = "build"
    weights = job.weights if entry.spec.needs_weights else None  # its numbers do not change the count
    with torch.device("meta"):
        model = build_model(entry, data.task, job.cell.seed, masked=job.cell.weights == MASKED, weights=weights)
    if not isinstance(model, nn.Module):
        return Work(fitted=True)
    progress.stage = "profile"
    model.to("meta").eval()
    size = job.cell.batch
    batch = next(data.batches(np.resize(np.arange(len(data.clips), dtype=np.int64), size), size).epoch(0))
    told = {name: x for name, x in batch.inputs.items() if name == "audio_samples"}  # nothing is computed of it
    inputs = {name: torch.empty_like(x, device="meta") for name, x in batch.inputs.items()} | told
    front: Counts = ()
    if data.task.feature_shape is not None and "audio" in inputs:
        inputs["audio"] = torch.empty(size, *data.task.feature_shape, device="meta")
        if data.frontend is not None:
            front = known.front_end(data.frontend, batch.inputs["audio"], job)
    call = partial(call_model, model, inputs if data.by_name else inputs[data.modalities[0]])
    return Work(
        front=front, forward=count(call, known.operators),
        step=() if job.cell.mode in FROZEN else _both_ways(model, call, known),
        parameters=sum(x.numel() for x in model.parameters() if x.requires_grad),
    )  # fmt: skip


def _both_ways(model: nn.Module, call: Callable[[], torch.Tensor], known: Known) -> Counts:
    """Forward and backward in training, when a network may leave out a part of its tokens."""
    model.train()
    try:
        return count(lambda: call().float().sum().backward(), known.operators)  # type: ignore[no-untyped-call]
    finally:
        model.eval()


@dataclass(slots=True)
class Known:
    """What counts that follow each other in one process share: lists of clips, front ends, operators."""

    cache: WorkerCache = field(default_factory=WorkerCache)
    front_ends: dict[object, Counts] = field(default_factory=dict)
    operators: Operators = field(default_factory=dict)

    def front_end(self, frontend: nn.Module, waveforms: torch.Tensor, job: Job) -> Counts:
        """Of a batch through a front end of these settings, counted once."""
        key = (job.cell.frontend, repr(frontend), tuple(waveforms.shape))
        if key not in self.front_ends:
            with torch.inference_mode():
                self.front_ends[key] = count(lambda: frontend(waveforms))
        return self.front_ends[key]
