"""What the operators of a call do, counted on the meta device: nothing is computed, not even a weight exists."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import log2
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from bench.measurement.dispatch import Dispatch
from bench.measurement.flops import countable_kernels
from bench.measurement.pace import Counts

Operators = dict[Any, tuple[Any, int, int]]
"""By operator whether calls repeat; by call its result (``None``: its first argument), FLOPs and bytes."""
FOURIER = (torch.ops.aten._fft_r2c, torch.ops.aten._fft_c2c, torch.ops.aten._fft_c2r)
_STEPS = 8
"""So many steps to a factor of two in FLOPs a byte are told apart."""
_FOURIER_FLOPS = 20.0
"""For each sample and each halving of a fast Fourier transform: 2.5 are done, at an eighth of the rate of products."""


class _Roofline(Dispatch):
    """Notes the operators that reach the backend, after it has taken apart what falls apart."""

    def __init__(self, known: Operators) -> None:
        super().__init__()
        self.known = known
        self.calls: list[tuple[int, int]] = []

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
            flops = _flops(func.overloadpacket, args, given, made)
            tensors = [x for x in tree_leaves((args, given, made)) if isinstance(x, Tensor)]
            moved = sum(x.numel() * x.element_size() for x in tensors)
            inside = len(args) > 0 and made is args[0]
            if key and all(x.is_meta for x in tensors) and (not inside or _form(made) == key[1][0]):
                self.known[key] = None if inside else _fresh(made), flops, moved
        self.calls.append((flops, moved))
        return made


def _flops(operator: Any, args: Any, given: Any, made: Any) -> int:
    if operator in FOURIER:
        return int(_FOURIER_FLOPS * args[0].numel() * log2(max(2, made.shape[-1])))
    counted = flop_registry.get(operator)
    return int(counted(*args, **given, out_val=made)) if counted else 0


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


def count(call: Callable[[], object], known: Operators | None = None) -> Counts:
    """What the operators of ``call()`` do, to be called on the meta device; calls may share what is ``known``."""
    with countable_kernels(), _Roofline({} if known is None else known) as roofline:
        call()
    return gathered(roofline.calls)


def gathered(calls: Iterable[tuple[int, int]]) -> Counts:
    """FLOPs and bytes of each call, calls of like FLOPs a byte added up."""
    found: dict[int | None, tuple[int, int, int]] = {}
    for flops, moved in calls:
        key = round(_STEPS * log2(flops / moved)) if flops and moved else None
        flops_before, moved_before, count = found.get(key, (0, 0, 0))
        found[key] = flops_before + flops, moved_before + moved, count + 1
    return tuple(sorted(found.values()))
