"""NVML by a fake driver: what is asked, and what becomes of each refusal."""

import os
from types import SimpleNamespace

import pynvml
import pytest
import torch

from bench.measurement import environment
from bench.measurement.device_memory import driver_memory
from bench.measurement.energy import EnergyCounter, energy_counter
from bench.measurement.nvml import NvmlMissingError, gpu_handle, throttle_reasons
from bench.measurement.readings import Reading


@pytest.fixture
def driver(monkeypatch):
    """A machine with one GPU, whose answers a test may change."""
    state = SimpleNamespace(open=0, count=1, processes=[(os.getpid(), 512 << 20)], energy=[1000, 3500], mask=0)

    def change(by):
        def call():
            state.open += by

        return call

    def raise_or(value):
        if isinstance(value, Exception):
            raise value
        return value

    def processes(_):
        return [SimpleNamespace(pid=pid, usedGpuMemory=memory) for pid, memory in raise_or(state.processes)]

    fakes = {
        "nvmlInit": change(1),
        "nvmlShutdown": change(-1),
        "nvmlDeviceGetHandleByUUID": lambda uuid: ("handle", uuid),
        "nvmlDeviceGetHandleByIndex": lambda index: ("handle", index),
        "nvmlDeviceGetCount": lambda: state.count,
        "nvmlDeviceGetComputeRunningProcesses": processes,
        "nvmlDeviceGetMemoryInfo": lambda _: SimpleNamespace(used=2048 << 20),
        "nvmlDeviceGetTotalEnergyConsumption": lambda _: raise_or(state.energy.pop(0)),
        "nvmlDeviceGetCurrentClocksThrottleReasons": lambda _: state.mask,
    }
    for name, fake in fakes.items():
        monkeypatch.setattr(pynvml, name, fake)
    return state


def refusal():
    return pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)


def test_handle_is_closed_even_after_an_error(driver):
    def work():
        with gpu_handle("GPU-1") as handle:
            assert handle == ("handle", "GPU-1")
            assert driver.open == 1
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        work()
    assert driver.open == 0


def test_several_gpus_need_a_name(driver):
    driver.count = 2
    with pytest.raises(NvmlMissingError, match="2 GPUs and none was named"), gpu_handle():
        pass
    assert driver.open == 0


def test_memory_of_this_process_and_of_the_device(driver):
    readings = driver_memory("GPU-1")
    assert readings == {"device_process_mib": Reading.of(512.0), "device_used_mib": Reading.of(2048.0)}


@pytest.mark.parametrize(
    ("processes", "reason"),
    [([(1, 5)], "does not show this process"), ([(os.getpid(), None)], "without its memory"), (refusal(), "NVML:")],
)
def test_unknown_process_memory_has_its_reason(driver, processes, reason):
    driver.processes = processes
    readings = driver_memory("GPU-1")
    assert reason in readings["device_process_mib"].reason
    assert readings["device_used_mib"].value == 2048.0


def test_energy_counter_is_in_joules(driver):
    driver.energy = [0, 1000, 3500]
    with energy_counter(gpu_uuid="GPU-1") as counter:
        assert isinstance(counter, EnergyCounter)
        assert counter.since(counter.read()) == 2.5
        assert counter.source == "NVML"


def test_a_gpu_without_an_energy_counter_gives_the_reason(driver):
    driver.energy = [refusal()]
    with energy_counter(gpu_uuid="GPU-1") as counter:
        assert isinstance(counter, str)
        assert "Not Supported" in counter


def test_throttling_is_named_and_idling_is_not_throttling(driver):
    driver.mask = pynvml.nvmlClocksThrottleReasonGpuIdle
    assert throttle_reasons("handle") == []
    driver.mask |= pynvml.nvmlClocksThrottleReasonHwThermalSlowdown | pynvml.nvmlClocksThrottleReasonSwPowerCap
    assert throttle_reasons("handle") == ["HwThermalSlowdown", "SwPowerCap"]


def test_foreign_processes(driver, monkeypatch):
    driver.processes = [(os.getpid(), 1), (1, 1)]
    assert environment._foreign_processes("handle").value == 1
    driver.processes = []
    assert environment._foreign_processes("handle").value == 0
    driver.processes = [(1, 1)]
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    assert "other ids" in environment._foreign_processes("handle").reason


@pytest.mark.parametrize(
    ("cores", "gpu", "expected"),
    [
        (0.0, None, False),
        (99.0, None, True),
        (0.0, {"foreign_processes": 1}, True),
        (0.0, {"foreign_processes": None}, False),
    ],
)
def test_contended(cores, gpu, expected):
    assert environment._contended(Reading.of(cores), gpu) is expected
