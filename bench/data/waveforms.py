"""Waveform cache: each clip is decoded once per machine, then read through a memory map.

Two layers. The base holds every clip at its native length (mono int16 at the data set's rate) in one flat file.
A view, one per trimming and filling rule, holds ``(clips, clip_samples)``. Both appear by an atomic rename.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from bench.clips import Clips
from bench.data.cache import Appender, cache_root, digest, ensure, read_header
from bench.data.check import FAULTS, PHRASES
from bench.data.contents import audio_digest
from bench.data.decode import RESAMPLER, Decoded, at_level, decode
from bench.data.decoders import decoder
from bench.errors import DataError

CODE_VERSION = 4
"""Raised whenever decoding, trimming or filling changes what is stored, or the checksum of it."""

Fill = Literal["zeros", "tile"]
Progress = Callable[[int, int], None]
_FILE = "samples.bin"
_CHUNK = 64
_THREADS = 2
_SHOWN = 20
_NAMED = 5
_LISTED = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Waveforms:
    """Every clip of a data set, decoded, trimmed and filled to one length.

    Attributes:
        samples: ``(clips, clip_samples)``, read-only memory map: int16, ``samples / 32768`` lies in [-1, 1), or float32
            where 16 bits would lose a clip (see :class:`bench.data.decode.Decoded`).
        lengths: ``(clips,)`` int64: samples of each clip that are its own, before filling; 0 for a listed bad clip.
        sample_rate: In Hz.
        report: Counts of what was done: ``decoded`` and each of :data:`bench.data.check.PHRASES` (clips); ``failed``:
            ids of skipped clips; ``named``: the first ids with each fault; ``decoder``: name and version.
        fingerprint: 64 hex digits over what the files hold, decoder, rate, length, resampler, trimming, filling and
            code version, and a checksum of the samples.
    """

    samples: npt.NDArray[np.int16] | npt.NDArray[np.float32]
    lengths: npt.NDArray[np.int64]
    sample_rate: int
    report: dict[str, Any]
    fingerprint: str

    def __len__(self) -> int:
        return len(self.lengths)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recordings:
    """Every clip at its native length: clip ``i`` is ``flat[offsets[i]:offsets[i + 1]]`` int16, times ``scales[i]``.

    ``changed`` holds the first rows with each of :data:`bench.data.check.PHRASES`, ``key`` what all of it depends on.
    """

    key: str
    flat: npt.NDArray[np.int16]
    offsets: list[int]
    scales: list[float]
    report: dict[str, Any]
    failed: list[int]
    changed: dict[str, list[int]]

    def __iter__(self) -> Iterator[npt.NDArray[np.int16]]:
        return (np.asarray(self.flat[start:stop]) for start, stop in pairwise(self.offsets))


def open_recordings(clips: Clips, *, cache: Path | None = None, progress: Progress | None = None) -> Recordings:
    """The base layer, decoded now or read from the cache; arguments and errors of :func:`open_waveforms`."""
    root = cache_root() if cache is None else cache
    key, contents = _base_key(clips, root)

    def decode_now(folder: Path) -> dict[str, Any]:
        values = _write_base(folder, clips, progress)
        if not callable(clips.sounds) and audio_digest(clips, cache=root) != contents:
            raise DataError(f"files of {clips.title} changed while they were decoded; run again")
        return values

    folder = root / "waveforms" / f"base-{key[:32]}"
    found = ensure(folder, _FILE, decode_now)
    flat = np.memmap(folder / _FILE, dtype=np.int16, mode="r") if found["offsets"][-1] else np.zeros(0, dtype=np.int16)
    kept = {name: found[name] for name in ("offsets", "scales", "report", "failed", "changed")}
    return Recordings(key=key, flat=flat, **kept)


def _base_key(clips: Clips, root: Path) -> tuple[str, str]:
    """What the base layer depends on, and of that the digest of the files."""
    contents = audio_digest(clips, cache=root)
    bad = [clip_id in clips.listed_bad for clip_id in clips.ids]
    reads = "generated" if callable(clips.sounds) else decoder()
    return digest("base", CODE_VERSION, RESAMPLER, reads, clips.sample_rate, bad, contents), contents


def open_waveforms(
    clips: Clips, *, trim_db: float | None, fill: Fill, cache: Path | None = None, progress: Progress | None = None
) -> Waveforms:
    """The waveforms of ``clips``, decoded now or read from the cache. Several processes may call this at once.

    Args:
        clips: A loaded data set.
        trim_db: Cut ends whose 10 ms frames lie more than this many dB below the clip's loudest; ``None`` = keep.
        fill: What a clip shorter than ``clips.clip_samples`` is filled with; a longer one keeps its beginning.
        cache: Cache folder.
        progress: Called as ``progress(clips done, clips)`` while decoding.

    Raises:
        DataError: Clips are unreadable (all are named), or the cache cannot be written.
    """
    if fill not in ("zeros", "tile"):
        raise DataError(f"fill={fill!r} is not allowed; use 'zeros' or 'tile'")
    root = cache_root() if cache is None else cache
    view_key = digest("view", _base_key(clips, root)[0], clips.clip_samples, trim_db, fill)
    view = root / "waveforms" / f"view-{view_key[:32]}"
    header = read_header(view, _FILE)
    if header is None:
        found = open_recordings(clips, cache=root, progress=progress)
        header = ensure(view, _FILE, lambda folder: _write_view(folder, found, clips, (trim_db, fill)))
    report = header["report"]
    named = {fault: [clips.ids[row] for row in rows[:_NAMED]] for fault in FAULTS if (rows := header["changed"][fault])}
    return Waveforms(
        samples=np.memmap(view / _FILE, dtype=header["dtype"], mode="r", shape=(len(clips), clips.clip_samples)),
        lengths=np.asarray(header["lengths"], dtype=np.int64),
        sample_rate=clips.sample_rate,
        report={**report, "failed": [clips.ids[row] for row in header["failed"]], "named": named},
        fingerprint=digest("waveforms", view_key, header["checksum"]),
    )


def silence_bounds(samples: npt.NDArray[np.int16], trim_db: float, sample_rate: int) -> tuple[int, int]:
    """First and one-past-last sample of ``samples (samples,)`` that is left when silent ends are cut.

    A frame of 10 ms is silent when its mean power lies more than ``trim_db`` dB below that of the loudest frame.
    A clip of digital silence is kept whole.

    >>> tone = np.zeros(1000, dtype=np.int16)
    >>> tone[400:600] = 8000
    >>> silence_bounds(tone, 60.0, 10_000)
    (400, 600)
    """
    frame = max(1, sample_rate // 100)
    starts = np.arange(0, len(samples), frame)
    sums = np.add.reduceat(np.square(samples, dtype=np.float64), starts)
    power = sums / np.diff(np.append(starts, len(samples)))
    loudest = power.max()
    if loudest == 0:
        return 0, len(samples)
    heard = np.flatnonzero(power >= loudest * 10 ** (-trim_db / 10))
    return int(heard[0]) * frame, min(int(heard[-1] + 1) * frame, len(samples))


def _decode_all(clips: Clips, progress: Progress | None) -> Iterator[Decoded | DataError]:
    """Every clip in order; files on a few threads with a bounded number in memory, generators on this thread."""

    def one(index: int) -> Decoded | DataError:
        try:
            return decode(clips.sounds, index, clips.ids[index], clips.sample_rate)
        except DataError as error:
            return error

    with ThreadPoolExecutor(1 if callable(clips.sounds) else _THREADS) as pool:
        for start in range(0, len(clips), _CHUNK):
            chunk = range(start, min(start + _CHUNK, len(clips)))
            yield from pool.map(one, chunk)
            if progress is not None:
                progress(chunk.stop, len(clips))


def _write_base(folder: Path, clips: Clips, progress: Progress | None) -> dict[str, Any]:
    offsets, scales = [0], []
    changed: dict[str, list[int]] = {change: [] for change in PHRASES}
    failed: dict[int, DataError] = {}
    with Appender(folder / _FILE) as file:
        for row, result in enumerate(_decode_all(clips, progress)):
            if isinstance(result, DataError):
                failed[row] = result
                offsets.append(offsets[-1])
                scales.append(1.0)
                continue
            file.append(result.samples)
            offsets.append(offsets[-1] + len(result.samples))
            scales.append(result.scale)
            for change in result.changes:
                changed[change].append(row)
    if errors := [str(error) for row, error in failed.items() if clips.ids[row] not in clips.listed_bad]:
        raise DataError(_explain(errors, len(clips)))
    report: dict[str, Any] = {"decoded": len(clips) - len(failed)}
    report |= {change: len(rows) for change, rows in changed.items()}
    report["decoder"] = "generated" if callable(clips.sounds) else decoder()
    listed = {change: rows[:_LISTED] for change, rows in changed.items()}
    return {"offsets": offsets, "scales": scales, "report": report, "failed": list(failed), "changed": listed}


def _write_view(folder: Path, recordings: Recordings, clips: Clips, rule: tuple[float | None, Fill]) -> dict[str, Any]:
    counts: Counter[str] = Counter()
    lengths: list[int] = []
    exact = all(scale == 1.0 for scale in recordings.scales)
    with Appender(folder / _FILE) as file:
        for samples, scale in zip(recordings, recordings.scales, strict=True):
            row, length, done = fit(samples, clips.clip_samples, clips.sample_rate, rule)
            file.append(row if exact else at_level(row, scale))
            lengths.append(length)
            counts.update(done)
    kept = {"failed": recordings.failed, "changed": recordings.changed, "report": {**recordings.report, **counts}}
    return {"dtype": "int16" if exact else "float32", "lengths": lengths, **kept}


def fit(
    samples: npt.NDArray[np.int16], length: int, sample_rate: int, rule: tuple[float | None, Fill]
) -> tuple[npt.NDArray[np.int16], int, tuple[str, ...]]:
    """Bring one clip ``(samples,)`` int16, empty for one that could not be read, to ``length`` samples.

    The ``rule`` is ``(trim_db, fill)`` as in :func:`open_waveforms`.

    Returns:
        ``(length,)`` int16, the number of samples that are the clip's own, and what was done.
    """
    trim_db, fill = rule
    done: list[str] = []
    if trim_db is not None and len(samples):
        start, stop = silence_bounds(samples, trim_db, sample_rate)
        if stop - start < len(samples):
            done.append("trimmed")
        samples = samples[start:stop]
    valid = min(len(samples), length)
    if valid == length:
        return samples[:length], valid, (*done, *(["truncated"] if len(samples) > length else []))
    if fill == "tile" and valid:
        return np.resize(samples, length), valid, (*done, "tiled")
    return np.pad(samples, (0, length - valid)), valid, (*done, "padded")


def _explain(errors: list[str], total: int) -> str:
    shown = "\n  ".join(errors[:_SHOWN])
    more = f"\n  ... and {len(errors) - _SHOWN} more" if len(errors) > _SHOWN else ""
    return (
        f"{len(errors)} of {total} clips cannot be used:\n  {shown}{more}\n"
        "Replace these files, or name the clips in the data set's `listed_bad`."
    )
