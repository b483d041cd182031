"""A fitted cell out of its record and checkpoint: it answers for clips that no data set holds, and is handed on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.torch
import torch
from torch import Tensor, nn

from bench.cell import FROZEN, GIVEN, Cell, parse_inputs
from bench.clips import TaskInfo
from bench.data.batches import Batch
from bench.data.derived import thumbnail
from bench.errors import CheckpointError, SelectionError
from bench.execution.attention import Attention
from bench.execution.build import MASKED, build_model, is_network
from bench.execution.classifiers import restore
from bench.execution.embeddings import Embeddings, embedded
from bench.execution.frames import framed
from bench.execution.heads import Head
from bench.execution.inputs import TEXT_LENGTH, build_frontend, feature_shape
from bench.execution.pipeline import Normaliser, Pipeline
from bench.execution.pretraining import end_pretraining
from bench.execution.provenance import TASK_FIELDS
from bench.execution.step import Inference
from bench.execution.trust import checksum
from bench.execution.weights import OWN
from bench.execution.windows import window_of
from bench.metrics.arrays import chances
from bench.plugins.registry import Registry
from bench.recipe import Recipe, read_settings
from bench.results.records import Record
from bench.results.store import Store

Floats = npt.NDArray[np.float32]
AGAIN = "run its command again (bench report shows it)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What a cell has fitted: ``classifier`` is ``None`` where the network itself gives the logits.

    Attributes:
        lengths: Whether the network is told how many samples of a clip are its own.
        tensors: The checkpoint, name to tensor, with those that building the model gives.
    """

    record: Record
    task: TaskInfo
    recipe: Recipe
    pipeline: Pipeline
    classifier: Head | None
    lengths: bool
    tensors: Mapping[str, Tensor]

    def inputs(self, clips: Floats, own: npt.NDArray[np.int64]) -> dict[str, Tensor]:
        """What the network gets of audio ``(clips, clip_samples)``; of each clip ``own (clips,)`` are no filling."""
        inputs = {"audio": torch.from_numpy(clips)}
        if self.lengths:
            inputs["audio_samples"] = torch.from_numpy(own)
        if "missing" not in parse_inputs(self.record.cell.inputs).get("image", ("missing",)):
            inputs["image"] = torch.from_numpy(thumbnail(clips, self.task.sample_rate))
        return inputs

    def heard(self, clips: Floats, own: npt.NDArray[np.int64], device: str = "cpu") -> npt.NDArray[np.float64]:
        """The chance of each label ``(clips, classes)`` by audio alone, as :meth:`inputs` takes it."""
        return chances(self.logits(self.inputs(clips, own), device), several=self.task.task_type == "multi_label")

    def logits(self, inputs: Mapping[str, Tensor], device: str = "cpu") -> Floats:
        """``(clips, classes)`` of inputs as the cell's batches hold them, by the precision of the cell."""
        batch = Batch(dict(inputs), torch.empty(0), np.arange(len(next(iter(inputs.values())))))
        infer = Inference(self.pipeline.to(device), device, self.record.cell.precision)
        if self.classifier is None:
            found: Floats = infer(batch).float().cpu().numpy()
            return found
        if isinstance(self.classifier, Attention):
            return self.classifier.logits(framed(infer, batch))
        vectors = Embeddings(values=embedded(infer, batch), index=batch.index, seconds=0.0)
        return self.classifier.logits(vectors.joined())


def reopen(registry: Registry, store: Store, record: Record, weights: Path | None = None) -> Kept:
    """The fitted network of a record, its front end, normalisation and classifier.

    ``weights``: the file that the cell started from, where the factory cannot build the network without.

    Raises:
        CheckpointError: None is kept, or it does not fit the code as it is now.
        StoreError: The checkpoint is not what was written.
    """
    cell = record.cell
    entry = registry.models[cell.model]
    if "checkpoint" not in record.artifacts:
        why = "estimators keep no state: run a network" if entry.spec.estimator else f"{AGAIN} with --keep-checkpoints"
        raise CheckpointError(f"{cell.id} kept no checkpoint; {why}")
    if cell.frontend == GIVEN:
        raise SelectionError(f"{cell.id} takes published features, no audio; choose a cell of another data set")
    tensors = safetensors.torch.load(store.content(record, "checkpoint"))
    task, recipe = _task(registry, record), read_settings(record.recipe)
    task = replace(task, clip_samples=window_of(recipe, cell, task) or task.clip_samples)
    pipeline, task = _built(registry, cell, task, tensors, weights)
    whole = {**_encoder(pipeline.model, tensors, record), **tensors}
    classifier = _filled(pipeline, whole, tensors, cell, multi_label=task.task_type == "multi_label")
    return Kept(
        record=record, task=task, recipe=recipe, pipeline=pipeline, classifier=classifier, lengths=entry.spec.lengths,
        tensors=whole,
    )  # fmt: skip


def _built(
    registry: Registry, cell: Cell, task: TaskInfo, tensors: Mapping[str, Tensor], weights: Path | None
) -> tuple[Pipeline, TaskInfo]:
    """The network as it was before any weights were read, and its task with the shapes of what it is given."""
    spec, ways = registry.models[cell.model].spec, parse_inputs(cell.inputs)
    if "derived" in ways.get("image", ()):
        task = replace(task, image_shape=(1, 28, 28))
    frontend = build_frontend(registry, spec, cell.frontend, task, seed=cell.seed) if "audio" in ways else None
    if frontend is not None:
        task = replace(task, feature_shape=feature_shape(frontend, task))
    masked = cell.weights == MASKED
    model = build_model(registry.models[cell.model], task, cell.seed, masked=masked, weights=weights)
    if not is_network(model):
        raise CheckpointError(f"{cell.model} is an estimator now, {cell.id} a network; {AGAIN}")
    normaliser = Normaliser(len(tensors["normaliser.mean"])) if "normaliser.mean" in tensors else None
    pipeline = Pipeline(
        model, frontend=frontend, normaliser=normaliser, modalities=tuple(ways), num_classes=task.num_classes,
        by_name=spec.by_name,
    )  # fmt: skip
    pipeline.eval()
    with torch.no_grad():
        pipeline(_blank(task, tuple(ways), lengths=spec.lengths))  # lazy layers get their shapes
    if masked:
        end_pretraining(pipeline)
    return pipeline, task


def _filled(
    pipeline: Pipeline, whole: Mapping[str, Tensor], tensors: Mapping[str, Tensor], cell: Cell, *, multi_label: bool
) -> Head | None:
    """Give the network its weights of ``whole``; the classifier that the checkpoint's ``tensors`` hold beside them."""
    head = f"{cell.mode}." if cell.mode in FROZEN else ""
    parts = {name: x for name, x in tensors.items() if head and name.startswith(head)}
    try:
        pipeline.load_state_dict({name: x for name, x in whole.items() if name not in parts}, strict=True)
        found = {name.removeprefix(head): x for name, x in parts.items()}
        return restore(found, multi_label=multi_label) if head else None
    except (RuntimeError, KeyError) as error:
        said = " ".join(str(error).split())[:300]
        misfit = f"the checkpoint of {cell.id} does not fit {cell.model} as it is now ({said})"
        raise CheckpointError(f"{misfit}; {AGAIN}") from error


def _encoder(model: nn.Module, tensors: Iterable[str], record: Record) -> dict[str, Tensor]:
    """What building the model gives, where the checkpoint leaves that out."""
    wanted = (record.provenance.get("frozen") or {}).get("encoder")
    if wanted is None or any(name.startswith(OWN) for name in tensors):
        return {}
    if checksum(model) != wanted:
        which = f"the weights of {record.cell.model} are not those that {record.cell.id} was fitted on"
        raise CheckpointError(f"{which}; give it the same package or file, or {AGAIN}")
    return {f"{OWN}{name}": x for name, x in model.state_dict().items()}


def _task(registry: Registry, record: Record) -> TaskInfo:
    """What the network was told of its task; of a record that does not say it, what its data set declares."""
    cell, told = record.cell, record.provenance.get("task")
    dataset = registry.datasets.entries.get(cell.data_name)
    if told is None and dataset is not None and dataset.spec.task is not None:
        rate = registry.models[cell.model].spec.sample_rate or dataset.spec.task.sample_rate
        told = {**asdict(dataset.spec.task), "sample_rate": rate}
    if told is None:
        raise CheckpointError(f"the record of {cell.id} does not say its sample rate; run its command again")
    labels = tuple(record.provenance["dataset"]["label_names"])
    facts: dict[str, Any] = {name: told.get(name) for name in TASK_FIELDS}
    facts["image_shape"] = tuple(facts["image_shape"]) if facts["image_shape"] else None
    facts |= {"clip_samples": cell.clip_samples, "text_length": facts["text_length"] or TEXT_LENGTH}
    modalities: Any = tuple(parse_inputs(cell.inputs))
    return TaskInfo(num_classes=len(labels), label_names=labels, modalities=modalities, **facts)


def _blank(task: TaskInfo, modalities: tuple[str, ...], *, lengths: bool) -> dict[str, Tensor]:
    """Two clips of nothing, of every modality."""
    words = (2, task.text_length or TEXT_LENGTH)
    made = {
        "audio": {"audio": torch.zeros(2, task.clip_samples)},
        "image": {"image": torch.zeros(2, *(task.image_shape or (1, 28, 28)))},
        "text": {"text": torch.zeros(words, dtype=torch.int64), "text_mask": torch.ones(words, dtype=torch.bool)},
    }
    if lengths:
        made["audio"]["audio_samples"] = torch.full((2,), task.clip_samples, dtype=torch.int64)
    return {key: x for name in modalities for key, x in made[name].items()}
