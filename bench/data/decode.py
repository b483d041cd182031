"""One clip: a file or a generator to mono at the wanted rate and to 16 bits. Every conversion is reported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bench.data.decoders import read_audio
from bench.errors import DataError

if TYPE_CHECKING:
    from bench.clips import AudioSource

    Floats = npt.NDArray[np.float32]

RESAMPLER = "soxr-HQ"
"""Quality setting of the resampler; part of every cache fingerprint, because resamplers differ by tens of dB."""

FULL_SCALE = 32_768.0
"""int16 step size: sample / FULL_SCALE lies in [-1, 1)."""

LOWEST_RATE, HIGHEST_RATE = 100, 10_000_000
"""In Hz; sound has no others, and a header that claims 1 Hz would make hours of a second."""

_LOUDEST = 2.0**40
"""Beyond any unit that sound is written in; squares of more are infinite in float32."""
_MOST = 1 << 30
"""Samples of a resampled clip."""
_CANCELLED = 0.01
_OVERDRIVEN = 2.0
_QUIET = 1e-3
_ROUNDING = 1 / 12
_ENOUGH = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """One decoded clip.

    Attributes:
        samples: ``(samples,)`` int16 mono at the wanted rate.
        scale: ``samples * scale / 32768`` is the clip: 1 but for clips that 16 bits at full scale would not hold.
        changes: Names of :data:`bench.data.check.PHRASES`: the rate was converted; several channels were averaged;
            they cancelled each other (20 dB less than each alone); overshoot of a lossy codec or of resampling beyond
            [-1, 1] was cut; a peak more than 6 dB beyond, so another unit, was kept by ``scale``; the file ends before
            what its header promises; every sample is zero; the peak lies below -60 dBFS.
    """

    samples: npt.NDArray[np.int16]
    scale: float
    changes: frozenset[str]


def decode(source: AudioSource, index: int, clip_id: str, sample_rate: int) -> Decoded:
    """Clip ``index`` of ``Clips.audio`` as mono int16 at ``sample_rate`` Hz.

    Raises:
        DataError: The clip is unreadable, empty or holds NaN or infinity; names the clip and the file.
    """
    try:
        audio = read_audio(source, index)
    except DataError as error:
        raise DataError(f"clip {clip_id!r}: {error}") from error
    where = "generated" if callable(source) else str(source[index])
    waveform = audio.samples
    if waveform.ndim != 2 or waveform.size == 0:
        raise DataError(f"clip {clip_id!r}: no samples in {where} (shape {waveform.shape})")
    if not max(waveform.max(), -waveform.min()) <= _LOUDEST:  # NaN neither
        raise DataError(f"clip {clip_id!r}: NaN, infinite or endlessly loud samples in {where}; full scale is 1")
    if not LOWEST_RATE <= audio.rate <= HIGHEST_RATE:
        allowed = f"allowed are {LOWEST_RATE} to {HIGHEST_RATE}"
        raise DataError(f"clip {clip_id!r}: {where} says it has {audio.rate} Hz; {allowed}")
    if waveform.shape[1] * sample_rate > _MOST * audio.rate:
        raise DataError(
            f"clip {clip_id!r}: {where} is {waveform.shape[1] / audio.rate / 3600:.0f} hours at {audio.rate} Hz"
        )
    mixed = waveform.shape[0] > 1
    mono = waveform.mean(axis=0) if mixed else waveform[0]
    cancelled = mixed and _power(mono) < _CANCELLED * _power(waveform)
    if audio.rate != sample_rate:
        import soxr

        mono = soxr.resample(mono, audio.rate, sample_rate, quality="HQ")
        if mono.size == 0:
            raise DataError(f"clip {clip_id!r}: {where} is too short to resample from {audio.rate} to {sample_rate} Hz")
    peak = max(float(mono.max()), -float(mono.min()))
    said = {
        "resampled": audio.rate != sample_rate, "mixed_down": mixed, "cancelled": cancelled,
        "clipped": 1.0 < peak <= _OVERDRIVEN, "overdriven": peak > _OVERDRIVEN, "cut": audio.cut,
        "silent": peak == 0 and not cancelled, "quiet": 0 < peak < _QUIET,
    }  # fmt: skip
    scale = _scale(mono, peak)
    return Decoded(
        samples=to_int16(mono if scale == 1.0 else mono / np.float32(scale)), scale=scale,
        changes=frozenset(name for name, so in said.items() if so),
    )  # fmt: skip


def to_int16(waveform: npt.NDArray[np.float32]) -> npt.NDArray[np.int16]:
    """Round float samples in [-1, 1] to int16; what lies outside is cut to the ends of the range.

    >>> to_int16(np.array([-1.0, 0.0, 0.5, 1.0, 1.7], dtype=np.float32)).tolist()
    [-32768, 0, 16384, 32767, 32767]
    """
    steps = np.asarray(waveform * FULL_SCALE)
    np.rint(steps, out=steps)
    np.clip(steps, -FULL_SCALE, FULL_SCALE - 1, out=steps)
    return steps.astype(np.int16)


def at_level(samples: npt.NDArray[np.int16], scale: float) -> Floats:
    """The float32 waveform of scaled samples, ``(samples,)``."""
    return samples.astype(np.float32) * np.float32(scale / FULL_SCALE)


def _scale(mono: Floats, peak: float) -> float:
    """The power of two that 16 bits need to hold the clip; 1 unless it is overdriven or would drown in rounding."""
    if peak > _OVERDRIVEN:
        return float(2.0 ** np.ceil(np.log2(peak)))
    if peak == 0 or peak > 0.1 or _power(mono) * FULL_SCALE**2 > _ROUNDING * _ENOUGH:
        return 1.0
    steps = mono * FULL_SCALE
    return 1.0 if np.array_equal(np.rint(steps), steps) else float(2.0 ** np.ceil(np.log2(peak)))


def _power(waveform: Floats) -> float:
    flat = waveform.ravel()
    return float(np.dot(flat, flat)) / flat.size
