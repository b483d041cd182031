"""One clip: a file or a generator to mono float32 at the wanted rate. Every conversion is reported."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from bench.errors import DataError

if TYPE_CHECKING:
    from bench.clips import AudioSource

RESAMPLER = "soxr-HQ"
"""Quality setting of the resampler; part of every cache fingerprint, because resamplers differ by tens of dB."""

FULL_SCALE = 32_768.0
"""int16 step size: sample / FULL_SCALE lies in [-1, 1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """One decoded clip.

    Attributes:
        samples: ``(samples,)`` int16 mono at the wanted rate.
        resampled: Whether the rate was converted.
        mixed_down: Whether several channels were averaged.
        clipped: Whether a sample lay outside [-1, 1] and was cut (lossy codecs and resampling overshoot).
    """

    samples: npt.NDArray[np.int16]
    resampled: bool
    mixed_down: bool
    clipped: bool


def read_audio(source: AudioSource, index: int) -> tuple[npt.NDArray[np.float32], int]:
    """The samples ``(channels, samples)`` float32 of clip ``index`` and their rate in Hz.

    Raises:
        DataError: The file is missing, unreadable, cut short or not of a known format.
    """
    if callable(source):
        waveform, rate = source(index)
        return np.atleast_2d(np.asarray(waveform, dtype=np.float32)), int(rate)
    path = Path(source[index])
    try:
        with soundfile.SoundFile(path) as file:
            expected, rate = file.frames, file.samplerate
            data = file.read(dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError) as error:
        raise DataError(f"cannot read {path}: {_reason(path, error)}") from error
    if len(data) < expected:
        raise DataError(f"cannot read {path}: it ends after {len(data)} of {expected} frames")
    return data.T, int(rate)


def decode(source: AudioSource, index: int, clip_id: str, sample_rate: int) -> Decoded:
    """Clip ``index`` as mono int16 at ``sample_rate``.

    Args:
        source: ``Clips.audio``.
        index: Row of the clip.
        clip_id: Its id, for messages.
        sample_rate: Wanted rate in Hz.

    Returns:
        The samples and what was done to them.

    Raises:
        DataError: The clip is unreadable, empty or holds NaN or infinity; names the clip and the file.
    """
    try:
        waveform, rate = read_audio(source, index)
    except DataError as error:
        raise DataError(f"clip {clip_id!r}: {error}") from error
    where = "generated" if callable(source) else str(source[index])
    if waveform.ndim != 2 or waveform.size == 0:
        raise DataError(f"clip {clip_id!r}: no samples in {where} (shape {waveform.shape})")
    if not np.isfinite(waveform).all():
        raise DataError(f"clip {clip_id!r}: NaN or infinite samples in {where}")
    mixed = waveform.shape[0] > 1
    mono = waveform.mean(axis=0) if mixed else waveform[0]
    if rate != sample_rate:
        mono = soxr.resample(mono, rate, sample_rate, quality="HQ")
        if mono.size == 0:
            raise DataError(f"clip {clip_id!r}: {where} is too short to resample from {rate} to {sample_rate} Hz")
    clipped = bool(np.abs(mono).max() > 1.0)
    return Decoded(samples=to_int16(mono), resampled=rate != sample_rate, mixed_down=mixed, clipped=clipped)


def to_int16(waveform: npt.NDArray[np.float32]) -> npt.NDArray[np.int16]:
    """Round float samples in [-1, 1] to int16; what lies outside is cut to the ends of the range.

    >>> to_int16(np.array([-1.0, 0.0, 0.5, 1.0, 1.7], dtype=np.float32)).tolist()
    [-32768, 0, 16384, 32767, 32767]
    """
    steps = np.clip(np.rint(waveform * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1)
    return np.asarray(steps, dtype=np.int16)


def _reason(path: Path, error: Exception) -> str:
    if not path.exists():
        return "no such file"
    if path.is_file() and path.stat().st_size == 0:
        return "the file is empty (0 bytes)"
    return str(error) or type(error).__name__
