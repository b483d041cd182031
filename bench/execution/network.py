"""A network from its start to test logits, in every run mode: from scratch, fine-tuned, or frozen."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from torch import nn

from bench.cell import FROZEN
from bench.data.batches import Batches
from bench.execution import embeddings, provenance
from bench.execution.bank import Bank, described
from bench.execution.build import MASKED, build_pipeline, materialise, takes_weights
from bench.execution.frozen import bank_of, embed, fit_frozen
from bench.execution.inputs import Inputs
from bench.execution.pipeline import Pipeline, compile_network
from bench.execution.pretraining import SHOWN, PretrainStep, end_pretraining, passes, pretrain, reconstructions
from bench.execution.ranks import DividedStep, Ranks, predict_all
from bench.execution.results import Fitted, OnEpoch, Predictions, Progress
from bench.execution.seeding import deterministic
from bench.execution.step import Inference, StepSettings, TrainStep
from bench.execution.train import Trained, Validation, train
from bench.execution.trust import batch_mates, check_unchanged, is_coarse, module_state, worse
from bench.execution.weights import checked_sha256, load_weights, output_layer
from bench.job import Job
from bench.measurement.device_memory import DevicePeak
from bench.measurement.memory import HostPeak
from bench.measurement.readings import Reading
from bench.metrics.scoring import Metric
from bench.plugins.references import portable
from bench.plugins.registry import Entry
from bench.plugins.specs import ModelSpec
from bench.protocols.split import Split

EMBED_BYTES = 8_000_000
"""Largest size of the embeddings beside a record."""

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one evaluate cell of a network works with; ``metric`` selects its epochs."""

    entry: Entry[ModelSpec]
    job: Job
    data: Inputs
    split: Split
    progress: Progress
    on_epoch: OnEpoch
    metric: Metric
    ranks: Ranks = field(default_factory=Ranks.joined)

    @property
    def settings(self) -> StepSettings:
        """Of every step of the cell."""
        return StepSettings.of(self.job, self.data)

    def inference(self, pipeline: Pipeline) -> Inference:
        """The inference of the cell's device and precision."""
        cell = self.job.cell
        return Inference(pipeline, cell.device, cell.precision, self.job.recipe.cuda_graphs)


def run_network(model: nn.Module, run: Run) -> tuple[Fitted, Predictions]:
    """Start, pre-train where the cell says so, fit, then score the sealed test clips."""
    cell = run.job.cell
    pipeline, weights = started(model, run)
    run = replace(run, data=run.data.on(cell.device))
    if cell.mode in FROZEN:
        embeddings.require(pipeline)
    with deterministic() as offenders, HostPeak() as host, DevicePeak(cell.device) as device:
        timing, arrays = _pretrained(pipeline, run)
        if run.job.recipe.compile:
            compile_network(pipeline)
        run.progress.stage = "train"
        bank = bank_of(pipeline, run) if cell.mode in FROZEN else None
        fitted = fit_frozen(pipeline, run, bank) if cell.mode in FROZEN else _fit_all(pipeline, run)
    if timing:
        distinct = min(len(run.split.train), timing["pretrain_clips"])
        weights |= {"steps": timing["pretrain_steps"], "clips": distinct}
    notes = {**fitted.notes, "weights": weights, "nondeterministic": offenders}
    timing = {**timing, **fitted.timing}
    fitted = replace(fitted, timing=timing, arrays=arrays, notes=notes)
    return scored(fitted, run, host.peak_mib, device, bank=bank)


def scored(
    fitted: Fitted, run: Run, train: Reading, device: DevicePeak, *, bank: Bank | None = None
) -> tuple[Fitted, Predictions]:
    """The sealed test clips as a final network predicts them, and what is said of it while it does.

    ``train`` and ``device`` are the peaks of memory so far.
    """
    cell, pipeline = run.job.cell, cast("Pipeline", fitted.pipeline)
    run.progress.stage = "evaluate"
    test = run.split.test_indices(finalised=True)
    state = module_state(pipeline)
    with HostPeak() as host:
        predictions = fitted.predict(test)
    run.ranks.finish()
    shown, figures = _embeddings(pipeline, run, test, bank)
    respond, known = fitted.respond, None
    if respond is None:
        respond, known = lambda index: fitted.predict(index).logits, predictions.logits
    notes: dict[str, Any] = {"embeddings": figures}
    mates = bank.batch_mates if bank else batch_mates(respond, test, known, coarse=is_coarse(cell))
    notes["batch_mates"] = worse(mates, fitted.batch_mates or mates)
    notes["predicting"] = check_unchanged(state, module_state(pipeline))
    done = replace(
        fitted, memory=_memory(fitted, train, host.peak_mib, device), arrays={**fitted.arrays, **shown},
        notes={**fitted.notes, **notes},
    )  # fmt: skip
    return done, predictions


def _memory(fitted: Fitted, train: Reading, infer: Reading, device: DevicePeak | None) -> dict[str, Any]:
    """Peaks of a cell that ran its network; a head on vectors that are there says nothing of it."""
    cache = fitted.notes.get("frozen", {}).get("cache")
    if cache is not None and not cache["fresh"]:
        train = infer = Reading.unknown("the vectors come from the embedding cache")
    return provenance.memory(train, infer, device)


def started(model: nn.Module, run: Run) -> tuple[Pipeline, dict[str, Any]]:
    """The pipeline on its device with the weights that the cell starts from, and where these come from."""
    cell, data, train_clips = run.job.cell, run.data, run.split.train
    masked, weights = cell.weights == MASKED, run.job.weights
    pipeline = build_pipeline(model, data, run.job.recipe, train_clips)
    section: dict[str, Any] = {
        "kind": "masked" if masked else "random", "name": cell.weights,
        "from": "training part of the split" if masked else None, "sha256": None, "loaded": None, "fresh": [],
        "ignored": [], "transductive": False, "steps": None, "clips": None,
    }  # fmt: skip
    declared = None if run.entry.contents else run.entry.spec.options.get("weights")
    if weights is None:
        materialise(pipeline, data, train_clips)
        if declared:
            origin = provenance.without_paths(str(declared))
            section |= {"kind": "file", "name": origin, "from": "option of the model", "transductive": None}
        elif run.entry.contents and cell.weights != "random":
            section |= {"kind": "file", "from": portable(run.entry.reference), "transductive": None}
        return pipeline.to(cell.device), section
    section |= {"kind": "file", "from": weights.name, "transductive": None, **_loaded(pipeline, weights, run)}
    section["sha256"] = checked_sha256(weights, cell.weights)
    return pipeline.to(cell.device), section


def _loaded(pipeline: Pipeline, weights: Path, run: Run) -> dict[str, Any]:
    if takes_weights(run.entry):
        materialise(pipeline, run.data, run.split.train)
        return {}
    once = functools.partial(materialise, pipeline, run.data, run.split.train)
    once()  # lazy layers get their shapes
    output = output_layer(pipeline.model, once, run.data.task.num_classes)
    return load_weights(pipeline.model, weights, output, run.job.weights_prefix)


def _pretrained(pipeline: Pipeline, run: Run) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Timing and arrays of masked pre-training on the training clips; nothing where the cell starts otherwise."""
    job, progress = run.job, run.progress
    if job.cell.weights != MASKED:
        return {}, {}
    recipe, clips = job.recipe, run.split.train
    number = passes(recipe.pretrain_steps, len(clips), recipe.pretrain_batch)
    progress.stage = "pretrain"
    progress.total = number + (0 if job.cell.mode in FROZEN else recipe.epochs)
    batches = run.data.batches(clips, recipe.pretrain_batch, seed=job.cell.seed)
    timing, arrays = pretrain(PretrainStep(pipeline, run.settings), batches, run.on_epoch)
    shown = clips[np.linspace(0, len(clips) - 1, min(SHOWN, len(clips))).astype(np.int64)]
    pictures = reconstructions(pipeline, run.data.batches(shown, len(shown)), run.settings, run.data.clips.ids)
    end_pretraining(pipeline)
    progress.passes = number
    return timing, {**arrays, **pictures}


def _fit_all(pipeline: Pipeline, run: Run) -> Fitted:
    """Ordinary training of everything."""
    batches, validation = training_data(run)
    divided = run.ranks.count > 1
    what = pipeline, run.settings, len(batches)
    step = DividedStep(*what, run.ranks) if divided else TrainStep(*what)
    trained = train(step, batches, validation, run.on_epoch)
    notes: dict[str, Any] = {"graphs": {"train": step.graphs.report()}} if run.job.recipe.cuda_graphs else {}
    if divided:
        notes["processes"] = run.ranks.trained(trained.pipeline)
    return replace(fitted_by(trained, run), notes=notes)


def training_data(run: Run) -> tuple[Batches, Validation | None]:
    """What a cell is trained on, and what its epochs are selected by."""
    data, split, validation = run.data, run.split, None
    if len(split.validation):
        shown = data.batches(split.validation, run.job.recipe.eval_batch)
        validation = Validation(batches=shown, metric=run.metric, ranks=run.ranks)
    return data.batches(split.train, run.job.cell.batch, seed=run.job.cell.seed), validation


def fitted_by(trained: Trained, run: Run) -> Fitted:
    """What scores clips by a trained network."""

    def score(index: Indices) -> Predictions:
        batches = run.data.test_batches(index, run.job.recipe.eval_batch)
        return predict_all(run.inference(trained.pipeline), batches, run.ranks)

    timing = {
        "train_s": trained.seconds,
        "train_clips_per_s": trained.clips / trained.seconds if trained.seconds else None,
        "epochs": trained.epochs,
        "steps": trained.steps,
        "selected_epoch": trained.selected_epoch,
    }
    return Fitted(predict=score, timing=timing, pipeline=trained.pipeline, curves=trained.curves)


def _embeddings(
    pipeline: Pipeline, run: Run, test: Indices, bank: Bank | None
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Maps and clusters of the test embeddings, and their figures; themselves as float16 beside a checkpoint."""
    if not embeddings.can_embed(pipeline):
        return {}, None
    data, infer = run.data, run.inference(pipeline)
    batches = data.test_batches(test, run.job.recipe.eval_batch)
    dim = embeddings.width(infer, batches) if bank is None else bank.rows.shape[1]
    size = 2 * len(test) * dim
    if size > EMBED_BYTES:
        reason = f"{size / 1e6:.0f} MB; kept up to {EMBED_BYTES / 1e6:.0f} MB"
        return {}, {"embedding": {"dim": dim, "reason": reason}}
    found = embed(pipeline, run, bank, data.whole.test_batches(test, run.job.recipe.eval_batch))
    classes, several = data.task.num_classes, data.task.task_type == "multi_label"
    if bank is None:
        maps, figures = embeddings.describe_embeddings(found.values, classes, multi_label=several)
    else:
        maps, figures = described(bank, test, classes, multi_label=several)
    if run.job.cell.mode in FROZEN and not several:
        maps |= {"vectors": found.joined(), **embeddings.joint_clusters(found, maps, classes)}
    if not run.job.keep_checkpoint:
        return maps, figures
    limit = float(np.finfo(np.float16).max)
    halves = {
        f"embed_{name}" if name else "embed": np.clip(x, -limit, limit).astype(np.float16)
        for name, x in found.values.items()
    }
    return {**halves, **maps}, figures
