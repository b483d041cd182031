"""What one cell feeds its model: located, decoded once, split, with every shape known."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from bench.clips import Clips
from bench.data.batches import Batches
from bench.data.derived import thumbnail
from bench.data.features import open_features
from bench.data.locate import open_clips
from bench.data.text import hash_tokens
from bench.data.waveforms import Waveforms, open_waveforms
from bench.errors import DataError, PluginError
from bench.execution.job import Job
from bench.factories import load_factory
from bench.protocols import Split, make_split
from bench.provenance import digest, source_hash
from bench.registry import Entry, Registry
from bench.specs import DatasetSpec, ModelSpec, ProtocolSpec, TaskInfo

TEXT_LENGTH = 32
"""Tokens a text is cut or padded to where the data set declares no length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """A data set as one model sees it; shared by the cells that follow each other in a worker.

    Attributes:
        spec: The data set's declaration.
        clips: One row per clip.
        waveforms: Decoded, converted, filled clips ``(clips, samples)`` int16.
        arrays: ``{modality: (clips, ...)}`` handed to the model (or its front end).
        task: With the feature shape filled in.
        frontend: Fresh front end of the cell, ``None`` where the model takes the waveform.
        given: ``{modality: "given" | "derived"}``.
        stored_features: Whether ``audio`` holds features instead of waveforms.
        seconds: Time to get here.
    """

    spec: DatasetSpec
    clips: Clips
    waveforms: Waveforms
    arrays: Mapping[str, Any]
    task: TaskInfo
    frontend: nn.Module | None
    given: Mapping[str, str]
    stored_features: bool
    seconds: float

    @property
    def modalities(self) -> tuple[str, ...]:
        """The inputs handed to the model, in a fixed order."""
        return tuple(self.given)

    def batches(self, indices: np.ndarray, size: int, *, seed: int | None = None) -> Batches:
        """Batches over some clips: shuffled by ``seed``, or in order."""
        return Batches(self.arrays, self.clips.targets, indices, size, seed=seed)


@dataclass(slots=True)
class Shelf:
    """What cells that follow each other in one worker share: indexed clips, open waveforms, derived pictures."""

    clips: dict[Any, tuple[Entry[DatasetSpec], Clips]] = field(default_factory=dict)
    waveforms: dict[Any, Waveforms] = field(default_factory=dict)
    thumbnails: dict[str, Any] = field(default_factory=dict)


def load_clips(registry: Registry, job: Job) -> tuple[Entry[DatasetSpec], Clips]:
    """The data set of a job, located and indexed."""
    entry = registry.datasets[job.cell.dataset]
    return entry, open_clips(entry.spec, job.data, load=entry.factory)


def task_of(clips: Clips, modalities: tuple[str, ...], text_length: int = TEXT_LENGTH) -> TaskInfo:
    """What a model may know about loaded clips, before the front end."""
    return TaskInfo(
        num_classes=len(clips.label_names),
        task_type="multi_label" if clips.targets.ndim == 2 else "single_label",
        modalities=modalities,  # type: ignore[arg-type]
        sample_rate=clips.sample_rate,
        clip_samples=clips.clip_samples,
        image_shape=clips.image_shape,
        text_length=text_length if "text" in modalities else None,
        label_names=clips.label_names,
    )


def build_frontend(registry: Registry, model: ModelSpec, name: str, task: TaskInfo) -> nn.Module | None:
    """The front end of a cell, on the CPU; ``None`` for ``waveform``.

    Raises:
        PluginError: It is no module, or does not give ``(batch, freq, time)``.
    """
    if name == "waveform":
        return None
    entry = registry.frontends[name]
    frontend = load_factory(entry.factory)(task, **model.frontend_options)
    if not isinstance(frontend, nn.Module):
        raise PluginError(f"front end {name!r} returned {type(frontend).__name__}, expected a torch.nn.Module")
    return frontend


def feature_shape(frontend: nn.Module, task: TaskInfo) -> tuple[int, int]:
    """``(freq, time)`` that a front end makes of one clip.

    Raises:
        PluginError: Its output is not ``(1, freq, time)``.
    """
    with torch.no_grad():
        features = frontend(torch.zeros(1, task.clip_samples))
    if features.ndim != 3 or features.shape[0] != 1:
        raise PluginError(f"the front end returned shape {tuple(features.shape)}, expected (1, freq, time)")
    return int(features.shape[1]), int(features.shape[2])


def prepare(registry: Registry, job: Job, shelf: Shelf | None = None) -> Material:
    """Everything up to the model, for the data set and front end of a job."""
    start = time.perf_counter()
    shelf = shelf or Shelf()
    cell, recipe = job.cell, job.recipe
    source = (cell.dataset, job.data)
    if source not in shelf.clips:
        shelf.clips[source] = load_clips(registry, job)
    entry, clips = shelf.clips[source]
    model = registry.models[cell.model].spec
    wanted = cell.inputs.split("+")
    given = {name.partition(".")[0]: "derived" if name.endswith(".derived") else "given" for name in wanted}
    view = (source, recipe.trim_db, recipe.fill)
    if view not in shelf.waveforms:
        shelf.waveforms[view] = open_waveforms(clips, trim_db=recipe.trim_db, fill=recipe.fill)
    waveforms = shelf.waveforms[view]
    declared = entry.spec.task.text_length if entry.spec.task else None
    task = task_of(clips, tuple(given), declared or TEXT_LENGTH)
    if given.get("image") == "derived":
        task = replace(task, image_shape=(1, 28, 28))
    frontend = build_frontend(registry, model, cell.frontend, task) if "audio" in given else None
    arrays: dict[str, Any] = {}
    stored = False
    if "audio" in given:
        arrays["audio"] = waveforms.samples
        if frontend is not None:
            task = replace(task, feature_shape=feature_shape(frontend, task))
            if cell.feeding == "precomputed":
                arrays["audio"] = _stored(registry, model, cell.frontend, waveforms, frontend)
                stored = True
    if "image" in given:
        arrays["image"] = clips.images if given["image"] == "given" else _thumbnails(waveforms, shelf)
    if "text" in given:
        if clips.texts is None:
            raise DataError(f"{clips.title} has no texts")
        arrays["text"], arrays["text_mask"] = hash_tokens(clips.texts, declared or TEXT_LENGTH)
    return Material(
        spec=entry.spec, clips=clips, waveforms=waveforms, arrays=arrays, task=task, frontend=frontend,
        given=given, stored_features=stored, seconds=time.perf_counter() - start,
    )  # fmt: skip


def _thumbnails(waveforms: Waveforms, shelf: Shelf) -> Any:
    if waveforms.fingerprint not in shelf.thumbnails:
        shelf.thumbnails[waveforms.fingerprint] = thumbnail(waveforms.samples, waveforms.sample_rate)
    return shelf.thumbnails[waveforms.fingerprint]


def _stored(
    registry: Registry, model: ModelSpec, name: str, waveforms: Waveforms, frontend: nn.Module
) -> np.ndarray[Any, Any]:
    if any(p.requires_grad for p in frontend.parameters()):
        raise PluginError(f"front end {name!r} is trained, so its features cannot be precomputed; use --feeding fly")
    entry = registry.frontends[name]
    key = digest([name, dict(model.frontend_options), source_hash(entry.factory.partition(":")[0])])
    return open_features(waveforms, frontend, key=key, dtype="float32").values


def split_for(protocol: ProtocolSpec, material: Material, job: Job) -> Split:
    """The split of a cell, cut to ``--limit`` clips a part."""
    split = make_split(protocol, material.clips, job.cell.fold, known_leaks=material.spec.known_leaks)
    if job.limit is None:
        return split
    rng = np.random.default_rng(0)

    def cut(part: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return np.sort(rng.permutation(part)[: job.limit])

    return replace(split, train=cut(split.train), validation=cut(split.validation), test=cut(split.test))
