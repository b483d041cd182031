"""What is checked of a fitted model while it predicts: nothing of it moves, and batch mates are not felt."""

from __future__ import annotations

import pickle
import zlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bench.errors import some
from bench.execution.results import StateChangedError
from bench.statistics.results import Refusal

if TYPE_CHECKING:
    from torch import nn

    from bench.cell import Cell

Indices = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

COMPARED = 32
"""Test clips whose batch mates are changed."""
FELT, FELT_COARSE = 0.01, 0.1
"""Change of an output, as a fraction of the outputs' standard deviation, above which batch mates are felt.

Another batch size is another order of sums: about 1e-6 in float32 on a CPU; in bfloat16 and in the TensorFloat-32 of
GPUs, which keep 8 and 11 bits, a few hundredths (the coarse bound).
"""
_FLOOR = 0.01
"""Of the largest output: a deviation below this counts as this, since what a network that gives all clips the same
varies by is rounding."""
_ABSENT = -999.0
"""Outputs below are those of classes that no training clip had."""
_LARGEST = 64_000_000
"""Pickled bytes above which the state of an estimator is not looked at."""


def is_coarse(cell: Cell) -> bool:
    """Whether the outputs of a cell are computed with few bits."""
    return cell.precision != "fp32" or cell.device != "cpu"


def batch_mates(
    respond: Callable[[Indices], Floats], test: Indices, known: Floats | None = None, *, coarse: bool = False
) -> dict[str, Any]:
    """For the record: how far other batch mates move the outputs of up to 32 test clips.

    Args:
        respond: Outputs ``(clips, ...)`` of the clips of an index, in batches of its order.
        test: The test clips.
        known: What ``respond`` gave for all of them; ``None`` = not asked yet.
        coarse: Whether outputs are computed with few bits.

    Returns:
        ``moved`` in standard deviations of the outputs, the ``tolerance`` that it may reach, the number of ``clips``,
        and whether it makes the model ``transductive``; ``None`` with its ``reason`` for a single test clip.
    """
    rows = np.unique(np.linspace(0, len(test) - 1, min(COMPARED, len(test))).astype(np.int64))
    tolerance = FELT_COARSE if coarse else FELT
    if len(rows) < 2:
        reason = "there is one test clip, which has no batch mates"
        return {"moved": None, "tolerance": tolerance, "clips": len(rows), "transductive": None, "reason": reason}
    before = respond(test[rows]) if known is None else known[rows]
    after = np.empty_like(before)
    for half in (slice(0, None, 2), slice(1, None, 2)):
        after[half] = respond(test[rows[half]])
    there = before > _ABSENT
    scale = max(float(before[there].std()), _FLOOR * float(np.abs(before[there]).max()), 1e-12)
    moved = float(np.abs(before - after)[there].max()) / scale
    return {"moved": moved, "tolerance": tolerance, "clips": len(rows), "transductive": moved > tolerance}


def worse(*found: Mapping[str, Any]) -> Mapping[str, Any]:
    """Of what :func:`batch_mates` found the worst: what feels its mates, then what is unknown, then what moves most."""
    return max(found, key=lambda one: (one["transductive"] is True, one["moved"] is None, one["moved"] or 0.0))


def module_state(module: nn.Module) -> dict[str, int]:
    """A checksum of each parameter and buffer by name."""
    import torch

    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    return {
        name: zlib.crc32(x.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        for name, x in tensors.items()
        if x.layout is torch.strided and not torch.nn.parameter.is_lazy(x)
    }


def checksum(module: nn.Module) -> str:
    """One for all parameters and buffers."""
    return f"{zlib.crc32(repr(sorted(module_state(module).items())).encode()):08x}"


def estimator_state(estimator: Any) -> dict[str, int] | Refusal:
    """A checksum of a pickled estimator, or why there is none: it is large, or cannot be pickled."""
    total = _Checksum()
    try:
        pickle.Pickler(total, pickle.HIGHEST_PROTOCOL).dump(estimator)
    except _TooLargeError:
        return Refusal(reason=f"pickled, it takes more than {_LARGEST / 1e6:.0f} MB")
    except Exception as error:  # noqa: BLE001  whatever its parts raise: it is not looked at
        return Refusal(reason=f"it cannot be pickled ({type(error).__name__}: {' '.join(str(error).split())[:100]})")
    return {type(estimator).__name__: total.value}


def check_unchanged(before: Mapping[str, int] | Refusal, after: Mapping[str, int] | Refusal) -> dict[str, Any]:
    """Refuse a model that predicting has changed.

    Returns:
        For the record: ``changes`` by predicting, ``False`` or ``None`` with its ``reason``.

    Raises:
        StateChangedError: Naming what moved.
    """
    if isinstance(before, Refusal):
        return {"changes": None, "reason": before.reason}
    if isinstance(after, Refusal):
        return {"changes": None, "reason": after.reason}
    moved = [name for name, value in before.items() if name in after and after[name] != value]
    if moved:
        raise StateChangedError(
            f"predicting changed the model itself ({some(moved, 4)} of {len(before)}), so that a score "
            "would depend on what was scored before; leave weights, buffers and fitted attributes alone in eval() and "
            "predict, e.g. call no .train() in forward"
        )
    return {"changes": False}


class _TooLargeError(Exception):
    """More bytes than are looked at."""


class _Checksum:
    """A file that keeps a checksum of what is written."""

    def __init__(self) -> None:
        self.value, self._size = 0, 0

    def write(self, content: Any) -> int:
        """Add to the checksum."""
        size = memoryview(content).nbytes
        self.value, self._size = zlib.crc32(content, self.value), self._size + size
        if self._size > _LARGEST:
            raise _TooLargeError
        return size
