"""What files hold, as digests: hashed once, then remembered by path, size, times and inode."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import time
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.clips import Clips
from bench.data.cache import CacheWarning, cache_root, digest
from bench.data.decoders import read_audio
from bench.results.reading import set_aside

_LISTED = (
    "ids", "targets", "label_names", "sample_rate", "clip_samples", "manifest_sha256", "folds", "groups", "splits",
    "texts", "listed_bad",
)  # fmt: skip
"""Fields of :class:`bench.clips.Clips` that say which clips there are and what they are."""
_THREADS = 2
_PATIENCE_S = 30.0
_WHOLE = 1 << 24
"""Bytes up to which a file is read at once, which is faster for small ones."""
_SETTLED_NS = 2 * 10**9
"""A file that changed less than 2 s before it was hashed is not remembered: clocks of file systems are coarse."""


def identified(clips: Clips, *, rehash: bool = False) -> Clips:
    """The clips with ``contents_sha256`` filled in."""
    return replace(clips, contents_sha256=content_digest(clips, rehash=rehash))


def content_digest(clips: Clips, *, cache: Path | None = None, rehash: bool = False) -> str:
    """64 hex digits over a data set's list of clips and over what its files hold; the same on every machine."""
    listed = [getattr(clips, column) for column in _LISTED]
    columns = [values.tolist() if isinstance(values, np.ndarray) else values for values in listed]
    pictures = [Path(path) for path in getattr(clips.images, "files", ())]
    features = None if clips.features is None else hashlib.sha256(np.ascontiguousarray(clips.features).data).hexdigest()
    sounds = None if clips.audio is None else audio_digest(clips, cache=cache, rehash=rehash)
    return digest("contents", columns, sounds, file_digests(pictures, cache=cache, rehash=rehash), features)


def audio_digest(clips: Clips, *, cache: Path | None = None, rehash: bool = False) -> str:
    """What tells this audio from other audio.

    Files: the contents of each in their order, so that data sets over the same recordings share one cache.
    Generators: the manifest, three of the clips, and the files that they name in their attribute ``files``.
    """
    if not callable(clips.sounds):
        return digest(file_digests(clips.sounds, cache=cache, rehash=rehash))
    probes = [read_audio(clips.sounds, i) for i in sorted({0, len(clips) // 2, len(clips) - 1})]
    files = file_digests(getattr(clips.sounds, "files", ()), cache=cache, rehash=rehash)
    return digest(clips.manifest_sha256, [(probe.rate, probe.samples.tobytes().hex()) for probe in probes], files)


def file_digests(paths: Sequence[Path], *, cache: Path | None = None, rehash: bool = False) -> list[str]:
    """The sha256 of each file, empty for one that cannot be read.

    Args:
        paths: Any files.
        cache: Folder of the index; ``None`` = :func:`bench.data.cache.cache_root`.
        rehash: Whether to read every file again.
    """
    index = (cache_root() if cache is None else cache) / "contents.sqlite"
    names = [str(Path(path).absolute()) for path in paths]
    states = {name: _state(name) for name in names}
    found = {} if rehash else _remembered(index, states)
    asked = [name for name in states if name not in found]
    limit = time.time_ns() - _SETTLED_NS
    shares = [asked[start::_THREADS] for start in range(_THREADS)]
    with ThreadPoolExecutor(_THREADS) as pool:
        for hashed in pool.map(lambda share: {name: _hash(name) for name in share}, shares):
            found.update(hashed)
    settled = [name for name in asked if 0 < int(states[name].rpartition(" ")[2] or 0) < limit]
    _remember(index, [(_text(name), states[name], _sealed(name, states[name], found[name])) for name in settled])
    return [found[name] for name in names]


def _state(name: str) -> str:
    """Size, time, inode and time of change; empty for a file that is not there."""
    with contextlib.suppress(OSError, ValueError):  # ValueError: no file can have that name
        stat = os.stat(name)  # noqa: PTH116  a data set has many thousand files
        return f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ino} {stat.st_ctime_ns}"
    return ""


def _hash(name: str) -> str:
    with contextlib.suppress(OSError, ValueError), Path(name).open("rb") as file:
        if os.fstat(file.fileno()).st_size <= _WHOLE:
            return hashlib.sha256(file.read()).hexdigest()
        return hashlib.file_digest(file, "sha256").hexdigest()
    return ""


def _remembered(index: Path, states: Mapping[str, str]) -> dict[str, str]:
    """The digests of files that are as they were; none where the index cannot be read: then all is hashed."""
    if not index.exists():
        return {}
    try:
        with contextlib.closing(sqlite3.connect(index, timeout=_PATIENCE_S)) as database:
            select = "select digest from files where path = ? and state = ?"
            rows = ((name, database.execute(select, (_text(name), state)).fetchone()) for name, state in states.items())
            found = {name: str(row[0]) for name, row in rows if row is not None}
            return {
                name: value[:64] for name, value in found.items() if value == _sealed(name, states[name], value[:64])
            }
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # the latter for a message that quotes damaged bytes
        if isinstance(error, sqlite3.OperationalError) and index.is_file():  # locked, read-only
            return {}
        with contextlib.suppress(OSError):
            aside = set_aside(index).name
            said = f"{index}, which remembers what files hold, is damaged: set aside as {aside}, files are read again"
            warnings.warn(said, CacheWarning, stacklevel=3)
        return {}


def _text(name: str) -> str:
    """A path as a database takes it: names of files are bytes, in whatever encoding."""
    return name.encode(errors="backslashreplace").decode()


def _sealed(name: str, state: str, value: str) -> str:
    """A file's digest with a checksum over all that its row says."""
    return f"{value}:{hashlib.sha256(_text(f'{name} {state} {value}').encode()).hexdigest()[:16]}"


def _remember(index: Path, rows: Sequence[tuple[str, str, str]]) -> None:
    if not rows:
        return
    with contextlib.suppress(OSError, sqlite3.Error, UnicodeDecodeError):
        index.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(sqlite3.connect(index, timeout=_PATIENCE_S)) as database, database:
            database.execute("create table if not exists files (path text primary key, state text, digest text)")
            database.executemany("insert or replace into files values (?, ?, ?)", rows)
