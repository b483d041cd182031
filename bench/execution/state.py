"""What factories give has no past: nothing was handed out before in this process, and the seed decides the start."""

from __future__ import annotations

import atexit
import functools
import pickle
import random
import sys
import types
import weakref
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from bench.execution.results import SharedStateError
from bench.execution.trust import module_state

_PLAIN = (str, bytes, int, float, complex, type(None), type, types.ModuleType, types.FunctionType, types.MethodType)


class HandedOut:
    """Models, tensors, arrays and estimators that factories gave, remembered without being kept alive."""

    def __init__(self) -> None:
        self._objects: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
        self._storages: set[Any] = set()

    def refuse(self, factory: str, given: Any) -> None:
        """Remember all of ``given``.

        Raises:
            SharedStateError: Some of it was handed out before, so that whatever was trained then would count now.
        """
        self._storages = {storage for storage in self._storages if not storage.expired()}
        parts = dict(parts_of(given))
        storages = {path: found for path, part in parts.items() if (found := _storage(part)) is not None}
        shared = [
            path for path, part in parts.items()
            if self._objects.get(id(part)) is part or storages.get(path) in self._storages
        ]  # fmt: skip
        if shared:
            raise SharedStateError(
                f"{factory} handed out for a second time: {', '.join(shared[:4])}{', ...' if len(shared) > 4 else ''}; "
                "what was trained before would be the start of the next cell. Build everything anew in each call (no "
                "functools.cache, no model at module level), or give a deep copy of what is kept"
            )
        self._storages |= set(storages.values())
        for part in parts.values():
            if hasattr(type(part), "__weakref__") or isinstance(part, np.ndarray):
                self._objects[id(part)] = part


@functools.cache
def handed_out() -> HandedOut:
    """The memory of this process."""
    atexit.register(handed_out.cache_clear)  # while torch is still there, whose storages are referred to
    return HandedOut()


def parts_of(given: Any) -> Iterator[tuple[str, Any]]:
    """The model itself and each tensor, writable array and estimator that its attributes lead to, with its path."""
    torch = sys.modules.get("torch")
    yield "the model itself", given
    waiting, seen = [("", given)], set()
    while waiting:
        path, part = waiting.pop()
        if id(part) in seen or isinstance(part, _PLAIN):
            continue
        seen.add(id(part))
        if torch is not None and isinstance(part, torch.Tensor):
            yield path, part
            continue
        if isinstance(part, np.ndarray):
            while isinstance(part.base, np.ndarray):
                part = part.base
            if part.flags.writeable:
                yield path, part
            continue
        if path and hasattr(type(part), "fit"):
            yield path, part
        waiting += [(f"{path}.{name}".strip("."), child) for name, child in _children(part)]


def _children(part: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(part, Mapping):
        yield from ((str(name), child) for name, child in part.items())
    elif isinstance(part, list | tuple | set | frozenset):
        yield from ((str(number), child) for number, child in enumerate(part))
    for name, child in getattr(part, "__dict__", {}).items():
        if name in ("_parameters", "_buffers", "_modules"):  # of a torch module
            yield from child.items()
        else:
            yield name, child


def _storage(part: Any) -> Any:
    """A weak reference to the memory of a tensor; ``None`` for anything else, and for a layer without a shape yet."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(part, torch.Tensor) or torch.nn.parameter.is_lazy(part):
        return None
    if part.layout != torch.strided:
        return None
    from torch.multiprocessing.reductions import StorageWeakRef

    return StorageWeakRef(part.untyped_storage())  # type: ignore[no-untyped-call]


def start_of(model: Any) -> dict[str, str]:
    """Checksums of what a seed decides: the tensors of a network just built, and where the generators stand.

    A seed whose ``tensors`` are those of another one, or whose generator stands where that of another one does, gives
    the same start: the factory seeds by itself, or draws nothing.
    """
    torch = sys.modules.get("torch")
    parts: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": np.random.get_state(),  # noqa: NPY002  plugins may draw from the legacy generator
    }
    if torch is not None:
        parts["torch"] = torch.get_rng_state().numpy().tobytes()
        if isinstance(model, torch.nn.Module) and (tensors := module_state(model)):
            parts["tensors"] = sorted(tensors.items())
    return {name: f"{zlib.crc32(pickle.dumps(part)):08x}" for name, part in parts.items()}
