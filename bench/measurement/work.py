"""Seconds that a call would take, from its operators alone: nothing is computed, not even a weight exists.

Each operator costs what the slower of its arithmetic and its memory traffic takes at the pace of the machine, and a
fixed time for being called (the roofline of Williams, Waterman and Patterson 2009, operator by operator).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import inf
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from bench.measurement.clocks import synchronize
from bench.measurement.flops import countable_kernels


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What a device reaches on work like that of a small network.

    Attributes:
        flops_s: Floating-point operations a second in matrix products and convolutions.
        bytes_s: Bytes a second, read and written, in element-wise operators and normalisation.
        operator_s: Seconds that a call of an operator takes whatever its size.
    """

    flops_s: float
    bytes_s: float
    operator_s: float


LEAST = 3
"""Calls that are timed at least, however long they take."""

Operators = dict[Any, tuple[Any, int, int]]
"""By operator whether calls repeat; by call its result (``None``: its first argument), FLOPs and bytes."""


class _Roofline(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the seconds of the operators that reach the backend, after it has taken apart what falls apart."""

    def __init__(self, pace: Pace, known: Operators) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.pace, self.known = pace, known
        self.seconds = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        if func not in self.known:
            with self:
                made = func.decompose(*args, **given)
            if made is not NotImplemented:
                return made
            self.known[func] = _repeats(func), 0, 0
        if func.is_view:
            return func(*args, **given)
        key = (func, _form(args), _form([*given.items()])) if self.known[func][0] else None
        if key in self.known:
            kept, flops, moved = self.known[key]
            made = args[0] if kept is None else _fresh(kept)
        else:
            made = func(*args, **given)
            counted = flop_registry.get(func.overloadpacket)
            flops = counted(*args, **given, out_val=made) if counted else 0
            tensors = [x for x in tree_leaves((args, given, made)) if isinstance(x, Tensor)]
            moved = sum(x.numel() * x.element_size() for x in tensors)
            inside = len(args) > 0 and made is args[0]
            if key and all(x.is_meta for x in tensors) and (not inside or _form(made) == key[1][0]):
                self.known[key] = None if inside else _fresh(made), flops, moved
        self.seconds += self.pace.operator_s + max(flops / self.pace.flops_s, moved / self.pace.bytes_s)
        return made


def _repeats(func: Any) -> bool:
    """Whether an operator returns tensors of its own and writes to no other, or only to its first argument."""
    schema = func._schema
    written = [place for place, one in enumerate(schema.arguments) if one.alias_info and one.alias_info.is_write]
    ours = all(one.alias_info is None for one in schema.returns) if not written else len(schema.returns) == 1
    return ours and written in ([], [0]) and all("Tensor" in str(one.type) for one in schema.returns)


def _form(value: Any) -> Any:
    """All of a value but the numbers in tensors, hashable."""
    if isinstance(value, Tensor):
        return value.shape, value.stride(), value.dtype, value.device
    return tuple(map(_form, value)) if isinstance(value, list | tuple) else (type(value), value)


def _fresh(made: Any) -> Any:
    if isinstance(made, Tensor):
        return torch.empty_strided(made.shape, made.stride(), dtype=made.dtype, device=made.device)
    return type(made)(map(_fresh, made)) if isinstance(made, list | tuple) else made


def expected_seconds(call: Callable[[], object], pace: Pace, known: Operators | None = None) -> float:
    """Seconds of ``call()`` at that pace, to be called on the meta device; calls may share what is ``known``."""
    with countable_kernels(), _Roofline(pace, {} if known is None else known) as roofline:
        call()
    return float(roofline.seconds)


def calibrate(device: str = "cpu", seconds: float = 1.5) -> Pace:
    """The pace of ``device``, from layers of the size that networks trained on a few clips have.

    Peak speeds would promise several times what such networks reach.
    """
    torch.manual_seed(0)
    frames = torch.randn(16, 64, 256, device=device)
    tokens = torch.randn(16 * 128, 128, device=device)
    tiny, start = nn.Sequential(*(nn.Linear(1, 1) for _ in range(16))).to(device), torch.ones(1, 1, device=device)
    convolution = nn.Conv1d(64, 128, 5, padding=2).to(device)
    product, norm = nn.Linear(128, 256).to(device), nn.LayerNorm(128).to(device)
    products = [lambda: convolution(frames), lambda: product(tokens)]
    maps = [lambda: nn.functional.gelu(tokens), lambda: norm(tokens), lambda: tokens + tokens]
    work = 2 * 16 * 256 * 64 * 128 * 5 + 2 * len(tokens) * 128 * 256
    with torch.inference_mode():
        product_s, map_s = (sum(_fastest(calls, device, seconds / 3)) for calls in (products, maps))
    (both_s,) = _fastest([lambda: tiny(start).sum().backward()], device, seconds / 3)
    calls = expected_seconds(lambda: tiny(start).sum().backward(), Pace(flops_s=inf, bytes_s=inf, operator_s=1.0))
    return Pace(flops_s=work / product_s, bytes_s=7 * tokens.numel() * 4 / map_s, operator_s=both_s / calls)


def _fastest(calls: Iterable[Callable[[], object]], device: str, seconds: float) -> Iterator[float]:
    """Of each call the fastest of as many as fit, of three at least: what the first sets up is not its pace."""
    for call in calls:
        call()
        synchronize(device)
        deadline, took = time.perf_counter() + seconds / 2, list[float]()
        while len(took) < LEAST or time.perf_counter() < deadline:
            start = time.perf_counter()
            call()
            synchronize(device)
            took.append(time.perf_counter() - start)
        yield min(took)
