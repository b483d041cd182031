import json
from types import SimpleNamespace

import pytest

from bench.errors import BenchError
from bench.measurement import energy as measured
from bench.measurement.energy import EnergyCounter, energy_counter, measure_energy, rapl_counter, unknown_energy


class Meter:
    """A counter of a machine that draws 10 W idle and 40 W while busy, updated every millisecond of its own time."""

    def __init__(self):
        self.now = self.busy = 0.0

    def read(self):
        return int(1000 * (10 * self.now + 30 * self.busy)) / 1000

    def sleep(self, seconds):
        self.now += seconds

    def step(self, _):
        self.now += 0.002
        self.busy += 0.002
        return 4


@pytest.fixture
def meter(monkeypatch):
    made = Meter()
    monkeypatch.setattr(measured, "time", SimpleNamespace(sleep=made.sleep))
    monkeypatch.setattr(measured, "perf_counter", lambda: made.now)
    return made


def test_known_power_raw_and_idle_subtracted(meter):
    energy = measure_energy(meter.step, EnergyCounter(read=meter.read, source="NVML"), idle_s=0.2)
    assert energy["periods"] >= 100
    assert energy["idle_watts"] == pytest.approx(10, rel=0.02)
    assert energy["joules"] == pytest.approx(10 * energy["seconds"] + 30 * meter.busy, rel=0.02)
    assert energy["net_joules_per_clip"] * energy["clips"] == pytest.approx(30 * meter.busy, rel=0.05)
    assert energy["joules_per_clip"] == pytest.approx(energy["joules"] / energy["clips"])
    json.dumps(energy)


def test_too_few_counter_periods_give_no_number(meter):
    slow = EnergyCounter(read=lambda: float(int(meter.read())), source="NVML")
    values = measure_energy(meter.step, slow, idle_s=0.05, max_seconds=0.2)
    assert values["joules_per_clip"] is None
    assert "100 are needed" in values["reasons"]["joules_per_clip"]


def test_steps_without_clips_are_refused(meter):
    counter = EnergyCounter(read=meter.read, source="NVML")
    with pytest.raises(BenchError, match="processed 0 clips"):
        measure_energy(lambda _: 0 * meter.step(0), counter, idle_s=0.01, max_seconds=0.05)


def test_counter_wraps_once():
    counter = EnergyCounter(read=lambda: 5.0, source="RAPL", wraps_at_j=100.0)
    assert counter.since(95.0) == 10.0
    assert counter.since(2.0) == 3.0


def test_rapl_sums_packages_and_leaves_their_parts_out(tmp_path):
    for name, value in (("intel-rapl:0", 2_000_000), ("intel-rapl:1", 3_000_000), ("intel-rapl:0:0", 9_000_000)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "energy_uj").write_text(f"{value}\n")
        (tmp_path / name / "max_energy_range_uj").write_text("262143328850\n")
    counter = rapl_counter(tmp_path)
    assert counter.read() == 5.0
    assert counter.source == "RAPL"


def test_no_counter_is_a_reason(tmp_path):
    with energy_counter(gpu_uuid=None, powercap=tmp_path) as counter:
        assert "no RAPL" in counter
    (tmp_path / "intel-rapl:0").mkdir()
    assert "not readable" in rapl_counter(tmp_path)
    values = unknown_energy("no RAPL")
    assert values["joules_per_clip"] is None
    assert values["reasons"]["source"] == "no RAPL"


def test_no_driver_is_a_reason():
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a driver")
    with energy_counter(gpu_uuid="GPU-0") as counter:
        assert isinstance(counter, str)
        assert "NVML" in counter


@pytest.mark.gpu
def test_energy_of_a_gpu():
    import torch

    from bench.measurement.device_memory import cuda_uuid

    left = torch.randn(4096, 4096, device="cuda")

    def step(_):
        torch.mm(left, left)
        torch.cuda.synchronize()
        return 1

    with energy_counter(gpu_uuid=cuda_uuid("cuda")) as counter:
        assert isinstance(counter, EnergyCounter)
        energy = measure_energy(step, counter)
    assert energy["net_joules_per_clip"] > 0
