"""Torch's switches for float32 arithmetic, read and written so that each is left as it was found."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch

SWITCHES = (
    ("generic", "all"), ("cuda", "all"), ("mkldnn", "all"), ("cuda", "matmul"), ("mkldnn", "matmul"),
    ("cuda", "conv"), ("mkldnn", "conv"), ("cuda", "rnn"), ("mkldnn", "rnn"),
)  # fmt: skip
"""``(backend, operation)`` of every ``fp32_precision``, outer ones first; one at ``none`` inherits from outside.

They are reached below ``torch.backends``, whose ``mkldnn.fp32_precision`` writes the outermost switch (torch 2.11).
"""
_EXACT = (("cuda", "matmul"), ("mkldnn", "matmul"), ("cuda", "conv"), ("cuda", "rnn"))

Precision = tuple[str | None, bool | None, tuple[str, ...]]
"""Of the older interface matrix products and cuDNN's TF32, ``None`` where torch refuses to answer through it because
the newer one was used too; then each of :data:`SWITCHES` as it was set, not as it is inherited."""


def read_precision() -> Precision:
    """Both of torch's interfaces, unchanged."""
    older: list[Any] = [None, None]
    readers: tuple[Callable[[], Any], ...] = (
        torch.get_float32_matmul_precision,
        lambda: torch.backends.cudnn.allow_tf32,
    )
    for place, read in enumerate(readers):
        with contextlib.suppress(RuntimeError):
            older[place] = read()
    newer = []
    for switch in SWITCHES:
        newer.append(torch._C._get_fp32_precision_getter(*switch))
        torch._C._set_fp32_precision_setter(*switch, "none")  # else those inside answer what they inherit
    _write_newer(newer)
    return older[0], older[1], tuple(newer)


def write_precision(value: Precision) -> None:
    """Set both interfaces to what :func:`read_precision` gave; the newer one last, since the older writes into it."""
    matmul, cudnn, newer = value
    if matmul is not None:
        torch.set_float32_matmul_precision(matmul)
    if cudnn is not None:
        torch.backends.cudnn.allow_tf32 = cudnn
    _write_newer(newer)


def _write_newer(values: list[str] | tuple[str, ...]) -> None:
    for switch, value in zip(SWITCHES, values, strict=True):
        torch._C._set_fp32_precision_setter(*switch, value)


@contextlib.contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Float32 without autocast and, on CUDA, without TF32 in convolutions and products."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.autocast(device_type=device.type, enabled=False))
        if device.type == "cuda":
            matmul, cudnn, newer = kept = read_precision()
            stack.callback(write_precision, kept)
            exact = tuple("ieee" if switch in _EXACT else value for switch, value in zip(SWITCHES, newer, strict=True))
            # The older interface must agree with the newer one, or torch refuses to answer through it.
            write_precision((matmul and "highest", cudnn and False, exact))
        yield
