"""What one cell feeds its model: located, decoded once, split, shuffled where the cell says so, every shape known."""

from __future__ import annotations

import copy
import hashlib
import inspect
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from bench.cell import GIVEN, MODALITIES, WAVEFORM, modality_of, parse_inputs
from bench.clips import Clips, TaskInfo
from bench.data.batches import Batches, Source, resident
from bench.data.text import Tokens, hash_tokens, own_tokens
from bench.data.waveforms import Waveforms
from bench.errors import DataError, PluginError
from bench.execution.opening import Opened, WorkerCache, open_data
from bench.execution.seeding import seed_everything
from bench.execution.state import handed_out
from bench.execution.windows import cut, window_of
from bench.job import Job
from bench.plugins.factories import load_factory
from bench.plugins.registry import Registry
from bench.plugins.specs import DatasetSpec, ModelSpec
from bench.protocols.split import Split
from bench.results.provenance import digest, source_hash

if TYPE_CHECKING:
    from torch import nn

TEXT_LENGTH = 32
"""Tokens a text is cut or padded to where the data set declares no length."""
RESIDENT_SHARE = 0.25
"""Largest part of a device's free memory that the data set may take there."""
_STREAM = 7
"""Keeps the permutations of shuffled inputs apart from other draws of the same seed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """A data set as one model sees it.

    Attributes:
        waveforms: Decoded, converted, filled clips ``(clips, samples)``; ``None`` where the publishers give features.
        arrays: ``{modality: (clips, ...)}`` handed to the model (or its front end).
        task: With the feature shape filled in.
        frontend: Fresh front end of the cell, ``None`` where the model takes the waveform or features are stored.
        given: ``{modality: how}`` with how ``given``, ``derived``, ``shuffled``, ``missing`` (in test), or two of
            these: ``derived, shuffled``.
        by_name: Whether the model is called with keywords, which one that declares several modalities always is.
        bands: Whether the features' frequency axis counts bands.
        long: Whole waveforms and their lengths, where ``arrays`` hold their first windows only.
        seconds: Time to get here.
    """

    spec: DatasetSpec
    clips: Clips
    waveforms: Waveforms | None
    arrays: Mapping[str, Any]
    task: TaskInfo
    frontend: nn.Module | None
    given: Mapping[str, str]
    by_name: bool
    bands: bool
    seconds: float
    long: Mapping[str, Any] | None = None

    @property
    def modalities(self) -> tuple[str, ...]:
        """The inputs handed to the model in training, in a fixed order."""
        return tuple(self.given)

    @property
    def tested(self) -> tuple[str, ...]:
        """The inputs handed to the model in test."""
        return tuple(name for name, how in self.given.items() if "missing" not in how)

    @property
    def stored_features(self) -> bool:
        """Whether ``audio`` holds features instead of waveforms."""
        return self.frontend is None and self.task.feature_shape is not None

    @property
    def waveform_report(self) -> Mapping[str, Any]:
        """What decoding had to do; empty where nothing was decoded."""
        return {} if self.waveforms is None else self.waveforms.report

    def batches(self, indices: np.ndarray, size: int, *, seed: int | None = None) -> Batches:
        """Batches over some clips: shuffled by ``seed``, or in order."""
        return Batches(self.arrays, self.clips.targets, indices, size, seed=seed)

    @property
    def whole(self) -> Inputs:
        """The same with whole waveforms."""
        return self if self.long is None else replace(self, arrays={**self.arrays, **self.long})

    def on(self, device: str) -> Inputs:
        """The same inputs with their arrays on a CUDA device where all of them fit in a part of its free memory."""
        if device == "cpu":
            return self
        import torch

        size = sum(x.nbytes for x in self.arrays.values() if not callable(x))
        if size > RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]:
            return self
        return replace(self, arrays={name: resident(x, device) for name, x in self.arrays.items()})

    def test_batches(self, indices: np.ndarray, size: int) -> Batches:
        """Batches in order as the model gets them in test: without the modalities that the cell calls missing."""
        arrays = {key: source for key, source in self.arrays.items() if modality_of(key) in self.tested}
        return Batches(arrays, self.clips.targets, indices, size)


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


def build_frontend(
    registry: Registry, model: ModelSpec, name: str, task: TaskInfo, *, seed: int = 0
) -> nn.Module | None:
    """The front end of a cell, on the CPU, seeded, in ``eval()``; ``None`` for ``waveform`` and published features."""
    if name in (WAVEFORM, GIVEN):
        return None
    from torch import nn

    factory = load_factory(registry.frontends[name].factory)
    seed_everything(seed)
    frontend = factory(task, **model.frontend_options)
    if not isinstance(frontend, nn.Module):
        raise PluginError(f"front end {name!r} returned {type(frontend).__name__}, expected a torch.nn.Module")
    handed_out().refuse(f"front end {name!r}", frontend)
    return frontend.eval()


def feature_shape(frontend: nn.Module, task: TaskInfo) -> tuple[int, int]:
    """``(freq, time)`` that a front end makes of one clip; any other shape is refused."""
    import torch

    with torch.no_grad():
        features = frontend(torch.zeros(1, task.clip_samples))
    if features.ndim != 3 or features.shape[0] != 1:
        raise PluginError(f"the front end returned shape {tuple(features.shape)}, expected (1, freq, time)")
    return int(features.shape[1]), int(features.shape[2])


def prepare(registry: Registry, job: Job, cache: WorkerCache | None = None, opened: Opened | None = None) -> Inputs:
    """Everything up to the model, for the data set and front end of a job; nothing is shuffled yet."""
    start = time.perf_counter()
    cache, cell = cache or WorkerCache(), job.cell
    entry, model = registry.datasets[cell.data_name], registry.models[cell.model].spec
    opened = opened or open_data(registry, job, cache)
    clips, waveforms = opened.clips, opened.waveforms
    ways = parse_inputs(cell.inputs)
    task = task_of(clips, tuple(ways), (entry.spec.task and entry.spec.task.text_length) or TEXT_LENGTH)
    if window := window_of(job.recipe, cell, task):
        task = replace(task, clip_samples=window)
    if "derived" in ways.get("image", ()):
        task = replace(task, image_shape=(1, 28, 28))
    arrays: dict[str, Any] = {}
    frontend = None
    if "audio" in ways:
        arrays["audio"], frontend, shape = _audio(registry, job, opened, task)
        if model.lengths and waveforms is not None:
            own = waveforms.lengths
            arrays["audio_samples"] = np.full_like(own, clips.clip_samples) if job.recipe.fill == "tile" else own
        task = replace(task, feature_shape=shape)
    first, long = cut(arrays, window, keep=job.recipe.long_clips == "window")
    arrays |= first
    if "image" in ways:
        arrays["image"] = _images(opened, cache, derived="derived" in ways["image"])
    if "text" in ways:
        arrays["text"], arrays["text_mask"] = _tokens(registry, job, clips, task, cache)
    return Inputs(
        spec=entry.spec, clips=clips, waveforms=waveforms, arrays=arrays, task=task, frontend=frontend,
        given={name: ", ".join(how) or "given" for name, how in ways.items()},
        by_name=model.by_name,
        bands=cell.frontend == WAVEFORM or registry.frontends[cell.frontend].spec.bands,
        seconds=time.perf_counter() - start, long=long,
    )  # fmt: skip


def _audio(
    registry: Registry, job: Job, opened: Opened, task: TaskInfo
) -> tuple[Any, nn.Module | None, tuple[int, int] | None]:
    """What batches hold of the audio, the front end that it still has to go through, and the shape of the features."""
    cell, clips, waveforms = job.cell, opened.clips, opened.waveforms
    if clips.features is not None:
        freq, frames = clips.features.shape[1:]
        return clips.features, None, (int(freq), int(frames))
    if waveforms is None:
        raise DataError(f"{clips.title} has no audio")
    model = registry.models[cell.model].spec
    frontend = build_frontend(registry, model, cell.frontend, task, seed=cell.seed)
    if frontend is None:
        return waveforms.samples, None, None
    shape = feature_shape(frontend, task)
    if cell.feeding == "precomputed":
        return _stored(registry, job, opened, frontend), None, shape
    return waveforms.samples, frontend, shape


def _images(opened: Opened, cache: WorkerCache, *, derived: bool) -> Any:
    clips, waveforms = opened.clips, opened.waveforms
    if not derived:
        if clips.images is None:
            raise DataError(f"{clips.title} has no images")
        return clips.images
    if waveforms is None:
        raise DataError(f"{clips.title} has no waveforms that an image could be derived from")
    from bench.data.derived import thumbnail

    heard = waveforms.samples[:1] if opened.stand_in else waveforms.samples
    pictures = cache.once(waveforms.fingerprint, lambda: thumbnail(heard, waveforms.sample_rate))
    return np.broadcast_to(pictures, (len(clips), *pictures.shape[1:]))


def _tokens(registry: Registry, job: Job, clips: Clips, task: TaskInfo, cache: WorkerCache) -> Tokens:
    if clips.texts is None:
        raise DataError(f"{clips.title} has no texts")
    length = task.text_length or TEXT_LENGTH
    entry = registry.models[job.cell.model]
    if entry.spec.tokenizer is None:
        return hash_tokens(clips.texts, length)
    named, texts = entry.home(entry.spec.tokenizer), clips.texts
    options = {**entry.spec.options, **({"weights": str(job.weights)} if job.weights else {})}

    def tokenized() -> Tokens:
        build = load_factory(named)
        taken = inspect.signature(build).parameters
        every = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in taken.values())
        accepted = {name: value for name, value in options.items() if every or name in taken}
        return own_tokens(build(**accepted), texts, length, entry.spec.name)

    return cache.once((job.cell.dataset, job.data, job.cell.model, length, job.weights), tokenized)


def _stored(registry: Registry, job: Job, opened: Opened, frontend: nn.Module) -> np.ndarray[Any, Any]:
    import torch

    from bench.data.features import open_features

    waveforms, name = cast("Waveforms", opened.waveforms), job.cell.frontend
    if any(p.requires_grad for p in frontend.parameters()):
        raise PluginError(f"front end {name!r} is trained, so its features cannot be precomputed; use --feeding fly")
    noise = torch.rand(1, waveforms.samples.shape[1], generator=torch.Generator().manual_seed(0)) - 0.5
    with torch.no_grad():
        heard, *others = (one(noise) for one in (frontend, frontend, copy.deepcopy(frontend).train()))
    if not all(torch.allclose(heard, other, equal_nan=True) for other in others):
        raise PluginError(
            f"front end {name!r} gives one clip other features each time or in training (dropout, augmentation), so "
            "that they cannot be precomputed; use --feeding fly"
        )
    if opened.stand_in:
        return np.broadcast_to(heard.numpy(), (len(waveforms), *heard.shape[1:]))
    drawn = hashlib.sha256(heard.numpy().tobytes()).hexdigest()  # weights drawn by the seed, wherever it keeps them
    source, options = registry.frontends[name].factory, dict(registry.models[job.cell.model].spec.frontend_options)
    key = digest([name, options, source_hash(source), drawn])
    return open_features(waveforms, frontend, key=key, dtype="float32").values


def arranged(data: Inputs, split: Split, seed: int) -> Inputs:
    """The data with its ``shuffled`` modalities moved to other clips, each within its part of the split.

    Every clip of a part gets the input of another clip of the same part (a random cycle through them, so that none
    keeps its own unless it is alone), in training and in test: pairing is destroyed, every input still occurs once,
    and no test clip's input is seen in training. Where nothing is shuffled, the same object is returned.
    """
    shuffled = [name for name, how in data.given.items() if "shuffled" in how]
    if not shuffled:
        return data
    held = np.concatenate([split.train, split.validation, split.test])
    rest = np.setdiff1d(np.arange(len(data.clips), dtype=np.int64), held)
    arrays = dict(data.arrays)
    for name in shuffled:
        moved = np.arange(len(data.clips), dtype=np.int64)
        for number, part in enumerate((rest, split.train, split.validation, split.test)):
            order = np.random.default_rng([seed, _STREAM, MODALITIES.index(name), number]).permutation(part)
            moved[order] = np.roll(order, 1)
        arrays |= {key: _permuted(source, moved) for key, source in arrays.items() if modality_of(key) == name}
    return replace(data, arrays=arrays)


def _permuted(source: Source, rows: npt.NDArray[np.int64]) -> Source:
    """Rows of an array (or of a function of indices) under a permutation ``(clips,)``."""
    return lambda index: source(rows[index]) if callable(source) else source[rows[index]]
