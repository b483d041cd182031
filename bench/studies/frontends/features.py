"""What features cost to keep and to prepare, and how far front ends agree, on the clips of one data set."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from bench.clips import Clips
from bench.data.batches import to_tensor
from bench.data.cache import cache_root
from bench.data.decode import decode
from bench.data.features import open_features
from bench.data.waveforms import Waveforms, open_waveforms
from bench.execution.inputs import build_frontend, task_of
from bench.measurement.clocks import clock_for
from bench.plugins.registry import Registry
from bench.recipe import Recipe

DECIBEL = 10 / math.log(10)
"""dB per unit of a natural logarithm of power."""
REFERENCE = "torchaudio"
PARITY_CLIPS = 32
DECODED_CLIPS = 64
PREPARED_CLIPS = 400
"""At most so many clips are prepared for the timing; more only repeat it."""


def look_at_features(
    registry: Registry, model: str, clips: Clips, recipe: Recipe, frontends: Sequence[str], stored: str
) -> dict[str, Any]:
    """Bytes per clip, seconds of preparation and parity.

    Args:
        registry: Where front ends and the model's settings come from.
        model: Its name.
        clips: The data set.
        recipe: For trimming and filling.
        frontends: Front ends to compare with torchaudio's.
        stored: Front end whose features are stored.

    Returns:
        ``baseline`` (``sample_rate`` in Hz, ``codec`` of the source, ``frontend`` and ``shape`` of what is stored),
        ``storage`` (bytes per clip: ``source``, ``int16``, ``float32``, ``float16``), ``preparation`` (``seconds`` for
        the features of the whole data set, from ``clips`` of it, ``threads``; ``decode_s`` for decoding all of it),
        ``parity`` (``{front end: max and mean dB}``) and ``reasons``.
    """
    waveforms = open_waveforms(clips, trim_db=recipe.trim_db, fill=recipe.fill)
    reasons: dict[str, str] = {}
    source = None
    if callable(clips.sounds):
        reasons["storage.source"] = "the clips are generated, there are no files"
    else:
        source = sum(Path(path).stat().st_size for path in clips.sounds) / len(clips)
    preparation, shape = _prepare(registry, model, clips, waveforms, stored)
    per_clip = 4 * math.prod(shape)
    return {
        "baseline": {
            "sample_rate": clips.sample_rate, "codec": codec(clips), "frontend": stored, "shape": list(shape),
        },
        "storage": {
            "source": source, "int16": waveforms.samples.shape[1] * 2, "float32": per_clip, "float16": per_clip // 2,
        },
        "preparation": {**preparation, **_decoding(clips)},
        "parity": _parity(registry, model, clips, waveforms, [*frontends, stored]),
        "reasons": reasons,
    }  # fmt: skip


def _prepare(
    registry: Registry, model: str, clips: Clips, waveforms: Waveforms, stored: str
) -> tuple[dict[str, Any], tuple[int, ...]]:
    """Compute and write features afresh, in a folder beside the cache that is thrown away; ``(freq, time)`` of one."""
    count = min(PREPARED_CLIPS, len(waveforms))
    some = replace(waveforms, samples=waveforms.samples[:count], lengths=waveforms.lengths[:count])
    frontend = frontend_of(registry, model, clips, stored)
    with tempfile.TemporaryDirectory(prefix="study-", dir=cache_root()) as folder:
        features = open_features(some, frontend, key="study", cache=Path(folder))
        seconds, shape = features.seconds, features.values.shape[1:]
    whole = seconds / count * len(waveforms)
    return {"seconds": whole, "clips": count, "of": len(waveforms), "threads": torch.get_num_threads()}, shape


def _decoding(clips: Clips) -> dict[str, Any]:
    """Seconds to decode every clip once on one thread, from some of them."""
    usable = [row for row, name in enumerate(clips.ids) if name not in clips.listed_bad][:DECODED_CLIPS]
    clock = clock_for("cpu")
    for row in usable:
        clock.time(lambda i: decode(clips.sounds, i, clips.ids[i], clips.sample_rate), row)
    each = float(np.mean(clock.host_seconds()))
    return {"decode_s": each * len(clips), "decoded": len(usable)}


def codec(clips: Clips) -> str:
    """Container, coding and rate of the first source file: ``OGG VORBIS, 44100 Hz``; ``generated`` without files."""
    sounds = clips.sounds
    if callable(sounds):
        return "generated"
    info = soundfile.info(sounds[0])
    return f"{info.format} {info.subtype}, {info.samplerate} Hz"


def _parity(
    registry: Registry, model: str, clips: Clips, waveforms: Waveforms, frontends: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Largest and mean difference from torchaudio's features in dB, before any training."""
    audio = to_tensor(waveforms.samples[:PARITY_CLIPS])
    with torch.inference_mode():
        reference = frontend_of(registry, model, clips, REFERENCE)(audio)
        found: dict[str, dict[str, Any]] = {}
        for name in dict.fromkeys(frontends):
            if name == REFERENCE:
                continue
            features = frontend_of(registry, model, clips, name)(audio)
            if features.shape != reference.shape:
                shapes = tuple(features.shape[1:]), tuple(reference.shape[1:])
                found[name] = _unknown(f"another feature, {shapes[0]} instead of {shapes[1]} (freq, time)")
            elif name == "kaldi":
                found[name] = _unknown("another feature: other scale, window and pre-emphasis")
            else:
                found[name] = _difference(features, reference)
        found[f"{REFERENCE} as float16"] = _difference(reference.half().float(), reference)
    return found


def _difference(features: torch.Tensor, reference: torch.Tensor) -> dict[str, Any]:
    gap = (features - reference).abs() * DECIBEL
    return {"max_db": float(gap.max()), "mean_db": float(gap.mean()), "clips": len(gap)}


def _unknown(reason: str) -> dict[str, Any]:
    names: Mapping[str, str] = {"max_db": reason, "mean_db": reason}
    return {"max_db": None, "mean_db": None, "reasons": dict(names)}


def frontend_of(registry: Registry, model: str, clips: Clips, name: str) -> torch.nn.Module:
    """A fresh front end with the model's settings, on the CPU, in evaluation mode."""
    built = build_frontend(registry, registry.models[model].spec, name, task_of(clips, ("audio",)))
    if built is None:
        raise ValueError(f"{name!r} is no front end")
    return built
