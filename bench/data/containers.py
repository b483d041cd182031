"""Audio files as bytes, made to decode to their end: what a header says of the length is compared, never believed."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from itertools import pairwise

_UNKNOWN = 0x7FFF_F000
"""Programs that write to a pipe put this or more as the size of a chunk that they cannot know yet."""
_CHUNK_NAME = re.compile(rb"[A-Za-z0-9 _]{4}")
_LIE = 1 << 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A file as complete ``parts`` (several for a chained Ogg), the ``frames`` promised, and if it is ``cut`` short."""

    parts: tuple[bytes, ...]
    frames: int | None = None
    cut: bool = False


def container(data: bytes) -> Container:
    """``data`` with its length fields made to reach to the end of the audio."""
    start = after_id3(data)
    if data[start : start + 4] == b"fLaC":
        return _flac(data, start)
    if data[:4] == b"OggS":
        return _ogg(data)
    if data[:4] in (b"RIFF", b"RF64", b"FORM"):
        return _chunks(data)
    return Container(parts=(data,))


def after_id3(data: bytes) -> int:
    """Where the audio begins behind an ID3v2 tag.

    >>> after_id3(b"ID3" + bytes([4, 0, 0, 0, 0, 1, 2]) + bytes(130))
    140
    """
    if data[:3] != b"ID3" or len(data) < 10:
        return 0
    size = 0
    for byte in data[6:10]:
        size = size << 7 | byte & 0x7F
    return 10 + size


class EndlessBytes(io.BytesIO):
    """Bytes that call themselves a terabyte long, so that libsndfile reads to the end.

    It takes the length of an MP3 file without a Xing header from its size and the bit rate of its first frame.
    """

    _asked = False

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """As usual; remembers whether the size is being asked for."""
        self._asked = whence == io.SEEK_END and offset == 0
        return super().seek(offset, whence)

    def tell(self) -> int:
        """The position, or the pretended size."""
        return _LIE if self._asked else super().tell()


def without_xing(data: bytes) -> bytes:
    """An MP3 file whose own count of frames cannot be read any more."""
    start = after_id3(data)
    head = re.sub(rb"Xing|Info|VBRI", bytes(4), data[start : start + 4096], count=1)
    return data[:start] + head + data[start + 4096 :]


def _flac(data: bytes, start: int) -> Container:
    """With its count of samples set to unknown: 36 bits of the first block."""
    field = slice(start + 21, start + 26)
    count = int.from_bytes(data[field], "big")
    patched = data[: field.start] + (count >> 36 << 36).to_bytes(5, "big") + data[field.stop :]
    return Container(parts=(patched,), frames=count & (1 << 36) - 1 or None)


def _ogg(data: bytes) -> Container:
    """The links of a chain; each begins with pages that begin a stream, behind pages that do not."""
    starts: list[int] = []
    opening = last = False
    at = 0
    while 0 <= at <= len(data) - 27:
        kind, segments = data[at + 5], data[at + 26]
        if kind & 2 and not opening:
            starts.append(at)
        opening, last = bool(kind & 2), bool(kind & 4)
        end = at + 27 + segments + sum(data[at + 27 : at + 27 + segments])
        at = end if data[end : end + 4] == b"OggS" else data.find(b"OggS", at + 4)
        last &= end <= len(data)
    parts = tuple(data[a:b] for a, b in pairwise([*starts, len(data)]))
    return Container(parts=parts or (data,), cut=not last)


def _chunks(data: bytes) -> Container:
    """WAV and AIFF: the size of the chunk of samples, where it is unknown or wrong, becomes what is there."""
    order = "big" if data[:4] == b"FORM" else "little"
    at = 12
    while at + 8 <= len(data):
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], order)  # type: ignore[arg-type]
        if name in (b"data", b"SSND"):
            rest = len(data) - at - 8
            if size > rest:
                return Container(parts=(data,), cut=size < _UNKNOWN)
            if size < _UNKNOWN and order == "little" and not _reaches_end(data, at + 8 + size + (size & 1)):
                data = data[: at + 4] + rest.to_bytes(4, "little") + data[at + 8 :]
            break
        at += 8 + size + (size & 1)
    return Container(parts=(data,))


def _reaches_end(data: bytes, at: int) -> bool:
    """Whether chunks and nothing else stand from ``at`` on."""
    while at + 8 <= len(data):
        if not _CHUNK_NAME.fullmatch(data[at : at + 4]):
            return False
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8 + size + (size & 1)
    return at - 1 <= len(data) < at + 8
