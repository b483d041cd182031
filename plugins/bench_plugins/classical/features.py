"""Clip descriptors: statistics over time of MFCC and zero-crossing rate, in numpy.

MFCC are the orthonormal DCT-II of log-mel energies (Davis & Mermelstein 1980). Two mel scales are used, as the sources
of the two descriptors do: Slaney's with filters of equal area (Piczak 2015, through librosa) and HTK's with filters of
equal height (the harness's own log-mels). Windows and hops are in seconds, so any sample rate will do.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view
from scipy.fft import dct, rfft

Array = npt.NDArray[np.float32]
MelScale = Literal["slaney", "htk"]

_CHUNK = 32  # clips at a time, so that the spectra of a data set never stand in memory together


def piczak_statistics(waveforms: Array, *, sample_rate: int) -> Array:
    """Mean and standard deviation over time of MFCC 1 to 12 and of the zero-crossing rate.

    As Piczak (2015) describes: the 0th coefficient, the clip's level, is left out. Windows of 64 ms every 32 ms,
    40 mel bands up to half the sample rate, decibels floored 80 dB below the clip's maximum.

    Args:
        waveforms: ``(clips, samples)`` in [-1, 1].
        sample_rate: In Hz.

    Returns:
        ``(clips, 26)``: means of 12 MFCC and the zero-crossing rate (fraction of sample pairs), then deviations.
    """
    return _by_chunks(waveforms, sample_rate, _piczak_chunk)


def tuned_statistics(waveforms: Array, *, sample_rate: int) -> Array:
    """Mean, deviation, deviation of the frame-to-frame change, 10th and 90th percentile of 20 MFCC.

    Windows of 40 ms every 20 ms, 64 mel bands from 20 Hz to 8 kHz (or half the sample rate), ln(power + 1e-7).

    Args:
        waveforms: ``(clips, samples)`` in [-1, 1]; silent ends cut, then tiled.
        sample_rate: In Hz.

    Returns:
        ``(clips, 100)``, 20 columns for each statistic in the order above.
    """
    return _by_chunks(waveforms, sample_rate, _tuned_chunk)


def _piczak_chunk(waveforms: Array, sample_rate: int) -> Array:
    frames = frame(waveforms, size=round(0.064 * sample_rate), hop=round(0.032 * sample_rate))
    bands = mel_filters(40, frames.shape[2], sample_rate, (0.0, sample_rate / 2), "slaney")
    decibels = 10 * np.log10(np.maximum(power_spectrum(frames, frames.shape[2]) @ bands, 1e-10))
    decibels = np.maximum(decibels, decibels.max(axis=(1, 2), keepdims=True) - 80)  # (clips, frames, 40)
    series = np.concatenate([mfcc(decibels, 13)[..., 1:], zero_crossing_rate(frames)[..., None]], axis=2)
    return np.concatenate([series.mean(axis=1), series.std(axis=1)], axis=1)


def _tuned_chunk(waveforms: Array, sample_rate: int) -> Array:
    frames = frame(waveforms, size=round(0.040 * sample_rate), hop=round(0.020 * sample_rate))
    fft = 2 ** math.ceil(math.log2(frames.shape[2]))
    bands = mel_filters(64, fft, sample_rate, (20.0, min(8000.0, sample_rate / 2)), "htk")
    series = mfcc(np.log(power_spectrum(frames, fft) @ bands + np.float32(1e-7)), 20)  # (clips, frames, 20)
    change = np.diff(series, axis=1) if series.shape[1] > 1 else np.zeros_like(series)
    low, high = np.percentile(series, (10, 90), axis=1).astype(np.float32)
    return np.concatenate([series.mean(axis=1), series.std(axis=1), change.std(axis=1), low, high], axis=1)


def frame(waveforms: Array, *, size: int, hop: int) -> Array:
    """Frames of ``size`` samples every ``hop``, ``(clips, samples)`` to ``(clips, frames, size)``.

    Half a frame of zeros stands at either end.
    """
    padded = np.pad(waveforms, ((0, 0), (size // 2, size - size // 2)))
    return sliding_window_view(padded, size, axis=1)[:, ::hop]


def power_spectrum(frames: Array, fft: int) -> Array:
    """``(clips, frames, size)`` to the power of the Hann-windowed frames, ``(clips, frames, fft // 2 + 1)``."""
    window = (0.5 + 0.5 * np.cos(np.linspace(-np.pi, np.pi, frames.shape[2] + 1)[:-1])).astype(np.float32)
    spectrum = rfft(frames * window, n=fft, axis=2)
    return np.asarray(np.square(spectrum.real) + np.square(spectrum.imag), dtype=np.float32)


def zero_crossing_rate(frames: Array) -> Array:
    """Fraction of neighbouring samples whose signs differ (zero counts as positive), ``(clips, frames)``."""
    negative = np.signbit(frames) & (frames != 0)
    return np.asarray((negative[..., 1:] != negative[..., :-1]).mean(axis=2), dtype=np.float32)


def mfcc(log_mel: Array, count: int) -> Array:
    """The first ``count`` orthonormal DCT-II coefficients, ``(clips, frames, bands)`` to ``(clips, frames, count)``."""
    return np.asarray(dct(log_mel, type=2, axis=2, norm="ortho")[..., :count], dtype=np.float32)


def mel_filters(bands: int, fft: int, sample_rate: int, limits: tuple[float, float], scale: MelScale) -> Array:
    """Triangular filters, ``(fft // 2 + 1, bands)``.

    Args:
        bands: Number of filters.
        fft: Length of the transform in samples.
        sample_rate: In Hz.
        limits: Lowest and highest frequency in Hz.
        scale: ``slaney`` (linear below 1 kHz, filters of equal area) or ``htk`` (equal height).
    """
    to_mel, to_hertz = (_slaney, _slaney_inverse) if scale == "slaney" else (_htk, _htk_inverse)
    lowest, highest = to_mel(np.array(limits))
    edges = to_hertz(np.linspace(lowest, highest, bands + 2))
    bins = np.linspace(0, sample_rate / 2, fft // 2 + 1)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    filters = np.clip(np.minimum(rising, falling), 0, None)
    if scale == "slaney":
        filters *= 2 / (edges[2:] - edges[:-2])
    return filters.astype(np.float32)


_Hertz = npt.NDArray[np.float64]


def _htk(hertz: _Hertz) -> _Hertz:
    return 2595 * np.log10(1 + hertz / 700)


def _htk_inverse(mel: _Hertz) -> _Hertz:
    return 700 * (10 ** (mel / 2595) - 1)


def _slaney(hertz: _Hertz) -> _Hertz:
    above = 15 + 27 * np.log(np.maximum(hertz, 1000) / 1000) / np.log(6.4)
    return np.where(hertz < 1000, 3 * hertz / 200, above)


def _slaney_inverse(mel: _Hertz) -> _Hertz:
    return np.where(mel < 15, 200 * mel / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))


def _by_chunks(waveforms: Array, sample_rate: int, describe: Callable[[Array, int], Array]) -> Array:
    parts = (waveforms[start : start + _CHUNK] for start in range(0, len(waveforms), _CHUNK))
    return np.concatenate([describe(np.asarray(x, dtype=np.float32), sample_rate) for x in parts]).astype(np.float32)
