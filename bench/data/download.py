"""Fetch an archive, unpack it where nothing can escape, check it, publish it by a rename."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Any

from bench.data.cache import DISK_FULL, cache_root, digest, disk_errors, publish, staging
from bench.errors import DataError
from bench.plugins.specs import DatasetSpec

Progress = Callable[[int, int], None]

_GIB = 1 << 30
_MEMBER_COST = 512
_CHUNK = 1 << 20
_TAR_END = 10_240
"""Bytes of padding that may end a tar archive."""
_ZIP_END = 65_557
"""The most bytes that the end of a zip archive's directory, and a comment after it, may have."""
_ENTRY_COST = 16
"""Bytes of memory that a byte of that directory takes, at least."""
_PACKED: Mapping[bytes, Callable[[IO[bytes]], Any]] = {
    b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open
}  # fmt: skip


def download_folder(spec: DatasetSpec) -> Path:
    """Where the download of ``spec`` lives; data sets with the same URL share it."""
    path = spec.url.split("://")[-1].partition("/")[2]
    stem = "".join(c if c.isalnum() else "-" for c in path)[:40].strip("-")
    return cache_root() / "datasets" / f"{stem}-{digest(spec.url)[:8]}"


def download(spec: DatasetSpec, check: Callable[[Path], object], progress: Progress | None = None) -> Path:
    """Fetch, unpack, check and publish the data of ``spec``; returns the folder. Several processes may do so at once.

    Args:
        spec: With a ``url``; ``archive_sha256`` is checked where given.
        check: Loads the unpacked folder and raises :class:`DataError` unless it holds the published data.
        progress: Called as ``progress(bytes done, bytes in all)``; 0 in all = unknown.

    Raises:
        DataError: The transfer fails, the checksum differs, the archive is hostile or not the published data,
            or the disk is full.
    """

    def intact(folder: Path) -> bool:
        with contextlib.suppress(DataError):
            check(folder)
            return True
        return False

    goal = download_folder(spec)
    limit = max(4 * (spec.download_bytes or 2 * _GIB), _GIB)
    with staging(goal) as folder:
        archive = folder / "archive"
        fetch(spec.url, archive, spec.archive_sha256, _Progress(progress, spec.download_bytes or 0, limit))
        content = folder / "content"
        unpack(archive, content, max_bytes=limit)
        check(content)
        publish(content, goal, intact)
    return goal


def fetch(url: str, target: Path, sha256: str = "", progress: Any = None) -> None:
    """Transfer ``url`` into the file ``target``; ``progress`` has ``total``, ``update``, ``reset`` and ``close``.

    Raises:
        DataError: The transfer fails or the checksum differs.
    """
    if not url.startswith(("https://", "http://")):
        raise DataError(f"cannot download {url!r}: only http(s) addresses are fetched")
    import pooch  # what it brings takes longer to import than all else here

    transfer = pooch.HTTPDownloader(progressbar=progress or _Progress(None, 0, 1 << 62), chunk_size=_CHUNK)
    with disk_errors(target.parent):
        target.touch()
    try:
        transfer(url, str(target), None)
    except OSError as error:
        if error.errno in DISK_FULL:
            with disk_errors(target.parent):
                raise
        raise DataError(
            f"downloading {url} failed: {error}. Fetch it by other means and give its folder with --data DIR, "
            "or try `--dataset demo`, which needs no files."
        ) from error
    if sha256 and (found := pooch.file_hash(str(target))) != sha256:
        raise DataError(f"{url} has sha256 {found}, expected {sha256}: a damaged or replaced archive, nothing was kept")


def unpack(archive: Path, target: Path, *, max_bytes: int) -> None:
    """Unpack a zip or tar archive into the new folder ``target``.

    Only plain files and folders below ``target`` are written. Links, devices, absolute names and ``..`` are refused,
    and so is an archive that grows beyond ``max_bytes``.

    Raises:
        DataError: The archive is hostile, damaged or of another kind.
    """
    with disk_errors(target):
        target.mkdir()
    try:
        budget = max_bytes
        members = _zip_members if zipfile.is_zipfile(archive) else _tar_members
        for name, content in members(archive, max_bytes):
            budget = _write_member(target, name, content, budget)
    except DataError:
        raise
    except Exception as error:  # an unpacker of damaged bytes may raise anything
        raise DataError(f"the archive is damaged or cannot be read: {error or type(error).__name__}") from error


def _zip_members(archive: Path, limit: int) -> Iterator[tuple[str, IO[bytes] | None]]:
    with archive.open("rb") as packed:
        packed.seek(-min(archive.stat().st_size, _ZIP_END), os.SEEK_END)
        end = packed.read().rpartition(b"PK\x05\x06")[2]
    _within(limit - _ENTRY_COST * int.from_bytes(end[8:12], "little"))  # the list of members is read whole
    with zipfile.ZipFile(archive) as file:
        for info in file.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise DataError(f"the archive holds a link or device: {info.filename!r}")
            with contextlib.nullcontext() if info.is_dir() else file.open(info) as content:
                yield info.filename, content


def _tar_members(archive: Path, limit: int) -> Iterator[tuple[str, IO[bytes] | None]]:
    with archive.open("rb") as packed, contextlib.ExitStack() as opened:
        magic = packed.read(6)
        packed.seek(0)
        unpacker = next((opener for start, opener in _PACKED.items() if magic.startswith(start)), None)
        stream: Any = packed if unpacker is None else opened.enter_context(unpacker(packed))
        limited: Any = _Limited(stream, limit + _TAR_END)
        try:
            file = opened.enter_context(tarfile.open(fileobj=limited, mode="r:"))
        except tarfile.ReadError as error:
            raise DataError(f"{archive.name} is neither a zip nor a tar archive") from error
        for member in file:
            if not (member.isreg() or member.isdir()):
                raise DataError(f"the archive holds a link or device: {member.name!r}")
            if PurePosixPath(member.name).is_absolute():
                raise DataError(f"the archive holds a name outside its folder: {member.name!r}")
            checked = tarfile.data_filter(member, "/nowhere")
            if checked.isdir():
                if PurePosixPath(checked.name).parts:  # not "./", the folder itself, as `tar -C DIR .` writes it
                    yield checked.name, None
                continue
            content = file.extractfile(checked)
            if content is None:
                raise DataError(f"the archive holds no bytes for {member.name!r}")
            with content:
                yield checked.name, content
        limited.seek(file.offset)
        if limited.read(tarfile.BLOCKSIZE).strip(b"\0") or limited.tell() < file.offset + tarfile.BLOCKSIZE:
            raise DataError(f"{archive.name} is cut short: no end follows its last member; fetch it again")


def _write_member(target: Path, name: str, content: IO[bytes] | None, budget: int) -> int:
    """Write one member; returns what is left of ``budget`` bytes."""
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or any(c in name for c in "\\:\0"):
        raise DataError(f"the archive holds a name outside its folder: {name!r}")
    place = target.joinpath(*parts)
    budget = _within(budget - _MEMBER_COST)
    with disk_errors(place):
        (place if content is None else place.parent).mkdir(parents=True, exist_ok=True)
        if content is None:
            return budget
        if place.exists():
            raise DataError(f"the archive holds {name!r} twice")
        file = place.open("xb")
    with file:
        while chunk := content.read(_CHUNK):
            budget = _within(budget - len(chunk))
            with disk_errors(place):
                file.write(chunk)
        with disk_errors(place):
            file.flush()
    return budget


def _within(budget: int) -> int:
    if budget < 0:
        raise DataError("the archive unpacks to more than its size limit; nothing was kept")
    return budget


class _Limited:
    """A stream that is never read beyond its first ``limit`` bytes: headers count, and none is read that is longer."""

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self._stream, self._limit = stream, limit
        self.tell = stream.tell

    def seek(self, place: int) -> int:
        _within(self._limit - place)
        return self._stream.seek(place)

    def read(self, size: int) -> bytes:
        _within(self._limit - self._stream.tell() - size)
        return self._stream.read(size)


class _Progress:
    """The progress-bar protocol of pooch, passed on as ``(done, total)``; also the cap on the transfer."""

    def __init__(self, report: Progress | None, expected: int, limit: int) -> None:
        self.report, self.expected, self.limit = report, expected, limit
        self.total = self.done = 0

    def update(self, count: int) -> None:
        self.done += count
        if self.done > self.limit + _CHUNK:
            raise DataError(f"the download grew beyond {self.limit} bytes and was stopped")
        total = self.total or self.expected
        if self.report is not None:
            self.report(min(self.done, total) if total else self.done, total)

    def reset(self) -> None:
        self.done = 0

    def close(self) -> None:
        """Nothing is held open."""
