"""Seconds of a call from its operators: nothing is computed, and each part counts as it should."""

from __future__ import annotations

from functools import partial
from math import inf

import pytest
import torch
from torch import nn

from bench.measurement import work
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


class Mixed(nn.Module):
    """Operators with several results, random ones, in place, views, and ones that fall apart."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm = nn.Conv1d(4, 8, 3, stride=2), nn.BatchNorm1d(8)
        self.attention = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
        self.recurrent = nn.GRU(8, 6, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.convolution(x)).relu_().transpose(1, 2)
        x, _ = self.recurrent(self.attention(x))
        return torch.cat([part.sort(dim=-1).values for part in x.split(3, dim=-1)], dim=-1).topk(2, dim=1).values


@pytest.mark.parametrize("pace", [{"flops_s": 1.0}, {"bytes_s": 1.0}, {"operator_s": 1.0}])
def test_what_was_asked_before_is_priced_as_if_it_was_not(pace: dict[str, float]) -> None:
    known, at = {}, Pace(**{**FREE, **pace})
    with torch.device("meta"):
        nets = [Mixed(), Mixed().eval(), Mixed()]
        clips = [torch.empty(2, 4, 40), torch.empty(2, 4, 40), torch.empty(3, 4, 64)]

    def call(net: nn.Module, clip: torch.Tensor) -> None:
        net.zero_grad()  # adding to a gradient that is there would be work
        net(clip).sum().backward()

    calls = [partial(call, net, clip) for net, clip in zip(nets, clips, strict=True)]
    apart = [expected_seconds(call, at) for call in calls]
    assert [expected_seconds(call, at, known) for call in calls] == apart
    assert [expected_seconds(call, at, known) for call in calls] == apart
    assert all(p.grad is not None and p.grad.shape == p.shape for p in nets[2].parameters())


def test_real_tensors_keep_their_numbers() -> None:
    x, known = torch.arange(6.0).reshape(2, 3), {}
    found = []
    for shift in (0.0, 1.0):
        expected_seconds(lambda shift=shift: found.append(torch.softmax(x + shift, dim=1) @ x.T), Pace(**FREE), known)
    torch.testing.assert_close(found[0], torch.softmax(x, dim=1) @ x.T)
    torch.testing.assert_close(found[1], torch.softmax(x + 1.0, dim=1) @ x.T)


def test_a_pace_is_finite() -> None:
    pace = calibrate(seconds=0.06)
    assert 1e6 < pace.flops_s < 1e15
    assert 1e6 < pace.bytes_s < 1e14
    assert 1e-8 < pace.operator_s < 1e-1


def test_what_the_first_calls_wait_for_is_not_the_pace(monkeypatch) -> None:
    now, costs = 0.0, iter([*[30.0, 2.0, 0.01], *[0.02] * 1000])

    def call() -> None:
        nonlocal now
        now += next(costs)

    monkeypatch.setattr(work.time, "perf_counter", lambda: now)
    assert [*work._fastest([call], "cpu", 0.5)] == [pytest.approx(0.01)]
