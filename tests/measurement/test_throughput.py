import json
from time import perf_counter

import numpy as np
import pytest

from bench.errors import BenchError
from bench.measurement.throughput import Blocks, measure_throughput

QUICK = Blocks(warmup_steps=2, warmup_seconds=0.0, count=4, min_steps=5, seconds=0.03)


def busy_step(clips=8, seconds=0.005):
    own = []

    def step(index):
        start = perf_counter()
        while perf_counter() - start < seconds:
            pass
        own.append(perf_counter() - start)
        return clips

    step.own = own
    return step


def test_known_rate():
    step = busy_step()
    result = measure_throughput(step, device="cpu", blocks=QUICK)
    steps = result.step_stamps_s.size
    assert result.clips == 8 * steps
    # against the callable's own account, which holds on a loaded machine too
    own = np.reshape(step.own[-steps:], result.step_stamps_s.shape)
    assert np.median(np.diff(result.step_stamps_s) / own[:, 1:]) == pytest.approx(1.0, rel=0.02)
    assert result.clips_per_s <= 8 * steps / own.sum() <= 8 / 0.005
    assert np.median(result.block_s / own.sum(axis=1)) == pytest.approx(1.0, rel=0.1)


def test_rate_is_clips_over_wall_time_and_spread_comes_from_the_blocks():
    result = measure_throughput(busy_step(seconds=0.001), device="cpu", blocks=QUICK)
    assert result.block_s.shape == (4,)
    assert result.clips_per_s == pytest.approx(result.clips / result.block_s.sum())
    rates = result.block_rates
    assert result.spread.value == pytest.approx(np.std(rates, ddof=1) / np.mean(rates))
    assert (np.diff(result.step_stamps_s, axis=1) > 0).all()
    assert (result.step_stamps_s[:, -1] <= result.block_s).all()
    json.dumps(result.to_json(), allow_nan=False)


def test_first_step_is_apart_from_the_blocks():
    calls = []

    def step(index):
        calls.append(index)
        end = perf_counter() + (0.05 if index == 0 else 0.0005)
        while perf_counter() < end:
            pass
        return 4

    result = measure_throughput(step, device="cpu", blocks=QUICK)
    assert result.first_step_s >= 0.05
    assert result.clips_per_s > 4 / 0.05 * 2
    assert calls == list(range(len(calls)))


def test_changing_batch_size_is_refused():
    sizes = iter([8, 8, 8, 8, 3, *[8] * 1000])
    with pytest.raises(BenchError, match=r"step 4 processed 3 clips, the ones before it 8"):
        measure_throughput(lambda _: next(sizes), device="cpu", blocks=QUICK)


def test_empty_batch_is_refused():
    with pytest.raises(BenchError, match="processed 0 clips"):
        measure_throughput(lambda _: 0, device="cpu", blocks=QUICK)


def test_one_block_has_no_spread():
    one = Blocks(warmup_steps=1, warmup_seconds=0.0, count=1, min_steps=2, seconds=0.0)
    values = measure_throughput(busy_step(), device="cpu", blocks=one).to_json()
    assert values["spread"] is None
    assert "one block" in values["reasons"]["spread"]


def test_slow_steps_end_after_the_budget():
    brief = Blocks(warmup_steps=1, warmup_seconds=0.0, count=50, min_steps=2, seconds=0.01, max_seconds=0.05)
    result = measure_throughput(busy_step(seconds=0.01), device="cpu", blocks=brief)
    assert 1 <= len(result.block_s) <= 3


@pytest.mark.parametrize("wrong", [{"warmup_steps": 0}, {"count": 0}, {"min_steps": 0}])
def test_impossible_blocks_are_refused(wrong):
    with pytest.raises(BenchError, match="1 or more"):
        Blocks(**wrong)


@pytest.mark.gpu
def test_cuda_blocks_wait_for_the_device():
    import torch

    left = torch.randn(8192, 8192, device="cuda")

    def step(_):
        torch.mm(left, left)
        return 1

    result = measure_throughput(step, device="cuda", blocks=QUICK)
    # the last step was queued long before the device was done with it
    assert (result.step_stamps_s[:, -1] < 0.5 * result.block_s).all()


def test_no_more_blocks_run_than_the_mean_needs() -> None:
    rule = Blocks(count=10, max_seconds=60.0, enough=0.02)
    assert [rule.go_on([1.0] * count) for count in (1, 4, 5)] == [True, True, False]
    assert rule.go_on([1.0, 1.3] * 3)
    assert not rule.go_on([1.0, 1.3] * 5)
    assert not rule.go_on([31.0, 31.0])
    assert Blocks(count=10).go_on([1.0, 1.1] * 4)
