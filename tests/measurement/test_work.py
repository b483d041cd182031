"""Seconds of a call from its operators: nothing is computed, and each part counts as it should."""

from __future__ import annotations

from math import inf

import pytest
import torch
from torch import nn

from bench.measurement.work import Pace, calibrate, expected_seconds

FREE = {"flops_s": inf, "bytes_s": inf, "operator_s": 0.0}


def layer() -> tuple[nn.Module, torch.Tensor]:
    with torch.device("meta"):
        return nn.Linear(64, 128), torch.empty(32, 64)


def test_arithmetic_traffic_and_calls_are_priced() -> None:
    net, x = layer()
    flops = expected_seconds(lambda: net(x), Pace(**{**FREE, "flops_s": 1.0}))
    assert flops == 2 * 32 * 64 * 128
    moved = expected_seconds(lambda: net(x), Pace(**{**FREE, "bytes_s": 1.0}))
    assert moved == 4 * (32 * 64 + 64 * 128 + 128 + 32 * 128)
    calls = expected_seconds(lambda: net(x).relu().view(-1), Pace(**{**FREE, "operator_s": 1.0}))
    assert calls == 2, "a view is no work"


def test_the_slower_of_arithmetic_and_traffic_counts() -> None:
    net, x = layer()
    flops, moved = 2 * 32 * 64 * 128, 4 * (32 * 64 + 64 * 128 + 128 + 32 * 128)
    slow_products = Pace(flops_s=1.0, bytes_s=1e9, operator_s=0.0)
    slow_memory = Pace(flops_s=1e9, bytes_s=1.0, operator_s=0.0)
    assert expected_seconds(lambda: net(x), slow_products) == pytest.approx(flops)
    assert expected_seconds(lambda: net(x), slow_memory) == pytest.approx(moved)


def test_backward_passes_count() -> None:
    net, x = layer()
    pace = Pace(**{**FREE, "flops_s": 1.0})
    both = expected_seconds(lambda: net(x).sum().backward(), pace)
    assert both == 2 * expected_seconds(lambda: net(x), pace), "the input needs no gradient"


def test_a_pace_is_finite() -> None:
    pace = calibrate(seconds=0.06)
    assert 1e6 < pace.flops_s < 1e15
    assert 1e6 < pace.bytes_s < 1e14
    assert 1e-8 < pace.operator_s < 1e-1
