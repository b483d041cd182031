"""Clips for checks: synthetic ones, or a few of a data set's, as a model sees them; in memory, no cache is touched."""

from __future__ import annotations

import contextlib
import functools
import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bench.clips import Clips
from bench.data.batches import to_floats
from bench.data.decode import at_level, decode
from bench.data.derived import thumbnail
from bench.data.text import hash_tokens
from bench.data.waveforms import Waveforms, fit
from bench.errors import DataError
from bench.execution.inputs import TEXT_LENGTH, Inputs, build_frontend, feature_shape, task_of
from bench.plugins.registry import Registry
from bench.plugins.specs import DatasetSpec, ModelSpec

CLASSES = 7
"""Classes of the synthetic clips: no number that a model could have written down."""

CLIPS = 32
"""Clips of a check, and of the overfitting test."""

RATE = 16_000
"""Of synthetic clips, in Hz."""

IMAGE_SHAPE = (1, 28, 28)
"""Shape of synthetic images: that of the views which the host derives."""

_SOUNDS = (".wav", ".flac", ".ogg", ".mp3")
_WORDS = ("rain", "engine", "bird", "door", "water", "voice", "wind", "bell", "dog", "clock", "train", "step")


def tones(samples: int, seed: int, index: int) -> tuple[npt.NDArray[np.float32], int]:
    """Three sines of random pitch and level in noise: waveform ``(samples,)`` float32 in [-1, 1], and 16 000 Hz."""
    rng = np.random.default_rng([seed, 1, int(index)])
    seconds = np.arange(samples) / RATE
    pitch = np.exp(rng.uniform(np.log(80.0), np.log(0.45 * RATE), (3, 1)))
    level = rng.uniform(0.2, 1.0, (3, 1)) / 6
    sines = (level * np.sin(2 * np.pi * pitch * seconds + rng.uniform(0, 2 * np.pi, (3, 1)))).sum(axis=0)
    noise = rng.uniform(0.005, 0.05) * rng.standard_normal(samples)
    return np.clip(sines + noise, -1.0, 1.0).astype(np.float32), RATE


def real_sounds(samples: int, count: int = 4) -> list[npt.NDArray[np.float32]]:
    """The first seconds of the first few audio files below ``BENCH_DATA``, at 16 kHz; none where it has none."""
    root, found = os.environ.get("BENCH_DATA", ""), []
    for folder, folders, names in os.walk(root) if root else ():
        folders.sort()
        for path in (Path(folder, name) for name in sorted(names) if name.lower().endswith(_SOUNDS)):
            with contextlib.suppress(DataError):  # a damaged file is for the data set's own check
                one = decode([path], 0, path.name, RATE)
                found.append(np.resize(at_level(one.samples, one.scale), samples))
            if len(found) == count:
                return found
    return found


FULL_SCALE = 3
"""Row of :func:`hard_clips` that is as loud as a clip can be."""


def hard_clips(sounds: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """What recordings do and plain tones do not: ``(clips, samples)`` float32 in [-1, 1].

    Half digital silence, 60 and 100 dB below full scale, at full scale, one click of one sample, then real sounds
    where ``BENCH_DATA`` has some.
    """
    half, click = sounds[0].copy(), np.zeros_like(sounds[0])
    half[len(half) // 2 :] = 0.0
    click[len(click) // 3] = 1.0
    full = sounds[1] / max(float(np.abs(sounds[1]).max()), 1e-12)
    return np.stack([half, 1e-3 * full, 1e-5 * full[::-1], full, click, *real_sounds(len(half))])


def hardened(data: Inputs) -> tuple[Inputs, int]:
    """The data of a check with :func:`hard_clips` in place of its first sounds, and how many these are."""
    samples = to_floats(data.arrays["audio"]).copy()
    hard = hard_clips(samples)[: len(samples)]
    samples[: len(hard)] = hard
    return replace(data, arrays={**data.arrays, "audio": samples}), len(hard)


def specks(seed: int, indices: Sequence[int]) -> npt.NDArray[np.float32]:
    """Random images ``(len(indices), channels, height, width)`` float32 in [0, 1]."""
    return np.stack([np.random.default_rng([seed, 2, int(i)]).random(IMAGE_SHAPE, dtype=np.float32) for i in indices])


def synthetic_clips(*, clips: int = CLIPS, classes: int = CLASSES, samples: int = 16_000, seed: int = 0) -> Clips:
    """Clips at 16 kHz with audio, image and text, classes in turn; the same on every machine."""
    rng = np.random.default_rng([seed, 0])
    return Clips(
        title="synthetic",
        ids=tuple(f"clip-{i:03d}" for i in range(clips)),
        targets=np.arange(clips, dtype=np.int64) % classes,
        label_names=tuple(f"class {i}" for i in range(classes)),
        audio=functools.partial(tones, samples, seed),
        sample_rate=RATE,
        clip_samples=samples,
        manifest_sha256=f"synthetic-{clips}-{classes}-{samples}-{seed}",
        images=functools.partial(specks, seed),
        image_shape=IMAGE_SHAPE,
        texts=tuple(" ".join(rng.choice(_WORDS, 4)) for _ in range(clips)),
    )


def take(clips: Clips, count: int = CLIPS) -> Clips:
    """``count`` clips of a loaded data set of one label each, its classes in turn (the first clips of each)."""
    if clips.targets.ndim != 1 or len(clips) < count:
        raise DataError(f"{clips.title}: {len(clips)} clips are given; {count} clips of one label each are needed")
    return subset(clips, in_turn(clips.targets)[:count])


def in_turn(labels: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """An order of ``labels`` with one of each class after the other: the first of each, the second of each, ...

    >>> in_turn(np.array([1, 1, 0, 1, 0]))
    array([2, 0, 4, 1, 3])
    """
    turns = np.zeros(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        turns[labels == label] = np.arange((labels == label).sum())
    return np.lexsort((labels, turns))


def subset(clips: Clips, chosen: npt.NDArray[np.int64]) -> Clips:
    """Some clips of a loaded data set, in the order of ``chosen``, in no fold, group or part any more."""
    audio, images, texts = clips.sounds, clips.images, clips.texts
    return replace(
        clips,
        ids=tuple(clips.ids[i] for i in chosen),
        targets=clips.targets[chosen],
        audio=(lambda i: audio(int(chosen[i]))) if callable(audio) else [audio[i] for i in chosen],
        images=None if images is None else lambda indices: images(chosen[np.asarray(indices)].tolist()),
        texts=None if texts is None else tuple(texts[i] for i in chosen),
        folds=None, groups=None, splits=None, listed_bad=(),
    )  # fmt: skip


def as_inputs(
    registry: Registry,
    model: ModelSpec,
    clips: Clips,
    *,
    optional: bool = False,
    frontend: str | None = None,
    trim_db: float | None = None,
) -> Inputs:
    """The clips, a few dozen decoded here and now, as one model sees them.

    ``optional`` hands over the optional modalities too; ``frontend`` names another front end than the model's own;
    ``trim_db`` cuts silent ends as a recipe does.
    """
    needed = model.modalities or model.optional_modalities[:1]  # one that does without each still needs one
    wanted = (*needed, *(model.optional_modalities if optional else ()))
    given: dict[str, str] = {name: "derived" if name in model.derived else "given" for name in wanted}
    clips = clips.at(model.sample_rate)
    samples = _samples(clips, trim_db)
    shapes = {"derived": IMAGE_SHAPE, "given": clips.image_shape, None: None}
    task = replace(task_of(clips, tuple(given)), image_shape=shapes[given.get("image")])
    name = frontend or model.axes.get("frontend") or model.frontend or "waveform"
    built = build_frontend(registry, model, name, task) if "audio" in given else None
    if built is not None:
        task = replace(task, feature_shape=feature_shape(built, task))
    return Inputs(
        spec=DatasetSpec(name="check", load="bench.testing.inputs:synthetic_clips", needs_files=False),
        waveforms=Waveforms(
            samples=samples, lengths=np.full(len(samples), samples.shape[1], dtype=np.int64),
            sample_rate=clips.sample_rate, report={}, fingerprint="check",
        ),
        clips=clips, arrays=_arrays(samples, clips, given, lengths=model.lengths), task=task, frontend=built,
        given=given,
        by_name=model.by_name,
        bands=name == "waveform" or registry.frontends[name].spec.bands, seconds=0.0,
    )  # fmt: skip


def _arrays(samples: npt.NDArray[Any], clips: Clips, given: dict[str, str], *, lengths: bool) -> dict[str, Any]:
    for name, source in (("image", clips.images), ("text", clips.texts)):
        if given.get(name) == "given" and source is None:
            raise DataError(f"{clips.title} has no {name}s, which the model needs")
    arrays: dict[str, Any] = {"audio": samples} if "audio" in given else {}
    if lengths and arrays:
        arrays["audio_samples"] = np.full(len(samples), samples.shape[1], dtype=np.int64)
    if "image" in given:
        arrays["image"] = clips.images if given["image"] == "given" else thumbnail(samples, clips.sample_rate)
    if "text" in given:
        arrays["text"], arrays["text_mask"] = hash_tokens(clips.texts or (), TEXT_LENGTH)
    return arrays


def _samples(clips: Clips, trim_db: float | None) -> npt.NDArray[Any]:
    """Each clip repeated or cut to ``(clips, clip_samples)``: int16, or float32 where that would lose one."""
    found = [decode(clips.sounds, i, clips.ids[i], clips.sample_rate) for i in range(len(clips))]
    exact = all(one.scale == 1.0 for one in found)
    rows = [fit(one.samples, clips.clip_samples, clips.sample_rate, (trim_db, "tile"))[0] for one in found]
    return np.stack([row if exact else at_level(row, one.scale) for row, one in zip(rows, found, strict=True)])


@contextlib.contextmanager
def own_randomness() -> Iterator[None]:
    """Leave the states of Python's, numpy's and torch's generators as they were."""
    states = random.getstate(), np.random.get_state()  # noqa: NPY002  plugins may draw from the legacy generator
    with torch.random.fork_rng():
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002
