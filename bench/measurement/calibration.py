"""The pace of this machine at work like that of a small network, timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import nn

from bench.measurement.clocks import synchronize
from bench.measurement.pace import Pace

LEAST = 3
"""Calls that are timed at least, however long they take."""
TINY_CALLS = 97
"""Operators of a forward and backward pass through :data:`TINY` layers of one unit, which have gradients already."""
TINY = 16


def calibrate(device: str = "cpu", seconds: float = 0.6) -> Pace:
    """The pace of ``device``, from layers of the size that networks trained on a few clips have.

    Peak speeds would promise several times what such networks reach.
    """
    torch.manual_seed(0)
    frames = torch.randn(16, 64, 256, device=device)
    tokens = torch.randn(16 * 128, 128, device=device)
    tiny, start = nn.Sequential(*(nn.Linear(1, 1) for _ in range(TINY))).to(device), torch.ones(1, 1, device=device)
    convolution = nn.Conv1d(64, 128, 5, padding=2).to(device)
    product, norm = nn.Linear(128, 256).to(device), nn.LayerNorm(128).to(device)
    products = [lambda: convolution(frames), lambda: product(tokens)]
    maps = [lambda: nn.functional.gelu(tokens), lambda: norm(tokens), lambda: tokens + tokens]
    kernels, sound = nn.Conv1d(1, 512, 512, stride=160).to(device), torch.randn(4, 1, 16_000, device=device)
    transform = 2 * 4 * 97 * 512 * 512
    work = 2 * 16 * 256 * 64 * 128 * 5 + 2 * len(tokens) * 128 * 256
    with torch.inference_mode():
        product_s, map_s = (sum(_fastest(calls, device, seconds / 3)) for calls in (products, maps))
        (transform_s,) = _fastest([lambda: kernels(sound)], device, seconds / 6)
    (both_s,) = _fastest([lambda: tiny(start).sum().backward()], device, seconds / 3)
    return Pace(
        flops_s=work / product_s, bytes_s=7 * tokens.numel() * 4 / map_s, operator_s=both_s / TINY_CALLS,
        transform_flops_s=transform / transform_s,
    )  # fmt: skip


def _fastest(calls: Iterable[Callable[[], object]], device: str, seconds: float) -> Iterator[float]:
    """Of each call the fastest of as many as fit, of three at least: what the first sets up is not its pace."""
    alone = device == "cpu" and torch.get_num_threads() == 1
    clock = time.thread_time if alone else time.perf_counter  # a neighbour's turn is no time of ours
    for call in calls:
        call()
        synchronize(device)
        deadline, took = clock() + seconds / 2, list[float]()
        while len(took) < LEAST or clock() < deadline:
            start = clock()
            call()
            synchronize(device)
            took.append(clock() - start)
        yield min(took)
