"""Arrays stored beside a record, read fast: each is unpacked when it is asked for, each kind of header parsed once.

``numpy.load`` parses the header text of every array of every file and ``zipfile`` reads every directory twice, which
together is most of their time on small arrays.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.errors import StoreError
from bench.results.records import Record

Arrays = Mapping[str, npt.NDArray[Any]]
Predictions = Callable[[Record], Arrays]
"""Gives the arrays stored beside a record."""

_DIRECTORY_END = struct.Struct("<4s4H2LH")
_DIRECTORY_ENTRY = struct.Struct("<4s4x2H8x2L3H8xL")
_LOCAL_HEADER = struct.Struct("<26x2H")
_METHODS: Mapping[int, Callable[[bytes, int], bytes]] = {
    zipfile.ZIP_STORED: lambda packed, _: packed,
    zipfile.ZIP_DEFLATED: lambda packed, size: zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, size),
}
"""By method of packing: packed bytes and the most that may come of them -> bytes."""
NEEDED = ("ids", "targets", "logits")
"""What the predictions of a scored cell hold."""
_SHARED, _SMALL = frozenset({"ids", "groups", "targets"}), 1 << 16
"""What the cells of one test split have in common, and in how few packed bytes it is kept for the next of them."""
_SERIES = ("curve_", "pretrain_")
"""How names of arrays begin that hold a number for each epoch or step."""
_DAMAGE = (
    struct.error, zlib.error, SyntaxError, TypeError, ValueError, LookupError, AttributeError, MemoryError,
    RecursionError, ArithmeticError,
)  # fmt: skip


def clip_groups(ids: npt.NDArray[Any], groups: npt.NDArray[Any]) -> npt.NDArray[Any] | None:
    """The group of each clip: one without a name (``""``) is its own; ``None`` where clips are independent.

    A clip that stands there twice, tested in two folds, is one group.
    """
    if (groups == "").all() and len(np.unique(ids)) == len(ids):
        return None
    return np.where(groups == "", np.char.add("\n", ids), groups)


class NpzArrays(Mapping[str, npt.NDArray[Any]]):
    """The arrays of an ``.npz`` file by name, read-only; each is unpacked once, when it is asked for.

    Args:
        content: The whole file, known to be undamaged: the checksums inside it are not looked at.
        origin: What it is called in messages.
        scored: Whether it is of a scored cell, whose clips, targets and logits must belong together.

    Raises:
        StoreError: It is no archive, or one that uses what bench never writes (encryption, more than 4 GiB); asking for
            an array that is damaged raises it too.
    """

    def __init__(self, content: bytes, origin: str = "predictions", *, scored: bool = False) -> None:
        self._content, self._origin = content, origin
        self._unpacked: dict[str, npt.NDArray[Any]] = {}
        try:
            self._members = dict(_members(content))
            if scored:
                groups = self._unpack("groups") if "groups" in self._members else None
                ids, targets, logits = map(self._unpack, NEEDED)
                _check_together(ids, targets, logits, groups)
        except _DAMAGE as error:
            raise self._damaged(error) from error

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        if name not in self._unpacked:
            if name not in self._members:
                raise KeyError(name)
            try:
                return self._unpack(name)
            except _DAMAGE as error:
                raise self._damaged(error) from error
        return self._unpacked[name]

    def _unpack(self, name: str) -> npt.NDArray[Any]:
        method, packed, size, header = self._members[name]
        named, extra = _LOCAL_HEADER.unpack_from(self._content, header)
        start = header + 30 + named + extra
        unpack = _shared_array if name in _SHARED and packed < _SMALL else _packed_array
        found = self._unpacked[name] = unpack(name, method, self._content[start : start + packed], size)
        if name.startswith(_SERIES) and (found.ndim != 1 or found.dtype.kind not in "iuf"):
            raise ValueError(f"{name} is no series of numbers")
        return found

    def _damaged(self, error: BaseException) -> StoreError:
        return StoreError(f"{self._origin} cannot be read: {type(error).__name__}: {error}")

    def __contains__(self, name: object) -> bool:
        return name in self._members

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)


def _check_together(
    ids: npt.NDArray[Any], targets: npt.NDArray[Any], logits: npt.NDArray[Any], groups: npt.NDArray[Any] | None
) -> None:
    """Raise ``ValueError`` unless there is one name, target (or row of them), row of logits and group a clip."""
    single = targets.ndim == 1
    kinds = (ids.dtype.kind, targets.dtype.kind in ("iu" if single else "iuf"), logits.dtype.kind)
    known = ids.ndim == 1 and logits.ndim == 2 and kinds == ("U", True, "f") and len(ids) > 0
    known = known and (groups is None or (groups.shape == ids.shape and groups.dtype.kind == "U"))
    shaped = known and len(ids) == len(logits) and targets.shape == (ids.shape if single else logits.shape)
    if not shaped or (single and targets.astype(np.int64).view(np.uint64).max() >= logits.shape[1]):  # or below 0
        raise ValueError(f"ids {ids.shape}, targets {targets.shape} and logits {logits.shape} do not belong together")


def _members(content: bytes) -> Iterator[tuple[str, tuple[int, int, int, int]]]:
    """Of each array: its name, and ``(method, packed bytes, bytes, offset of its header)``."""
    end = max(len(content) - _DIRECTORY_END.size, 0)
    if content[end : end + 4] != b"PK\x05\x06":
        raise ValueError("no zip archive, or one with a comment")
    *_, count, _, place, _ = _DIRECTORY_END.unpack_from(content, end)
    for _ in range(count):
        fields = _DIRECTORY_ENTRY.unpack_from(content, place)
        signature, flags, method, packed, size, name, extra, comment, header = fields
        beyond = 0xFFFFFFFF in (packed, size, header)
        if signature != b"PK\x01\x02" or flags & 1 or method not in _METHODS or beyond:
            raise ValueError("a zip archive with members that bench does not write")
        place += _DIRECTORY_ENTRY.size
        yield content[place : place + name].decode().removesuffix(".npy"), (method, packed, size, header)
        place += name + extra + comment


def _packed_array(name: str, method: int, packed: bytes, size: int) -> npt.NDArray[Any]:
    """The array in a member of an archive that becomes ``size`` bytes."""
    content = _METHODS[method](packed, size)
    if len(content) != size:
        raise ValueError(f"{name} is cut short")
    found = _array(content)
    if found.dtype.kind == "U" and found.size:
        codes = np.frombuffer(found.tobytes(), f"{found.dtype.str[0]}u4")
        if codes.max() > 0x10FFFF or ((codes >> 11) == 0x1B).any():  # surrogates
            raise ValueError(f"{name} holds characters that do not exist")
    return found


_shared_array = functools.lru_cache(maxsize=32)(_packed_array)


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
    if b"\\" in text:
        raise ValueError("an escape in the header of an array, which numpy writes none of")
    values = ast.literal_eval(text.decode("latin1"))
    return np.dtype(values["descr"]), not values["fortran_order"], tuple(values["shape"])
