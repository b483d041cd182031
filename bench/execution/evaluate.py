"""One evaluate cell from start to the logits of its test clips; the host scores them."""

from __future__ import annotations

import csv
import io
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bench.errors import CheckpointError
from bench.execution import estimators, provenance
from bench.execution.build import MASKED, build_model, is_network, takes_weights
from bench.execution.inputs import Inputs, arranged, prepare
from bench.execution.results import CellResult, Fitted, OnEpoch, Predictions, Progress
from bench.execution.sealed import open_sealed
from bench.execution.state import start_of
from bench.execution.trust import batch_mates, check_unchanged, estimator_state
from bench.job import Job
from bench.measurement.memory import HostPeak
from bench.metrics.arrays import chances
from bench.metrics.scoring import primary
from bench.plugins.model_spec import ModelSpec
from bench.plugins.registry import Registry
from bench.protocols.split import Split

if TYPE_CHECKING:
    from bench.execution.network import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """An evaluate cell whose data are open and whose model is built; ``at`` and ``data_s`` are seconds of its clock."""

    job: Job
    data: Inputs
    split: Split
    model: Any
    start: dict[str, str]
    started_at: str
    at: float
    data_s: float

    def run(self, registry: Registry, progress: Progress, on_epoch: OnEpoch) -> Run:
        """What its network works with."""
        from bench.execution.network import Run

        return Run(
            entry=registry.models[self.job.cell.model], job=self.job, data=self.data, split=self.split,
            progress=progress, on_epoch=on_epoch,
            metric=primary(registry, self.data.spec, self.data.task.task_type),
        )  # fmt: skip


def run_evaluate(registry: Registry, job: Job, progress: Progress, on_epoch: OnEpoch) -> CellResult:
    """Train on the training clips, then predict the sealed test clips, whose targets are nowhere in this process.

    Whatever a plugin raises comes through; ``progress.stage`` says where.

    Returns:
        A record without scores, and logits without targets: :func:`bench.running.scoring.completed` adds both.
    """
    begun = begin(registry, job, progress)
    if is_network(begun.model):
        from bench.execution.network import run_network

        fitted, predictions = run_network(begun.model, begun.run(registry, progress, on_epoch))
    else:
        progress.stage = "train"
        fitted, predictions = _estimator(begun.model, begun.data, begun.split)
    return finished(registry, begun, progress, fitted, predictions)


def begin(registry: Registry, job: Job, progress: Progress) -> Begun:
    """Open the data, divide them and build the model."""
    started = datetime.now(UTC).isoformat(timespec="seconds")
    start = time.perf_counter()
    cell = job.cell
    opened, split = open_sealed(registry, job)
    data = arranged(prepare(registry, job, opened=opened), split, cell.seed)
    ready = time.perf_counter() - start
    progress.stage = "build"
    entry = registry.models[cell.model]
    if job.weights_prefix and takes_weights(entry):
        raise CheckpointError(
            f"{cell.model} reads weight files itself: leave out --weights-prefix {job.weights_prefix}"
        )
    model = build_model(entry, data.task, cell.seed, masked=cell.weights == MASKED, weights=job.weights)
    return Begun(
        job=job, data=data, split=split, model=model, start=start_of(model), started_at=started, at=start,
        data_s=ready,
    )  # fmt: skip


def finished(
    registry: Registry, begun: Begun, progress: Progress, fitted: Fitted, predictions: Predictions, *,
    elsewhere_s: float = 0.0,
) -> CellResult:  # fmt: skip
    """The record of a cell and what stands beside it; ``elsewhere_s`` of its time was given to other cells."""
    job, data = begun.job, begun.data
    files = _files(fitted, data, job, registry.models[job.cell.model].spec)
    progress.stage = "record"
    timing = {
        "data_s": begun.data_s, **fitted.timing, "evaluate_s": predictions.seconds,
        "infer_clips_per_s": len(predictions.index) / predictions.seconds,
        "wall_s": time.perf_counter() - begun.at - elsewhere_s,
    }  # fmt: skip
    sections = provenance.evaluation_sections(registry, job, data, begun.split)
    record = provenance.ok_record(
        registry, job, data, fitted.pipeline, {**sections, "start": begun.start, **fitted.notes},
        started_at=begun.started_at, memory=fitted.memory, timing=timing,
    )  # fmt: skip
    return CellResult(record=record, arrays=_arrays(fitted, predictions, data), files=files)


def _arrays(fitted: Fitted, predictions: Predictions, data: Inputs) -> dict[str, np.ndarray]:
    return {
        "ids": np.asarray([data.clips.ids[i] for i in predictions.index]),
        "logits": predictions.logits,
        **{f"curve_{name}": np.asarray(values, dtype=np.float64) for name, values in fitted.curves.items()},
        "curve_epoch": np.arange(1, len(fitted.curves.get("train_loss", ())) + 1, dtype=np.int64),
        **fitted.arrays,
    }


def _files(fitted: Fitted, data: Inputs, job: Job, spec: ModelSpec) -> dict[str, bytes]:
    """The checkpoint where it is kept, without what building the model gives; and what unknown clips are taken for."""
    files: dict[str, bytes] = {}
    if job.keep_checkpoint and fitted.pipeline is not None:
        from safetensors.torch import save
        from torch import Tensor

        from bench.execution.weights import OWN

        own = OWN if spec.brings_all(job.cell.mode, job.cell.weights) else ()
        state = {name: x for name, x in fitted.pipeline.state_dict().items() if not name.startswith(own)}
        state |= fitted.tensors
        tensors = {name: x.detach().cpu().contiguous().clone() for name, x in state.items() if isinstance(x, Tensor)}
        files["checkpoint.safetensors"] = save(tensors)
    unknown = np.flatnonzero(np.asarray(data.clips.splits or (), dtype=str) == "predict")[: job.limit].astype(np.int64)
    if len(unknown):
        files["predicted.csv"] = predicted_csv(fitted.predict(unknown), data)
    return files


def predicted_csv(predictions: Predictions, data: Inputs) -> bytes:
    """``id,label,probability``: the likeliest label of each clip; for several labels a line for each one of them."""
    labels, ids = data.clips.label_names, data.clips.ids
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", "label", "probability"])
    several = data.task.task_type == "multi_label"
    for clip, row in zip(predictions.index, chances(predictions.logits, several=several), strict=True):
        shown = range(len(labels)) if several else [int(row.argmax())]
        writer.writerows([ids[clip], labels[i], f"{row[i]:.6f}"] for i in shown)
    return text.getvalue().encode()


def _estimator(model: Any, data: Inputs, split: Split) -> tuple[Fitted, Predictions]:
    def score(index: npt.NDArray[np.int64]) -> Predictions:
        return estimators.predict(model, data, index)

    with HostPeak() as host:
        start = time.perf_counter()
        model.fit(estimators.inputs_of(data, split.train), data.clips.targets[split.train].astype(np.int64))
        fitted = time.perf_counter() - start
        test = split.test_indices(finalised=True)
        score(split.train[:2])  # what is made at the first call only
        state = estimator_state(model)
        predictions = score(test)
        mates = batch_mates(lambda index: score(index).logits, test, predictions.logits)
        unchanged = check_unchanged(state, estimator_state(model))
    timing = {"train_s": fitted, "train_clips_per_s": len(split.train) / fitted, "epochs": None, "steps": None}
    memory = provenance.memory(host.peak_mib, host.peak_mib, None)
    notes = {"nondeterministic": [], "batch_mates": mates, "predicting": unchanged}
    return Fitted(predict=score, timing=timing, memory=memory, notes=notes), predictions
