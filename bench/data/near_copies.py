"""Clips that sound alike without holding the same samples: another level, codec, rate or cut of one recording.

Landmarks propose (pairs of spectral peaks, after Wang, "An Industrial-Strength Audio Search Algorithm", ISMIR 2003):
two clips in which several agree on one shift. The correlation of the waveforms at that shift decides. What this finds
and what not is measured by ``benchmarks/near_copies.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bench.data.waveforms import Recordings

CORRELATION = 0.8
"""Of the two waveforms where they overlap: what near copies have at least."""
_AGREEING, _SHARE = 6, 0.02  # landmarks on one shift, and of those of the clip that has fewer
_WINDOW_S, _HOP_S = 0.064, 0.032
_LOWEST_HZ, _HIGHEST_HZ = 60.0, 7_000.0
_RANGE = 8.0  # natural logarithm of amplitude: 70 dB
_FRAMES, _BINS = 7, 15  # a peak is the largest of its neighbourhood
_PEAKS_PER_S = 30
_FAN, _REACH = 6, 63  # partners of a peak, and how many frames they may lie behind it
_COMMON = 200  # a landmark of more places than this tells nothing
_BLOCK = 256

Ints = npt.NDArray[np.int64]


class NearCopies(NamedTuple):
    """Two clips by their rows, how they correlate, and how much later the second one has the same sound."""

    first: int
    second: int
    correlation: float
    shift_s: float


class _Landmarks(NamedTuple):
    """Of all clips together: hash, frame and clip of each landmark, sorted by hash; how many each clip has."""

    hashes: Ints
    frames: Ints
    clips: Ints
    counts: Ints


def near_copies(recordings: Recordings, sample_rate: int) -> list[NearCopies]:
    """Every pair of clips that sound alike, those that correlate most first."""
    marks = _collect(recordings, sample_rate)
    hop = round(_HOP_S * sample_rate)
    rows = list(recordings)
    found: list[NearCopies] = []
    for start in range(0, len(rows), _BLOCK):
        for first, second, frames in _candidates(marks, start):
            correlation, lag = _correlation(rows[first], rows[second], frames * hop, 2 * hop)
            if correlation >= CORRELATION:
                found.append(NearCopies(first, second, correlation, -lag / sample_rate))
    return sorted(found, key=lambda pair: (-pair.correlation, pair.first, pair.second))


def _collect(recordings: Iterable[npt.NDArray[np.int16]], sample_rate: int) -> _Landmarks:
    found = [_landmarks(samples, sample_rate) for samples in recordings]
    counts = np.array([len(hashes) for hashes, _ in found], dtype=np.int64)
    hashes, frames = (np.concatenate(part) for part in zip(*found, strict=True))
    order = np.argsort(hashes, kind="stable")
    return _Landmarks(hashes[order], frames[order], np.repeat(np.arange(len(counts)), counts)[order], counts)


def _landmarks(samples: npt.NDArray[np.int16], sample_rate: int) -> tuple[Ints, Ints]:
    """Hash and frame of each pair of peaks ``(landmarks,)``."""
    from scipy.fft import rfft
    from scipy.ndimage import maximum_filter

    nothing = np.zeros(0, dtype=np.int64)
    window, hop = round(_WINDOW_S * sample_rate), round(_HOP_S * sample_rate)
    if len(samples) < window or not samples.any():
        return nothing, nothing
    pieces = np.lib.stride_tricks.sliding_window_view(samples, window)[::hop]
    low, high = (round(hz * window / sample_rate) for hz in (_LOWEST_HZ, min(_HIGHEST_HZ, sample_rate / 2)))
    level = np.log(np.abs(rfft(pieces * np.hanning(window).astype(np.float32), axis=1)[:, low:high]) + 1e-6)
    level -= level.max()
    frames, bins = np.nonzero((level == maximum_filter(level, size=(_FRAMES, _BINS))) & (level > -_RANGE))
    loudest = np.argsort(-level[frames, bins], kind="stable")[
        : max(1, round(_PEAKS_PER_S * len(samples) / sample_rate))
    ]
    frames, bins = frames[np.sort(loudest)], bins[np.sort(loudest)]
    hashes, places = [nothing], [nothing]
    for step in range(1, min(_FAN + 1, len(frames))):
        apart = frames[step:] - frames[:-step]
        near = (apart > 0) & (apart <= _REACH)
        hashes.append((bins[:-step][near] // 2 * 256 + bins[step:][near] // 2) * (_REACH + 1) + apart[near])
        places.append(frames[:-step][near])
    return np.concatenate(hashes), np.concatenate(places)


def _candidates(marks: _Landmarks, start: int) -> Iterator[tuple[int, int, int]]:
    """For a block of clips those behind them that may be near copies, and how many frames earlier they sound."""
    rows = np.flatnonzero((marks.clips >= start) & (marks.clips < start + _BLOCK))
    first = np.searchsorted(marks.hashes, marks.hashes[rows], "left")
    times = np.searchsorted(marks.hashes, marks.hashes[rows], "right") - first
    times = np.where(times > _COMMON, 0, times)
    mine = np.repeat(rows, times)
    theirs = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times) + np.repeat(first, times)
    behind = marks.clips[theirs] > marks.clips[mine]
    mine, theirs = mine[behind], theirs[behind]
    if not len(mine):
        return
    shifts = marks.frames[mine] - marks.frames[theirs]
    least, span, count = int(shifts.min()), int(np.ptp(shifts)) + 1, len(marks.counts)
    keys, votes = np.unique(
        (marks.clips[mine] * count + marks.clips[theirs]) * span + shifts - least, return_counts=True
    )
    order = np.lexsort((-votes, keys // span))
    pairs, best = np.unique(keys[order] // span, return_index=True)
    keys, votes = keys[order][best], votes[order][best]
    fewer = np.minimum(marks.counts[pairs // count], marks.counts[pairs % count])
    enough = (votes >= _AGREEING) & (votes >= _SHARE * fewer)
    for pair, key in zip(pairs[enough].tolist(), keys[enough].tolist(), strict=True):
        yield pair // count, pair % count, key % span + least


def _correlation(
    one: npt.NDArray[np.int16], other: npt.NDArray[np.int16], lag: int, tolerance: int
) -> tuple[float, int]:
    """The largest correlation of ``one[i + lag]`` and ``other[i]`` over what overlaps, and its lag."""
    from scipy.fft import irfft, next_fast_len, rfft

    a, b = (samples.astype(np.float64) - samples.mean() for samples in (one, other))
    size = next_fast_len(len(a) + len(b))
    lags = np.arange(max(lag - tolerance, 1 - len(b)), min(lag + tolerance, len(a) - 1) + 1)
    products = np.abs(irfft(rfft(a, size) * np.conj(rfft(b, size)), size)[lags])

    def energy(samples: npt.NDArray[np.float64], others: int, begin: Ints) -> npt.NDArray[np.float64]:
        sums = np.concatenate([[0.0], np.cumsum(np.square(samples))])
        return np.asarray(sums[np.clip(begin + others, 0, len(samples))] - sums[np.clip(begin, 0, len(samples))])

    powers = np.sqrt(energy(a, len(b), lags) * energy(b, len(a), -lags))
    scores = products / np.maximum(powers, 1.0)
    best = int(scores.argmax())
    return float(min(scores[best], 1.0)), int(lags[best])
