"""Random numbers of several networks trained as one: each draws what it would draw alone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from bench.execution.graphs import is_cuda
from bench.execution.ranks import drops_nothing
from bench.measurement.dispatch import Dispatch

Drawn = Sequence[tuple[str, tuple[int, ...]]]
"""Each operator that draws in a step, and the dimensions of its output from the outermost in memory inwards."""


class StackError(Exception):
    """These networks cannot be trained as one, or need not be; says why."""


class Streams:
    """Where torch's generators stand for each member."""

    def __init__(self, seeds: Sequence[int], device: str) -> None:
        self.device = device if is_cuda(device) else None
        self._states = [self._now(torch.manual_seed(seed)) for seed in seeds]

    @contextlib.contextmanager
    def of(self, member: int) -> Iterator[None]:
        """What is drawn meanwhile is drawn for a member."""
        host, *others = self._states[member]
        torch.set_rng_state(host)
        for state in others:
            torch.cuda.set_rng_state(state, self.device or 0)
        yield
        self._states[member] = self._now()

    def _now(self, _seeded: object = None) -> list[Tensor]:
        return [torch.get_rng_state(), *([torch.cuda.get_rng_state(self.device)] if self.device else [])]


class Draws(Dispatch):
    """Random numbers of all members, drawn member by member from the stream of each.

    Numbers are drawn in the order in which a tensor lies in memory, and by an operator, that are others in a stack:
    ``alone`` says which they were alone. Without streams nothing is changed, and these are taken down as ``seen``.
    """

    def __init__(self, alone: Drawn = (), streams: Streams | None = None, count: int = 1) -> None:
        super().__init__()
        self.streams, self.count, self.alone, self.seen = streams, count, alone, list[tuple[str, tuple[int, ...]]]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Any operator on the tensors of all members; those that draw are ours."""
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded not in func.tags or drops_nothing(func, args, kwargs):
            return func(*args, **kwargs)
        given, number = args[0], len(self.seen)
        if self.streams is None:
            output = func(*args, **kwargs)
            strides = (output[0] if isinstance(output, tuple) else output).stride()
            order = tuple(sorted(range(len(strides)), key=lambda axis: -strides[axis]))
            self.seen.append((func.overloadpacket.__name__, order))
            return output
        shape = given.shape if isinstance(given, Tensor) else given if isinstance(given, Sequence) else ()
        name, order = self.alone[number] if number < len(self.alone) else ("", ())
        self.seen.append((name, order))
        apart = len(shape) == 1 + len(order) and shape[0] == self.count
        if not apart or any(isinstance(x, Tensor) for x in args[1:]):
            raise StackError(f"{func} draws otherwise than for each clip")
        rows = []
        for member in range(self.count):
            with self.streams.of(member):
                if not isinstance(given, Tensor):
                    rows.append(func(given[1:], *args[1:], **kwargs))
                    continue
                laid = given.new_empty([shape[1 + axis] for axis in order])
                laid = laid.permute([order.index(axis) for axis in range(len(order))]).copy_(given[member])
                rows.append(_drawn(name, func, laid, *args[1:], **kwargs))
        if func.overloadpacket.__name__.endswith("_"):
            return given.copy_(torch.stack(rows))
        return tuple(map(torch.stack, zip(*rows, strict=True))) if isinstance(rows[0], tuple) else torch.stack(rows)


def _drawn(alone: str, func: Any, given: Tensor, *args: Any, **kwargs: Any) -> Any:
    """What an operator draws; dropout, which torch takes apart in a stack, by what it is alone."""
    if func is not torch.ops.aten.bernoulli.p:
        return func(given, *args, **kwargs)
    if alone == "native_dropout":  # of GPUs
        return torch.native_dropout(given, 1 - args[0], train=True)[1].to(given.dtype)
    return given.bernoulli_(*args)
