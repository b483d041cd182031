"""What features cost to keep and to prepare, and how far front ends agree, on the clips of one data set."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import soundfile
import torch
from torch import nn

from bench.clips import Clips
from bench.data.batches import to_tensor
from bench.data.cache import cache_root
from bench.data.decode import decode
from bench.data.features import open_features
from bench.data.waveforms import Waveforms
from bench.execution.inputs import build_frontend, task_of
from bench.frontends.filters import to_hertz, to_mel
from bench.frontends.settings import SpectralSettings
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
        shapes, reason = (tuple(values.shape[1:]), tuple(reference.shape[1:])), ""
        if values.shape != reference.shape:
            reason = f"another feature, {shapes[0]} instead of {shapes[1]} (freq, time)"
        elif name == "kaldi":
            reason = "another feature: other scale, window and pre-emphasis"
        unknown = {"max_db": None, "mean_db": None, "reasons": {"max_db": reason, "mean_db": reason}}
        found[name] = unknown if reason else _difference(values, reference)
    return {**found, f"{REFERENCE} as float16": _difference(reference.half().float(), reference)}


def _difference(features: torch.Tensor, reference: torch.Tensor) -> dict[str, Any]:
    gap = (features - reference).abs() * DECIBEL
    return {"max_db": float(gap.max()), "mean_db": float(gap.mean()), "clips": len(gap)}


def frontend_of(registry: Registry, model: str, clips: Clips, name: str) -> nn.Module:
    """A fresh front end with the model's settings, on the CPU, in evaluation mode."""
    built = build_frontend(registry, registry.models[model].spec, name, task_of(clips, ("audio",)))
    if built is None:
        raise ValueError(f"{name!r} is no front end")
    return built


FRAME_S = 0.01
"""Silence is counted in frames of this length."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spectrogram:
    """One clip under one front end: raw natural log power ``values (freq, time)``, ``hertz (freq,)`` rising.

    ``silent`` is the share of its 10 ms frames that are digital silence.
    """

    frontend: str
    clip: str
    silent: float
    values: npt.NDArray[np.float32]
    hertz: npt.NDArray[np.float64]
    seconds: float


def examples(clips: Clips, waveforms: Waveforms, frontends: Mapping[str, nn.Module]) -> list[Spectrogram]:
    """The first clip by id, then the clip closest to half silence, each under every front end."""
    shares = np.array([silent_share(row, waveforms.sample_rate) for row in waveforms.samples])
    first = min(range(len(clips)), key=lambda row: clips.ids[row])
    order = sorted(range(len(clips)), key=lambda row: (abs(shares[row] - 0.5), clips.ids[row]))
    half = next((row for row in order if row != first), first)
    found = []
    for row in dict.fromkeys((first, half)):
        audio = to_tensor(waveforms.samples[row : row + 1])
        for name, frontend in frontends.items():
            settings = getattr(frontend, "settings", None)
            if not isinstance(settings, SpectralSettings):
                continue
            with torch.inference_mode():
                values = frontend(audio)[0].float().numpy()
            found.append(
                Spectrogram(
                    frontend=name, clip=clips.ids[row], silent=float(shares[row]), values=values,
                    hertz=centres(settings, "htk" if name == "kaldi" else "slaney"),
                    seconds=waveforms.samples.shape[1] / waveforms.sample_rate,
                )
            )  # fmt: skip
    return found


def silent_share(samples: npt.NDArray[np.int16], sample_rate: int) -> float:
    """Share of whole 10 ms frames of ``samples (samples,)`` that hold nothing but zeros.

    >>> silent_share(np.repeat(np.array([0, 9], dtype=np.int16), 500), 10_000)
    0.5
    """
    frame = max(1, round(FRAME_S * sample_rate))
    whole = len(samples) // frame * frame
    if not whole:
        return float(not samples.any())
    return float(np.mean(~np.asarray(samples[:whole]).reshape(-1, frame).any(axis=1)))


def centres(settings: SpectralSettings, scale: Literal["slaney", "htk"]) -> npt.NDArray[np.float64]:
    """Centre frequency of each mel filter in Hz, ``(n_mels,)``."""
    low, high = (to_mel(edge, scale) for edge in (settings.fmin, settings.top))
    mels = torch.linspace(low, high, settings.n_mels + 2, dtype=torch.float64)[1:-1]
    return to_hertz(mels, scale).numpy()
