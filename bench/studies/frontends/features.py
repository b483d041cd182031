"""What features cost to keep and to prepare, and how far front ends agree, on the clips of one data set."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from torch import nn

from bench.clips import Clips
from bench.data.batches import to_tensor
from bench.data.cache import cache_root
from bench.data.decode import decode
from bench.data.features import open_features
from bench.execution.inputs import build_frontend, task_of
from bench.measurement.clocks import Clock
from bench.plugins.registry import Registry
from bench.studies.frontends.loaders import StudyData, usable
from bench.studies.frontends.plots import DECIBEL

REFERENCE = "torchaudio"
PARITY_CLIPS = 32
DECODED_CLIPS = 64
PREPARED_CLIPS = 400
"""At most so many clips are prepared for the timing; more only repeat it."""


def look_at_features(data: StudyData) -> dict[str, Any]:
    """Bytes per clip, seconds of preparation and parity.

    Returns:
        ``baseline`` (``sample_rate`` in Hz, ``codec`` of the source, ``frontend`` and ``shape`` of what is stored),
        ``storage`` (bytes per clip: ``source``, ``int16``, ``float32``, ``float16``), ``preparation`` (``seconds`` for
        the features of the whole data set, from ``clips`` of it, ``threads``; ``decode_s`` for decoding all of it),
        ``parity`` (``{front end: max and mean dB}``) and ``reasons``.
    """
    clips, waveforms = data.clips, data.waveforms
    files = () if callable(clips.sounds) else clips.sounds
    source = sum(Path(path).stat().st_size for path in files) / len(clips) if files else None
    preparation, shape = _prepare(data)
    per_clip = 4 * math.prod(shape)
    return {
        "baseline": {
            "sample_rate": clips.sample_rate, "codec": codec(clips), "frontend": data.stored, "shape": list(shape),
        },
        "storage": {
            "source": source, "int16": waveforms.samples.shape[1] * 2, "float32": per_clip, "float16": per_clip // 2,
        },
        "preparation": {**preparation, **_decoding(clips)},
        "parity": parity(data.frontends, to_tensor(waveforms.samples[:PARITY_CLIPS])),
        "reasons": {"storage.source": "the clips are generated, there are no files"} if source is None else {},
    }  # fmt: skip


def _prepare(data: StudyData) -> tuple[dict[str, Any], tuple[int, ...]]:
    """Compute and write features afresh, in a folder beside the cache that is thrown away; ``(freq, time)`` of one."""
    waveforms = data.waveforms
    count, whole = min(PREPARED_CLIPS, len(waveforms)), len(waveforms)
    some = replace(waveforms, samples=waveforms.samples[:count], lengths=waveforms.lengths[:count])
    with tempfile.TemporaryDirectory(prefix="study-", dir=cache_root()) as folder:
        features = open_features(some, data.frontends[data.stored], key="study", cache=Path(folder))
        seconds, shape = features.seconds / count * whole, features.values.shape[1:]
    return {"seconds": seconds, "clips": count, "of": whole, "threads": torch.get_num_threads()}, shape


def _decoding(clips: Clips) -> dict[str, Any]:
    """Seconds to decode every clip once on one thread, from some of them."""
    rows = usable(clips)[:DECODED_CLIPS]
    clock = Clock("cpu")
    for row in rows:
        clock.time(lambda i: decode(clips.sounds, i, clips.ids[i], clips.sample_rate), row)
    return {"decode_s": float(np.mean(clock.host_seconds())) * len(clips), "decoded": len(rows)}


def codec(clips: Clips) -> str:
    """Container, coding and rate of the first source file: ``OGG VORBIS, 44100 Hz``; ``generated`` without files."""
    sounds = clips.sounds
    if callable(sounds):
        return "generated"
    info = soundfile.info(sounds[0])
    return f"{info.format} {info.subtype}, {info.samplerate} Hz"


def parity(frontends: Mapping[str, nn.Module], audio: torch.Tensor) -> dict[str, dict[str, Any]]:
    """Largest and mean difference from torchaudio's features in dB, before any training.

    Args:
        frontends: By name; torchaudio's among them.
        audio: ``(clips, samples)`` float32.
    """
    with torch.inference_mode():
        features = {name: frontend(audio) for name, frontend in frontends.items()}
    reference = features.pop(REFERENCE)
    found: dict[str, dict[str, Any]] = {}
    for name, values in features.items():
        if values.shape != reference.shape:
            shapes = tuple(values.shape[1:]), tuple(reference.shape[1:])
            found[name] = _unknown(f"another feature, {shapes[0]} instead of {shapes[1]} (freq, time)")
        elif name == "kaldi":
            found[name] = _unknown("another feature: other scale, window and pre-emphasis")
        else:
            found[name] = _difference(values, reference)
    return {**found, f"{REFERENCE} as float16": _difference(reference.half().float(), reference)}


def _difference(features: torch.Tensor, reference: torch.Tensor) -> dict[str, Any]:
    gap = (features - reference).abs() * DECIBEL
    return {"max_db": float(gap.max()), "mean_db": float(gap.mean()), "clips": len(gap)}


def _unknown(reason: str) -> dict[str, Any]:
    return {"max_db": None, "mean_db": None, "reasons": {"max_db": reason, "mean_db": reason}}


def frontend_of(registry: Registry, model: str, clips: Clips, name: str) -> nn.Module:
    """A fresh front end with the model's settings, on the CPU, in evaluation mode."""
    built = build_frontend(registry, registry.models[model].spec, name, task_of(clips, ("audio",)))
    if built is None:
        raise ValueError(f"{name!r} is no front end")
    return built
