"""Waveform cache: each clip is decoded once per machine, then read through a memory map.

Two layers. The base holds every clip at its native length (mono int16 at the data set's rate) in one flat file.
A view, one per trimming and filling rule, holds ``(clips, clip_samples)``. Both appear by an atomic rename.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from bench.clips import Clips
from bench.data.cache import Appender, cache_root, digest, publish, read_header, staging, write_header
from bench.data.decode import RESAMPLER, Decoded, decode, read_audio
from bench.errors import DataError

CODE_VERSION = 1
"""Raised whenever decoding, trimming or filling changes what is stored."""

Fill = Literal["zeros", "tile"]
Progress = Callable[[int, int], None]
_SIZES = {"samples.i16": "bytes"}
_CHUNK = 64
_THREADS = 2
_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Waveforms:
    """Every clip of a data set, decoded, trimmed and filled to one length.

    Attributes:
        samples: ``(clips, clip_samples)`` int16, read-only memory map; ``samples / 32768`` lies in [-1, 1).
        lengths: ``(clips,)`` int64: samples of each clip that are its own, before filling; 0 for a listed bad clip.
        sample_rate: In Hz.
        report: Counts of what was done: ``decoded``, ``resampled``, ``mixed_down``, ``clipped``, ``trimmed``,
            ``truncated``, ``padded``, ``tiled`` (clips); ``failed``: ids of skipped clips.
        fingerprint: 64 hex digits over data manifest, rate, length, resampler, trimming, filling and code version;
            the same on every machine.
    """

    samples: npt.NDArray[np.int16]
    lengths: npt.NDArray[np.int64]
    sample_rate: int
    report: dict[str, Any]
    fingerprint: str

    def __len__(self) -> int:
        return len(self.lengths)


def open_waveforms(
    clips: Clips,
    *,
    trim_db: float | None,
    fill: Fill,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Waveforms:
    """The waveforms of ``clips``, decoded now or read from the cache. Several processes may call this at once.

    Args:
        clips: A loaded data set.
        trim_db: Cut ends whose 10 ms frames lie more than this many dB below the clip's loudest; ``None`` = keep.
        fill: What a clip shorter than ``clips.clip_samples`` is filled with; a longer one keeps its beginning.
        cache: Cache folder; ``None`` = :func:`bench.data.cache.cache_root`.
        progress: Called as ``progress(clips done, clips)`` while decoding.

    Raises:
        DataError: Clips are unreadable (all are named), or the cache cannot be written.
    """
    if fill not in ("zeros", "tile"):
        raise DataError(f"fill={fill!r} is not allowed; use 'zeros' or 'tile'")
    root = cache_root() if cache is None else cache
    rules = (CODE_VERSION, RESAMPLER, clips.sample_rate)
    fingerprint = digest("waveforms", *rules, clips.manifest_sha256, clips.clip_samples, trim_db, fill)
    base_key = digest("base", *rules, _identity(clips), [clip_id in clips.listed_bad for clip_id in clips.ids])
    view_key = digest("view", base_key, clips.clip_samples, trim_db, fill)
    view = root / "waveforms" / f"view-{view_key[:32]}"
    header = read_header(view, _SIZES)
    if header is None:
        base = root / "waveforms" / f"base-{base_key[:32]}"
        _ensure(base, lambda target: _write_base(target, clips, progress))
        _ensure(view, lambda target: _write_view(target, base, clips, (trim_db, fill)))
        header = _header(view)
    shape = (len(clips), clips.clip_samples)
    return Waveforms(
        samples=np.memmap(view / "samples.i16", dtype=np.int16, mode="r", shape=shape),
        lengths=np.asarray(header["lengths"], dtype=np.int64),
        sample_rate=clips.sample_rate,
        report={**header["report"], "failed": [clips.ids[row] for row in header["failed"]]},
        fingerprint=fingerprint,
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


def _identity(clips: Clips) -> str:
    """What tells this audio from other audio and from an earlier version of it.

    Files: name, size and time of each, so that data sets over the same files share one cache. Generators: the
    manifest and three of the clips.
    """
    if callable(clips.sounds):
        probes = [read_audio(clips.sounds, i) for i in sorted({0, len(clips) // 2, len(clips) - 1})]
        return digest(clips.manifest_sha256, [(rate, waveform.tobytes().hex()) for waveform, rate in probes])
    marks: list[tuple[str, int | None, int | None]] = []
    for path in clips.sounds:
        try:
            stat = Path(path).stat()
        except OSError:
            marks.append((str(path), None, None))  # decoding names it
        else:
            marks.append((str(path), stat.st_size, stat.st_mtime_ns))
    return digest(marks)


def _ensure(goal: Path, write: Callable[[Path], None]) -> None:
    if read_header(goal, _SIZES) is not None:
        return
    with staging(goal) as folder:
        write(folder)
        publish(folder, goal, lambda found: read_header(found, _SIZES) is not None)


def _header(folder: Path) -> dict[str, Any]:
    header = read_header(folder, _SIZES)
    if header is None:
        raise DataError(f"the cache entry {folder} vanished or changed while it was read; run again.")
    return header


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


def _write_base(folder: Path, clips: Clips, progress: Progress | None) -> None:
    offsets = [0]
    report = dict.fromkeys(("decoded", "resampled", "mixed_down", "clipped"), 0)
    failed: list[int] = []
    errors: list[str] = []
    with Appender(folder / "samples.i16") as file:
        for row, result in enumerate(_decode_all(clips, progress)):
            if isinstance(result, DataError):
                if clips.ids[row] in clips.listed_bad:
                    failed.append(row)
                else:
                    errors.append(str(result))
                offsets.append(offsets[-1])
                continue
            file.append(result.samples)
            offsets.append(offsets[-1] + len(result.samples))
            report["decoded"] += 1
            for key in ("resampled", "mixed_down", "clipped"):
                report[key] += bool(getattr(result, key))
    if errors:
        raise DataError(_explain(errors, len(clips)))
    values = {"bytes": offsets[-1] * 2, "offsets": offsets, "report": report, "failed": failed}
    write_header(folder, values)


def _write_view(folder: Path, base: Path, clips: Clips, rule: tuple[float | None, Fill]) -> None:
    header = _header(base)
    offsets = header["offsets"]
    flat = np.memmap(base / "samples.i16", dtype=np.int16, mode="r") if offsets[-1] else np.zeros(0, dtype=np.int16)
    counts = dict.fromkeys(("trimmed", "truncated", "padded", "tiled"), 0)
    lengths: list[int] = []
    with Appender(folder / "samples.i16") as file:
        for start, stop in pairwise(offsets):
            row, length, done = fit(np.asarray(flat[start:stop]), clips.clip_samples, clips.sample_rate, rule)
            file.append(row)
            lengths.append(length)
            for key in done:
                counts[key] += 1
    values = {
        "bytes": len(clips) * clips.clip_samples * 2,
        "lengths": lengths,
        "report": {**header["report"], **counts},
        "failed": header["failed"],
    }
    write_header(folder, values)


def fit(
    samples: npt.NDArray[np.int16], length: int, sample_rate: int, rule: tuple[float | None, Fill]
) -> tuple[npt.NDArray[np.int16], int, tuple[str, ...]]:
    """Bring one clip to ``length`` samples.

    Args:
        samples: ``(samples,)`` int16; empty for a clip that could not be read.
        length: Wanted number of samples.
        sample_rate: In Hz.
        rule: ``(trim_db, fill)`` as in :func:`open_waveforms`.

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
    if len(samples) > length:
        done.append("truncated")
    elif len(samples) < length:
        done.append("tiled" if fill == "tile" and len(samples) else "padded")
    if done and done[-1] == "tiled":
        return np.resize(samples, length), valid, tuple(done)
    row = np.zeros(length, dtype=np.int16)
    row[:valid] = samples[:valid]
    return row, valid, tuple(done)


def _explain(errors: list[str], total: int) -> str:
    shown = "\n  ".join(errors[:_SHOWN])
    more = f"\n  ... and {len(errors) - _SHOWN} more" if len(errors) > _SHOWN else ""
    return (
        f"{len(errors)} of {total} clips cannot be used:\n  {shown}{more}\n"
        "Replace these files, or name the clips in the data set's `listed_bad`."
    )
