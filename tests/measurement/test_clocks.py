import gc

import pytest
import torch

from bench.errors import BenchError
from bench.measurement.clocks import Clock, device_type, quiet_collector, synchronize


def test_unknown_device_is_named_with_what_is_allowed():
    with pytest.raises(BenchError, match=r"device 'mps'.*cpu, cuda and cuda:N"):
        device_type("mps")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_without_a_device_is_refused():
    with pytest.raises(BenchError, match="sees no CUDA device"):
        synchronize("cuda")


def test_cpu_has_a_host_clock_only():
    clock = Clock("cpu")
    seen = []
    seconds = clock.time(seen.append, 7)
    assert seen == [7]
    assert clock.host_seconds().tolist() == [seconds]
    assert clock.device_seconds() is None


def test_collector_is_put_back_even_after_an_error():
    inside = []

    def work():
        with quiet_collector():
            inside.append(gc.isenabled())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        work()
    assert inside == [False]
    assert gc.isenabled()


@pytest.mark.gpu
def test_unsynchronised_timing_would_differ_on_a_gpu():
    from time import perf_counter

    left = torch.randn(8192, 8192, device="cuda")

    def call(_):
        return left @ left

    clock = Clock("cuda")
    for index in range(5):
        clock.time(call, index)
    synchronize("cuda")
    start = perf_counter()
    call(0)
    careless = perf_counter() - start
    synchronize("cuda")
    host, device = clock.host_seconds()[1:].min(), clock.device_seconds()[1:].min()
    assert careless < 0.5 * host
    assert device == pytest.approx(host, rel=0.1)
    assert 2 * 8192**3 / device < 2e15  # no GPU is as fast as an unsynchronised clock believes
