"""Stored predictions, read fast: an array is parsed when it is asked for, each kind of header once.

``numpy.load`` parses the header text of every array of every file, which is most of its time on small arrays; the
headers of a run repeat, so they are remembered here.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import io
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.errors import StoreError
from bench.results.records import Record
from bench.results.store import Store


Arrays = Mapping[str, npt.NDArray[Any]]
Predictions = Callable[[Record], Arrays]
"""Gives the arrays stored beside a record."""


def board_predictions(store: Store) -> Predictions:
    """``store.predictions`` whose arrays are parsed on demand; the checksum is verified all the same."""
    return functools.partial(_read, store)


def _read(store: Store, record: Record) -> Mapping[str, npt.NDArray[Any]]:
    entry = record.artifacts.get("predictions")
    if entry is None:
        raise StoreError(f"{record.cell.id}: the record names no predictions")
    path = store.path(record.cell).with_name(str(entry["file"]))
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StoreError(f"{record.cell.id}: predictions {path.name} cannot be read: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise StoreError(f"{record.cell.id}: predictions {path.name} were changed after the record was written")
    return _Lazy(content)


class _Lazy(Mapping[str, npt.NDArray[Any]]):
    """The arrays of an ``.npz`` file by name."""

    def __init__(self, content: bytes) -> None:
        self._archive = zipfile.ZipFile(io.BytesIO(content))
        self._names = [name.removesuffix(".npy") for name in self._archive.namelist()]

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        return _array(self._archive.read(f"{name}.npy"))

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


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
