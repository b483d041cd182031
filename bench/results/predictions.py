"""Arrays stored beside a record, read fast: each is unpacked when it is asked for, each kind of header parsed once.

``numpy.load`` parses the header text of every array of every file and ``zipfile`` reads every directory twice, which
together is most of their time on small arrays.
"""

from __future__ import annotations

import ast
import functools
import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.results.records import Record

Arrays = Mapping[str, npt.NDArray[Any]]
Predictions = Callable[[Record], Arrays]
"""Gives the arrays stored beside a record."""

_DIRECTORY_END = struct.Struct("<4s4H2LH")
_DIRECTORY_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL_HEADER = struct.Struct("<26x2H")
_METHODS: Mapping[int, Callable[[bytes], bytes]] = {
    zipfile.ZIP_STORED: bytes,
    zipfile.ZIP_DEFLATED: functools.partial(zlib.decompress, wbits=-zlib.MAX_WBITS),
}


def clip_groups(ids: npt.NDArray[Any], groups: npt.NDArray[Any]) -> npt.NDArray[Any] | None:
    """The group of each clip: one without a name (``""``) is its own; ``None`` where clips are independent.

    A clip that stands there twice, tested in two folds, is one group.
    """
    if (groups == "").all() and len(np.unique(ids)) == len(ids):
        return None
    return np.where(groups == "", np.char.add("\n", ids), groups)


class NpzArrays(Mapping[str, npt.NDArray[Any]]):
    """The arrays of an ``.npz`` file by name, read-only.

    Args:
        content: The whole file, known to be undamaged: the checksums inside it are not looked at.

    Raises:
        ValueError: It is no archive, or one that uses what bench never writes (encryption, more than 4 GiB).
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._members = dict(_members(content))

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        method, size, header = self._members[name]
        start = header + 30 + sum(_LOCAL_HEADER.unpack_from(self._content, header))
        return _array(_METHODS[method](self._content[start : start + size]))

    def __contains__(self, name: object) -> bool:
        return name in self._members

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)


def _members(content: bytes) -> Iterator[tuple[str, tuple[int, int, int]]]:
    """Of each array: its name, and ``(method, packed bytes, offset of its header)``."""
    end = max(len(content) - _DIRECTORY_END.size, 0)
    if content[end : end + 4] != b"PK\x05\x06":
        raise ValueError("no zip archive, or one with a comment")
    *_, count, _, place, _ = _DIRECTORY_END.unpack_from(content, end)
    for _ in range(count):
        fields = _DIRECTORY_ENTRY.unpack_from(content, place)
        signature, _, _, flags, method, _, _, _, size, _, name, extra, comment, _, _, _, header = fields
        if signature != b"PK\x01\x02" or flags & 1 or method not in _METHODS or 0xFFFFFFFF in (size, header):
            raise ValueError("a zip archive with members that bench does not write")
        place += _DIRECTORY_ENTRY.size
        yield content[place : place + name].decode().removesuffix(".npy"), (method, size, header)
        place += name + extra + comment


def _array(content: bytes) -> npt.NDArray[Any]:
    """An array in ``.npy`` format; rare layouts are left to numpy."""
    if content[6:8] != b"\x01\x00":
        return _numpy_array(content)
    start = 10 + int.from_bytes(content[8:10], "little")
    kind, ordered, shape = _header(content[10:start])
    if not ordered or kind.hasobject:
        return _numpy_array(content)
    return np.frombuffer(content, dtype=kind, offset=start).reshape(shape)


def _numpy_array(content: bytes) -> npt.NDArray[Any]:
    return np.asarray(np.lib.format.read_array(io.BytesIO(content), allow_pickle=False))


@functools.lru_cache(maxsize=512)
def _header(text: bytes) -> tuple[np.dtype[Any], bool, tuple[int, ...]]:
    values = ast.literal_eval(text.decode("latin1"))
    return np.dtype(values["descr"]), not values["fortran_order"], tuple(values["shape"])
