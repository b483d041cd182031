"""Batches straight from arrays: one gather per input and batch, no work per clip."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bench.data.decode import FULL_SCALE
from bench.errors import DataError

if TYPE_CHECKING:
    import torch

Rows = npt.NDArray[np.int64]
Source = npt.NDArray[Any] | Callable[[Rows], Any]

_SEED_STRIDE = 100_003


@dataclass(frozen=True, slots=True)
class Batch:
    """Clips that go through a model together.

    Attributes:
        inputs: Tensors by modality, first dimension ``batch``.
        targets: ``(batch,)`` int64 class indices or ``(batch, classes)`` float32 indicators.
        index: ``(batch,)`` int64: rows of the data set.
    """

    inputs: dict[str, torch.Tensor]
    targets: torch.Tensor
    index: Rows

    def __len__(self) -> int:
        return len(self.index)

    def on(self, device: str) -> Batch:
        """The same batch on a device."""
        inputs = {name: x.to(device) for name, x in self.inputs.items()}
        return replace(self, inputs=inputs, targets=self.targets.to(device))

    def part(self, rows: slice, names: Collection[str]) -> Batch:
        """Some clips with the inputs ``names``: views of this batch."""
        inputs = {name: self.inputs[name][rows] for name in names}
        return replace(self, inputs=inputs, targets=self.targets[rows], index=self.index[rows])

    def copy(self) -> Batch:
        """The same batch with inputs of its own."""
        return replace(self, inputs={name: x.clone() for name, x in self.inputs.items()})


@dataclass(frozen=True)
class Batches:
    """Epochs over chosen rows of some arrays.

    Attributes:
        inputs: Per modality an array whose first dimension is all clips of the data set (a memory map will do), or
            a callable ``indices (batch,) -> array or tensor (batch, ...)``. int16 becomes float32 / 32768 in [-1, 1),
            uint8 float32 / 255 in [0, 1], float16 and float64 float32; int64 and bool stay.
        targets: ``(clips,)`` int64 or ``(clips, classes)`` float32 for all clips of the data set.
        indices: Rows to go through.
        batch_size: Clips per batch; the last one may be smaller.
        seed: Shuffles each epoch in an order fixed by ``(seed, epoch)``; ``None`` keeps the order of ``indices``.
            Shuffled batches are for training: a clip that would be left alone joins the batch before it, since batch
            normalisation cannot learn from one.
        drop_last: Leave out a last batch that is smaller.
    """

    inputs: Mapping[str, Source]
    targets: npt.NDArray[Any]
    indices: Rows
    batch_size: int
    seed: int | None = field(default=None, kw_only=True)
    drop_last: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        indices = np.ascontiguousarray(self.indices, dtype=np.int64)
        object.__setattr__(self, "indices", indices)
        if self.batch_size < 1:
            raise DataError(f"batch_size is {self.batch_size}; it must be at least 1")
        if not self.inputs:
            raise DataError("no inputs: give at least one modality")
        clips = len(self.targets)
        if indices.ndim != 1 or (indices.size and not 0 <= indices.min() <= indices.max() < clips):
            raise DataError(f"indices must be rows 0 to {clips - 1}")
        for name, source in self.inputs.items():
            if not callable(source) and len(source) != clips:
                raise DataError(f"input {name!r} has {len(source)} rows but there are {clips} targets")

    def __len__(self) -> int:
        whole, rest = divmod(len(self.indices), self.batch_size)
        joined = rest == 1 and whole > 0 and self.seed is not None
        return whole + (rest > 0 and not self.drop_last and not joined)

    def order(self, number: int) -> Rows:
        """The rows in the order of epoch ``number``."""
        if self.seed is None:
            return self.indices
        import torch

        generator = torch.Generator().manual_seed(self.seed * _SEED_STRIDE + number)
        permutation: Rows = torch.randperm(len(self.indices), generator=generator).numpy()
        return self.indices[permutation]

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of epoch ``number``; the same number gives the same batches."""
        order = self.order(number)
        starts = range(0, len(self) * self.batch_size, self.batch_size)
        for start in starts:
            left = len(order) - start - self.batch_size
            joined = left == 1 and start == starts[-1] and not self.drop_last
            yield self.take(order[start : start + self.batch_size + joined])

    def take(self, index: Rows) -> Batch:
        """One batch of the rows ``index (batch,)``."""
        inputs = {name: to_tensor(rows_of(source, index)) for name, source in self.inputs.items()}
        return Batch(inputs, to_tensor(self.targets[index]), index)


def to_tensor(rows: npt.NDArray[Any] | torch.Tensor) -> torch.Tensor:
    """A fresh array or tensor as the tensor that models take; see :class:`Batches` for the conversions.

    >>> to_tensor(np.array([-32768, 16384], dtype=np.int16)).tolist()
    [-1.0, 0.5]
    """
    import torch  # an estimator's cell does without

    if not isinstance(rows, torch.Tensor):
        rows = np.asarray(rows)
        rows = torch.from_numpy(rows if rows.flags.writeable else rows.copy())
    scale = {torch.int16: 1.0 / FULL_SCALE, torch.uint8: 1.0 / 255.0}.get(rows.dtype)
    if scale is not None:
        return rows.to(torch.float32).mul_(scale)
    return rows.to(torch.float32) if rows.is_floating_point() else rows


def to_floats(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """What :func:`to_tensor` gives, bit for bit, for those who want an array."""
    if rows.dtype in (np.int16, np.uint8):
        scaled: npt.NDArray[np.float32] = rows.astype(np.float32)
        scaled *= np.float32(1.0 / FULL_SCALE if rows.dtype == np.int16 else 1.0 / 255.0)
        return scaled
    return rows.astype(np.float32, copy=False) if rows.dtype.kind == "f" else rows


def rows_of(source: Source, index: Rows) -> Any:
    """The rows ``index (batch,)`` of one input: an array, or a tensor where the source keeps one."""
    return source(index) if callable(source) else source[index]


def resident(source: Source, device: str) -> Source:
    """The same rows, kept on a device, so that a batch needs no copy from the host; a callable stays as it is."""
    if callable(source):
        return source
    import torch

    kept = torch.from_numpy(np.array(source)).to(device)
    return lambda index: kept[torch.from_numpy(index).to(device, non_blocking=True)]
