"""One cell on several devices: processes (ranks) that run the same cell, each with its part of every batch.

All read, augment and mix the same whole batches from the same seeds; each puts its own clips through the network,
and gradients are averaged by the number of clips. What the network draws for clips is drawn for the whole batch, batch
normalisation takes statistics of the whole batch. So all come to the weights that one process comes to, up to the order
of sums. To predict, each takes whole batches of its own.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from torch.utils._python_dispatch import TorchDispatchMode

from bench.data.batches import Batches
from bench.errors import PluginError
from bench.execution.autocast import autocast
from bench.execution.graphs import Tensors, is_cuda
from bench.execution.pipeline import Pipeline
from bench.execution.results import Predictions
from bench.execution.step import Inference, StepSettings, TrainStep, predict
from bench.execution.trust import module_state

_PER_CLIP = ("bernoulli_", "uniform_", "normal_", "rand_like", "randn_like", "rand", "randn", "native_dropout")


def join(rank: int, count: int, store: int, device: str) -> None:
    """Become one of ``count`` ranks, which meet in the file ``store``, a descriptor; each has a GPU as its ``cuda``."""
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # a machine's own name need not lead back to it
    if is_cuda(device):
        torch.cuda.set_device(rank)
    meeting: Any = dist.FileStore(f"/proc/self/fd/{store}", count)  # type: ignore[attr-defined]
    backend = "cpu:gloo,cuda:nccl" if is_cuda(device) else "gloo"
    longest = timedelta(days=1)  # the cell has a limit of its own
    dist.init_process_group(backend, store=meeting, rank=rank, world_size=count, timeout=longest)


@dataclass(slots=True)
class Ranks:
    """This process among those of its cell; by itself one of one. ``draws`` names what was not drawn for each clip."""

    rank: int = 0
    count: int = 1
    draws: set[str] = field(default_factory=set)

    @classmethod
    def joined(cls) -> Ranks:
        """As :func:`join` has said."""
        return cls(dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else cls()

    def part(self, clips: int) -> slice:
        """The clips of a batch that are this rank's; all of them where there are too few for all ranks."""
        first, last = clips * self.rank // self.count, clips * (self.rank + 1) // self.count
        return slice(first, last) if clips >= self.count else slice(0, clips)

    def gathered(self, value: Any) -> list[Any]:
        """What each rank gives, in their order."""
        found: list[Any] = [None] * self.count
        dist.all_gather_object(found, value)
        return found

    def trained(self, pipeline: Pipeline) -> dict[str, Any]:
        """For the record: how many took part.

        Raises:
            PluginError: Their networks have come apart.
        """
        first, *others = self.gathered(module_state(pipeline))
        if apart := [name for name, value in first.items() if any(one[name] != value for one in others)]:
            raise PluginError(
                f"{', '.join(apart[:4])} ({len(apart)} of {len(first)} tensors) differ between processes: the network "
                f"keeps what each saw of its own clips, other than batch statistics; leave out --nproc {self.count}"
            )
        draws = f"other than for each clip: {', '.join(sorted(self.draws))}" if self.draws else "for the whole batch"
        return {"count": self.count, "backend": dist.get_backend(), "draws": draws}

    def finish(self) -> None:
        """Go on as the only one; the others have done their part and wait for their end."""
        if self.rank:
            threading.Event().wait()
        self.count = 1


def predict_all(infer: Inference, batches: Batches, ranks: Ranks) -> Predictions:
    """What :func:`bench.execution.step.predict` gives, each batch predicted by one rank and told to all."""
    if ranks.count == 1:
        return predict(infer, batches)
    rows = np.arange(len(batches.indices))
    own = rows[rows // batches.batch_size % ranks.count == ranks.rank]
    found = predict(infer, replace(batches, indices=batches.indices[own])) if len(own) else None
    parts = [one for one in ranks.gathered(found) if one is not None]
    place = np.concatenate([rows[rows // batches.batch_size % ranks.count == rank] for rank in range(len(parts))])
    logits = np.concatenate([one.logits for one in parts])[np.argsort(place)]
    return Predictions(logits=logits, index=batches.indices, seconds=max(one.seconds for one in parts))


class _Summed(torch.autograd.Function):
    """The sum over all ranks; the gradient of every rank's loss reaches every summand."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004  torch's own signature
        return _summed(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:  # noqa: ARG004
        return _summed(grads[0])


def _summed(x: Tensor) -> Tensor:
    total = x.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total


_NAMES = inspect.signature(DistributedDataParallel).parameters
_APART: dict[str, Any] = {"forward_sync_buffers" if "forward_sync_buffers" in _NAMES else "broadcast_buffers": False}
"""No forward pass copies the first rank's buffers, as torch spells it since 2.14 and before."""


class DividedStep(TrainStep):
    """The step of one rank: gradients, loss and statistics are those of the whole batch."""

    def __init__(self, pipeline: Pipeline, settings: StepSettings, steps_per_epoch: int, ranks: Ranks) -> None:
        super().__init__(pipeline, settings, steps_per_epoch)
        self.ranks = ranks
        self._network = DistributedDataParallel(pipeline, find_unused_parameters=True, **_APART)

    def objective(self, inputs: Tensors) -> Tensor:
        """The share of a rank in the loss of the batch; their mean over ranks is the loss."""
        inputs, targets = self.prepared(inputs)
        clips, count, part = len(targets), self.ranks.count, self.ranks.part(len(targets))
        divided = _Whole(part, clips, self.ranks.draws) if clips >= count else contextlib.nullcontext()
        with divided, autocast(self.settings.device, self.settings.precision):
            logits = self._network({name: x[part] for name, x in inputs.items()}, prepared=True)
        loss = self.criterion(logits, targets[part])
        return loss.mul((part.stop - part.start) * count / clips) if clips >= count else loss

    def _learned(self, inputs: Tensors) -> Tensor:
        loss = super()._learned(inputs)
        dist.all_reduce(loss)
        return loss / self.ranks.count


def _batch_norm(  # noqa: PLR0913  as torch has them
    own: Callable[..., Tensor], x: Tensor, running_mean: Tensor | None, running_var: Tensor | None,
    weight: Tensor | None = None, bias: Tensor | None = None, training: bool = False,  # noqa: FBT001, FBT002
    momentum: float = 0.1, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """``torch.nn.functional.batch_norm`` over all ranks; torch's own SyncBatchNorm is for GPUs only."""
    if not training:
        return own(x, running_mean, running_var, weight, bias, training, momentum, eps)
    wide, dims, shape = x.float(), (0, *range(2, x.ndim)), (1, -1, *[1] * (x.ndim - 2))
    everyone: Callable[[Tensor], Tensor] = _Summed.apply
    sums = everyone(torch.cat([wide.sum(dims), wide.new_tensor([x.numel() // x.shape[1]])]))
    mean, count = sums[:-1] / sums[-1], sums[-1].detach()
    centred = wide - mean.reshape(shape)
    variance = everyone(centred.square().sum(dims)) / count
    for kept, new in ((running_mean, mean), (running_var, variance * count / (count - 1))):
        if kept is not None:
            kept.lerp_(new.detach().to(kept), momentum)
    y = centred * (variance + eps).rsqrt().reshape(shape)
    y = y if weight is None else y * weight.reshape(shape)
    return (y if bias is None else y + bias.reshape(shape)).to(x.dtype)


class _Whole(TorchDispatchMode):
    """A forward pass of some clips of a batch that normalises and draws as one of all of them.

    Random numbers whose first dimension counts clips are drawn for the whole batch, on every rank alike, so that
    generators stand where that of one process does. Others are drawn as asked for, and named in ``seen``.
    """

    def __init__(self, part: slice, clips: int, seen: set[str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.part, self.clips, self.seen, self.own = part, clips, seen, F.batch_norm

    def __enter__(self) -> Any:
        F.batch_norm = functools.partial(_batch_norm, self.own)
        return super().__enter__()  # type: ignore[no-untyped-call]

    def __exit__(self, *raised: object) -> None:
        F.batch_norm = self.own
        super().__exit__(*raised)  # type: ignore[no-untyped-call]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Any operator; those that draw are ours."""
        kwargs, name = kwargs or {}, func.overloadpacket.__name__
        if torch.Tag.nondeterministic_seeded not in func.tags or drops_nothing(func, args, kwargs):
            return func(*args, **kwargs)
        given, own = args[0], self.part.stop - self.part.start
        shape = tuple(given.shape if isinstance(given, Tensor) else given)
        if name not in _PER_CLIP or not shape or shape[0] % own or any(isinstance(x, Tensor) for x in args[1:]):
            self.seen.add(str(func))
            return func(*args, **kwargs)
        each = shape[0] // own
        whole, rows = (each * self.clips, *shape[1:]), slice(each * self.part.start, each * self.part.stop)
        if name in ("rand", "randn"):
            return func(whole, *args[1:], **kwargs)[rows]
        order = sorted(range(len(shape)), key=lambda axis: -given.stride(axis))  # numbers are drawn as they are stored
        blank = given.new_empty([whole[axis] for axis in order]).permute([order.index(i) for i in range(len(order))])
        if name == "native_dropout":  # of GPUs
            kept = blank.bernoulli_(1 - args[1])[rows]
            return given * kept / (1 - args[1]), kept.bool()
        drawn = func(blank, *args[1:], **kwargs)[rows]
        return given.copy_(drawn) if name.endswith("_") else drawn


def drops_nothing(func: Any, args: Any, kwargs: Any) -> bool:
    """Whether it is an operator with dropout that is off."""
    names = [argument.name for argument in func._schema.arguments]
    given = dict(zip(names, args, strict=False)) | kwargs
    return given.get("train") is False or ("dropout_p" in names and not given.get("dropout_p"))
