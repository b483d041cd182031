"""FLOPs of one call, counted operator by operator, with the list of what the count leaves out."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from bench.measurement.dispatch import Dispatch


@dataclass(frozen=True, slots=True, kw_only=True)
class Flops:
    """Floating-point operations of one call; a multiply-add is two.

    ``total`` covers matrix products, convolutions and attention. ``uncounted`` has the calls of operators that do
    arithmetic without a formula (FFT, sorting, reductions, custom ones); views, copies, element-wise are left out.
    """

    total: int
    by_operator: dict[str, int]
    uncounted: dict[str, int]


class _Counted(Dispatch):
    """Counts the operators that reach the backend, and the FLOPs of those that have a formula."""

    def __init__(self, formulas: Mapping[Any, Callable[..., Any]]) -> None:
        super().__init__()
        self.formulas = formulas
        self.calls: Counter[Any] = Counter()
        self.flops: Counter[Any] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        with self:
            made = func.decompose(*args, **given)
        if made is not NotImplemented:
            return made
        self.calls[func] += 1
        made = func(*args, **given)
        if formula := self.formulas.get(func.overloadpacket):
            self.flops[func.overloadpacket] += int(formula(*args, **given, out_val=made))
        return made


@contextmanager
def countable_kernels() -> Iterator[None]:
    """Keep torch from fused kernels that hide their matrix products; its switches are put back at the end.

    The flash kernel of the CPU has no formula, nor has the fast path of ``nn.TransformerEncoderLayer`` or the fused
    LSTM of oneDNN: under the plain implementations all of them fall apart into products that have one.
    """
    mkldnn: Any = torch.backends.mkldnn  # a module with properties, which the annotations do not show
    fast, fused = torch.backends.mha.get_fastpath_enabled(), mkldnn.enabled
    torch.backends.mha.set_fastpath_enabled(False)
    mkldnn.enabled = False
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        mkldnn.enabled = fused


def as_written() -> AbstractContextManager[Any]:
    """What ``torch.compile`` was given runs uncompiled meanwhile; without the compiler in the process nothing was."""
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()


def count_flops(call: Callable[[], object]) -> Flops:
    """Count what ``call()`` computes, backward passes included; never in a timed region, and of no compiled module."""
    from torch.utils.flop_counter import flop_registry  # imports triton: 50 MB

    with countable_kernels(), _Counted(flop_registry) as counted:
        call()
    uncounted: Counter[str] = Counter()
    for operator, calls in counted.calls.items():
        if operator.overloadpacket not in flop_registry and not _moves_or_maps(operator):
            uncounted[str(operator.overloadpacket)] += calls
    return Flops(
        total=counted.flops.total(),
        by_operator=dict(sorted((str(packet), flops) for packet, flops in counted.flops.items())),
        uncounted=dict(sorted(uncounted.items())),
    )


_MOVES = """
_local_scalar_dense _reshape_copy _to_copy _unsafe_view arange bernoulli_ cat clone constant_pad_nd copy_ detach
embedding empty empty_like empty_permuted empty_strided fill_ flip full full_like gather index index_select
lift_fresh masked_fill native_dropout new_empty new_full new_ones new_zeros ones ones_like pad rand rand_like randn
randperm reflection_pad1d reflection_pad2d resize_ roll scalar_tensor select_backward set_ slice_backward stack
transpose_ unsafe_split unsafe_split_with_sizes view_as_complex view_as_real zero_ zeros zeros_like
"""
_PLUMBING = frozenset(_MOVES.split())


def _moves_or_maps(operator: Any) -> bool:
    """Whether an operator only moves, allocates or maps single elements."""
    tags = getattr(operator, "tags", ())
    if torch.Tag.pointwise in tags or getattr(operator, "is_view", False):
        return True
    library, _, name = str(getattr(operator, "overloadpacket", operator)).partition(".")
    return library == "aten" and name in _PLUMBING
