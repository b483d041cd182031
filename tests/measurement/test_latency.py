import json
from time import perf_counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import BenchError
from bench.measurement.latency import LEAST, Samples, Sampling, measure_latency
from bench.statistics.timing import samples_needed

BUSY_S = 0.005
SHORT = Sampling(warmup_calls=3, warmup_seconds=0.0, min_samples=11, min_seconds=0.0, max_samples=11)


class Busy:
    """Computes for a known time and keeps its own account of it."""

    def __init__(self, seconds=BUSY_S):
        self.seconds = seconds
        self.own = []

    def __call__(self, index):
        start = perf_counter()
        while perf_counter() - start < self.seconds:
            pass
        self.own.append(perf_counter() - start)


def test_known_busy_time_is_measured_within_2_percent():
    # The callable's own account holds on a loaded machine too, where 5 ms of work may take longer.
    busy = Busy()
    sampling = Sampling(warmup_seconds=0.0, min_samples=60, min_seconds=0.0, max_samples=60)
    latency = measure_latency(busy, device="cpu", sampling=sampling, clip_seconds=5.0)
    own = np.asarray(busy.own[latency.warmup_calls :])
    assert len(own) == len(latency.host.seconds) == 60
    assert latency.host.median == pytest.approx(np.median(own), rel=0.02)
    assert latency.host.seconds.min() >= BUSY_S
    assert latency.real_time_factor == pytest.approx(latency.host.median / 5.0)
    if latency.cpu_share > 0.98:
        assert latency.host.median == pytest.approx(BUSY_S, rel=0.02)


def test_first_call_is_reported_apart_and_never_a_sample():
    calls = []

    def call(index):
        calls.append(index)
        Busy(0.02 if len(calls) == 1 else 0.0001)(index)

    latency = measure_latency(call, device="cpu", sampling=SHORT)
    assert latency.first_call_s >= 0.02
    assert latency.host.median < 0.01
    assert calls == list(range(3 + 11))  # distinct inputs rotate: no index is used twice


def test_warm_up_goes_by_count_and_by_time():
    by_time = Sampling(warmup_calls=1, warmup_seconds=0.05, min_samples=11, min_seconds=0.0, max_samples=11)
    latency = measure_latency(Busy(0.001), device="cpu", sampling=by_time)
    assert latency.warmup_s >= 0.05
    assert 1 <= latency.warmup_calls <= 51
    assert measure_latency(Busy(0.0001), device="cpu", sampling=SHORT).warmup_calls == 3


@pytest.mark.parametrize(
    ("samples", "seconds", "expected"),
    [(10, 99, False), (130, 0.5, False), (129, 5, False), (130, 1.0, True), (11, 15, True), (5000, 0.1, True)],
)
def test_stopping_rule(samples, seconds, expected):
    assert Sampling().enough(samples, seconds) is expected


@pytest.mark.parametrize("wrong", [{"warmup_calls": 0}, {"min_samples": 10}, {"min_samples": 50, "max_samples": 40}])
def test_impossible_sampling_is_refused(wrong):
    with pytest.raises(BenchError, match=r"warmup_calls|min_samples"):
        Sampling(**wrong)


def test_clip_length_must_be_positive():
    with pytest.raises(BenchError, match="clip_seconds is 0"):
        measure_latency(Busy(), device="cpu", clip_seconds=0)


def test_an_error_of_the_callable_passes_through():
    def call(index):
        if index == 5:
            raise ArithmeticError("diverged")

    with pytest.raises(ArithmeticError, match="diverged"):
        measure_latency(call, device="cpu", sampling=SHORT)


@pytest.mark.parametrize(("count", "refused"), [(11, {"p5", "p95", "p99"}), (130, {"p99"}), (662, set())])
def test_percentiles_are_refused_below_their_sample_size(count, refused):
    summary = Samples(np.linspace(0.001, 0.002, count)).summary()
    for name in ("p5", "p95", "p99"):
        assert (summary[f"{name}_ms"] is None) == (name in refused)
        assert (f"{name}_ms" in summary.get("reasons", {})) == (name in refused)
    assert summary["median_ms"] == pytest.approx(1.5)


def test_the_least_samples_carry_a_median():
    assert samples_needed(50) == LEAST


def test_one_sample_fewer_is_too_few():
    assert Samples(np.ones(129)).summary()["p95_ms"] is None


def test_summary_against_numpy():
    seconds = np.random.default_rng(0).gamma(2.0, 0.001, 700)
    summary = Samples(seconds).summary()
    for percent in (5, 95, 99):
        assert summary[f"p{percent}_ms"] == pytest.approx(np.percentile(seconds, percent) * 1e3)
    assert summary["mad_ms"] == pytest.approx(np.median(abs(seconds - np.median(seconds))) * 1e3)
    assert summary["min_ms"] == pytest.approx(seconds.min() * 1e3)


def test_a_drifting_callable_is_unsteady_and_a_level_one_is_not():
    rng = np.random.default_rng(1)
    level = 0.005 * rng.lognormal(0.0, 0.05, 400)
    assert Samples(level).trend.unsteady is False
    assert Samples(level * np.linspace(1.0, 1.3, 400)).trend.unsteady is True
    assert Samples(level * np.linspace(1.3, 1.0, 400)).trend.unsteady is True


def test_outliers_are_not_drift():
    seconds = np.full(400, 0.005)
    seconds[350:360] = 0.05
    assert Samples(seconds).trend.unsteady is False


def test_a_drift_too_small_to_matter_is_not_named():
    assert Samples(np.linspace(0.00500, 0.00505, 400)).trend.unsteady is False


def test_correlated_noise_is_not_drift():
    rng = np.random.default_rng(3)
    noise = rng.normal(0, 0.05, (100, 400))
    for i in range(1, 400):
        noise[:, i] += 0.9 * noise[:, i - 1]
    assert sum(bool(Samples(np.exp(row - 5)).trend.unsteady) for row in noise) <= 12


def test_too_few_samples_give_no_verdict():
    summary = Samples(np.ones(10)).summary()
    assert summary["unsteady"] is None
    assert "at least" in summary["reasons"]["unsteady"]


def test_false_alarms_are_rare():
    rng = np.random.default_rng(2)
    alarms = sum(bool(Samples(rng.lognormal(-5, 0.5, 200)).trend.unsteady) for _ in range(300))
    assert alarms <= 0.03 * 300


def test_a_really_drifting_call_is_found():
    def call(index):
        Busy(0.0002 * (1 + index / 100))(index)

    sampling = Sampling(warmup_calls=1, warmup_seconds=0.0, min_samples=300, min_seconds=0.0, max_samples=300)
    assert measure_latency(call, device="cpu", sampling=sampling).host.trend.unsteady is True


@given(st.lists(st.floats(1e-6, 10.0), min_size=1, max_size=40))
def test_summary_is_finite_json_for_any_samples(values):
    summary = Samples(np.asarray(values)).summary()
    json.dumps(summary, allow_nan=False)
    assert summary["min_ms"] <= summary["median_ms"] * (1 + 1e-12)
    assert summary["mad_ms"] >= 0


def test_json_names_what_is_missing():
    latency = measure_latency(Busy(0.0001), device="cpu", sampling=SHORT)
    values = latency.to_json()
    assert values["device_clock"] is None
    assert values["real_time_factor"] is None
    assert {"device_clock", "real_time_factor", "p95_ms"} <= values["reasons"].keys()
    json.dumps(values, allow_nan=False)


@pytest.mark.gpu
def test_cuda_latency_has_both_clocks():
    import torch

    left = torch.randn(4096, 4096, device="cuda")
    latency = measure_latency(lambda _: left @ left, device="cuda")
    assert latency.device_clock is not None
    assert latency.device_clock.median == pytest.approx(latency.host.median, rel=0.2)
