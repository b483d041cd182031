"""The vectors of a frozen cell, without its head: all clips, out of the embedding cache or made now."""

from __future__ import annotations

from dataclasses import replace

from bench.errors import SelectionError
from bench.execution import embeddings
from bench.execution.bank import Bank
from bench.execution.build import build_model, is_network
from bench.execution.frozen import bank_of
from bench.execution.inputs import prepare
from bench.execution.network import Run, started
from bench.execution.opening import open_data, split_for
from bench.execution.results import Progress
from bench.execution.seeding import deterministic
from bench.job import Job
from bench.metrics.scoring import primary
from bench.plugins.registry import Registry


def open_vectors(registry: Registry, job: Job) -> Bank:
    """What a cell in a frozen mode hands to its head.

    Raises:
        SelectionError: The model has no vectors, or they depend on more than the clips.
        PluginError: It has no ``embed``.
    """
    cell, opened = job.cell, open_data(registry, job)
    data, split = prepare(registry, job, opened=opened), split_for(registry, opened.clips, job)
    model = build_model(registry.models[cell.model], data.task, cell.seed, masked=False, weights=job.weights)
    if not is_network(model):
        raise SelectionError(f"{cell.model} is an estimator, which has no embeddings; `bench list models`")
    run = Run(
        entry=registry.models[cell.model], job=job, data=data, split=split, progress=Progress(),
        on_epoch=lambda *_: None, metric=primary(registry, data.spec, data.task.task_type),
    )  # fmt: skip
    pipeline, _ = started(model, run)
    embeddings.require(pipeline)
    with deterministic():
        bank = bank_of(pipeline, replace(run, data=data.on(cell.device)))
    if bank is None:
        raise SelectionError(f"{cell.id}: only vectors of waveforms as they are can be shared; give another data set")
    return bank
