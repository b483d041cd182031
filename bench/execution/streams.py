"""Random numbers of several networks trained as one: each draws what it would draw alone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from bench.execution.graphs import is_cuda
from bench.execution.ranks import drops_nothing

Orders = Sequence[tuple[int, ...]]
"""Of each tensor that a network draws in a step, its dimensions from the outermost in memory to the innermost."""


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


class Draws(TorchDispatchMode):
    """Random numbers of all members, drawn member by member from the stream of each.

    Numbers are drawn in the order in which a tensor lies in memory, which is another one in a stack: ``orders`` says
    how each lay alone. Without streams nothing is changed and the orders are taken down.
    """

    def __init__(self, orders: Orders = (), streams: Streams | None = None, count: int = 1) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.streams, self.count, self.orders, self.seen = streams, count, orders, list[tuple[int, ...]]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Any operator on the tensors of all members; those that draw are ours."""
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded not in func.tags or drops_nothing(func, args, kwargs):
            return func(*args, **kwargs)
        given, number = args[0], len(self.seen)
        if self.streams is None:
            output = func(*args, **kwargs)
            strides = (output[0] if isinstance(output, tuple) else output).stride()
            self.seen.append(tuple(sorted(range(len(strides)), key=lambda axis: -strides[axis])))
            return output
        shape = given.shape if isinstance(given, Tensor) else given if isinstance(given, Sequence) else ()
        order = self.orders[number] if number < len(self.orders) else ()
        self.seen.append(order)
        apart = len(shape) == 1 + len(order) and shape[0] == self.count
        if not apart or any(isinstance(x, Tensor) for x in args[1:]):
            raise StackError(f"{func} draws otherwise than for each clip")
        rows = [self._row(self.streams, member, order, func, args, kwargs) for member in range(self.count)]
        if func.overloadpacket.__name__.endswith("_"):
            return given.copy_(torch.stack(rows))
        return tuple(map(torch.stack, zip(*rows, strict=True))) if isinstance(rows[0], tuple) else torch.stack(rows)

    @staticmethod
    def _row(streams: Streams, member: int, order: tuple[int, ...], func: Any, args: Any, kwargs: Any) -> Any:
        given = args[0]
        with streams.of(member):
            if not isinstance(given, Tensor):
                return func(given[1:], *args[1:], **kwargs)
            row = given[member]
            laid = row.new_empty([row.shape[axis] for axis in order])
            laid = laid.permute([order.index(axis) for axis in range(len(order))]).copy_(row)
            if func is torch.ops.aten.bernoulli.p:  # what dropout becomes in a stack, laid out anew by torch
                func = torch.ops.aten.bernoulli_.float
            return func(laid, *args[1:], **kwargs)
