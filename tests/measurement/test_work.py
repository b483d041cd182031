"""Seconds of a call from its operators: nothing is computed, and each part counts as it should."""

from __future__ import annotations

from functools import partial
from math import inf

import pytest
import torch
from torch import nn

from bench.measurement import calibration
from bench.measurement.calibration import calibrate
from bench.measurement.pace import Pace, Work, estimate, seconds_of
from bench.measurement.work import count, gathered
from bench.results.reading import parse_as

FREE = {"flops_s": inf, "bytes_s": inf, "operator_s": 0.0, "transform_flops_s": inf}


def expected_seconds(call, pace: Pace, known=None) -> float:
    return seconds_of(count(call, known), pace)


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
    slow_products = Pace(**{**FREE, "flops_s": 1.0, "bytes_s": 1e9})
    slow_memory = Pace(**{**FREE, "flops_s": 1e9, "bytes_s": 1.0})
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


def test_calls_of_like_intensity_are_kept_together_and_take_what_they_took() -> None:
    calls = [(0, 400), (1000, 10), (8000, 80), (0, 200), (10, 1000), (300, 300)]
    counts = gathered(calls)
    assert counts == ((0, 600, 2), (10, 1000, 1), (300, 300, 1), (9000, 90, 2))
    for flops_s in (0.1, 1.0, 100.0):
        pace = Pace(flops_s=flops_s, bytes_s=1.0, operator_s=0.5, transform_flops_s=7.0)
        alone = sum(0.5 + max(flops / flops_s, moved) for flops, moved in calls)
        assert seconds_of(counts, pace) == pytest.approx(alone)


def test_a_fourier_transform_is_arithmetic() -> None:
    flops = [sum(one[0] for one in count(lambda n=n: torch.fft.rfft(torch.zeros(4, n)))) for n in (256, 512)]
    assert 2.0 < flops[1] / flops[0] < 2.5


def test_an_estimator_is_expected_to_take_its_time_for_what_it_hears() -> None:
    short, long = (
        estimate(Work(fitted=True), None, batch=4, frozen=False, clip_samples=samples) for samples in (8_000, 9_600_000)
    )
    assert short["step_s"] is None
    assert (short["infer_clip_s"], short["fit_clip_s"]) == pytest.approx((0.0004, 0.0054))
    assert (long["infer_clip_s"], long["fit_clip_s"]) == pytest.approx((0.48, 0.485)), "ten minutes are fitted as fast"


def test_a_frozen_network_has_no_step_and_a_masked_one_a_step_of_pretraining() -> None:
    pace = Pace(flops_s=1.0, bytes_s=1e12, operator_s=0.0, transform_flops_s=10.0)
    work = Work(front=((100, 1, 1),), forward=((30, 1, 1),), step=((90, 1, 1),), parameters=1)
    trained, frozen, masked = (
        estimate(work, pace, batch=4, **more)
        for more in ({"frozen": False}, {"frozen": True}, {"frozen": False, "pretrain_batch": 8})
    )
    assert trained["step_s"] == pytest.approx(1.35 * (10 + 90))
    assert trained["infer_clip_s"] == frozen["infer_clip_s"] == pytest.approx((10 + 30) / 4)
    assert frozen["step_s"] == 0
    assert trained["pretrain_step_s"] is None
    assert masked["pretrain_step_s"] == pytest.approx(1.35 * 3 * 10 * 8)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (Work, {"step": [[1, 2, -3]]}), (Work, {"step": [[1, 2.5, 3]]}), (Work, {"steps": []}),
        (Pace, {"flops_s": 1.0, "bytes_s": 1.0, "operator_s": 1.0}),
        (Pace, {"flops_s": 1.0, "bytes_s": 1.0, "operator_s": 1.0, "transform_flops_s": 0.0}),
    ],
)  # fmt: skip
def test_what_is_no_work_or_pace_is_refused(kind, values) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  pydantic's own
        parse_as(kind, values)


def test_the_calls_that_a_pace_is_told_from_are_as_many_as_it_says() -> None:
    tiny, start = nn.Sequential(*(nn.Linear(1, 1) for _ in range(calibration.TINY))), torch.ones(1, 1)
    tiny(start).sum().backward()
    assert sum(one[2] for one in count(lambda: tiny(start).sum().backward())) == calibration.TINY_CALLS


def test_a_pace_is_finite() -> None:
    pace = calibrate(seconds=0.06)
    assert 1e6 < pace.transform_flops_s < 1e15
    assert 1e6 < pace.flops_s < 1e15
    assert 1e6 < pace.bytes_s < 1e14
    assert 1e-8 < pace.operator_s < 1e-1


def test_what_the_first_calls_wait_for_is_not_the_pace(monkeypatch) -> None:
    now, costs = 0.0, iter([*[30.0, 2.0, 0.01], *[0.02] * 1000])

    def call() -> None:
        nonlocal now
        now += next(costs)

    for clock in ("perf_counter", "thread_time"):
        monkeypatch.setattr(calibration.time, clock, lambda: now)
    assert [*calibration._fastest([call], "cpu", 0.5)] == [pytest.approx(0.01)]
