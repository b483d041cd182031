import copy
import getpass
import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import bench
from bench.measurement import machine
from bench.measurement.environment import describe
from bench.measurement.machine import cpu_model, describe_light, foreign_cpu, governor, hardware_fingerprint

BUSY = "import time\nend = time.time() + 600\nprint('on', flush=True)\nwhile time.time() < end: pass"


def test_light_description_needs_no_torch():
    code = (
        "import sys; from bench.measurement import machine, memory, nvml, readings; "
        "machine.describe_light(); print('torch' in sys.modules)"
    )
    root = str(Path(bench.__file__).parents[1])
    answer = subprocess.run(
        [sys.executable, "-P", "-c", code], check=True, capture_output=True, text=True, env={"PYTHONPATH": root}
    )
    assert answer.stdout == "False\n"


def test_description_is_json_and_explains_each_gap():
    values = describe("cpu", watch_s=0.1)
    json.dumps(values, allow_nan=False)
    assert values["device"] == "cpu"
    assert values["gpu"] is None
    assert "gpu" in values["reasons"]
    assert ("cpu.governor" in values["reasons"]) == (values["cpu"]["governor"] is None)
    assert values["torch"]["threads"] == torch.get_num_threads()
    assert values["libraries"]["torch"] == torch.__version__.split("+")[0]
    assert values["libraries"]["bench-audio"] == bench.__version__
    assert isinstance(values["contended"], bool)
    assert values["ram_mib"] > 100


def test_description_gives_nobody_away():
    text = json.dumps(describe("cpu", watch_s=0.1))
    assert platform.node() not in text or len(platform.node()) < 4
    assert str(Path.home()) not in text
    assert str(Path.cwd()) not in text
    assert f'"{getpass.getuser()}"' not in text


def test_tf32_is_reported_through_either_interface():
    from bench.measurement.environment import describe_torch
    from bench.measurement.guards import restored_flags

    assert describe_torch()["matmul_tf32"] is False
    for change in (
        lambda: torch.set_float32_matmul_precision("high"),
        lambda: setattr(torch.backends.cuda.matmul, "fp32_precision", "tf32"),
    ):
        with restored_flags():
            change()
            assert describe_torch()["matmul_tf32"] is True
    assert describe_torch()["matmul_tf32"] is False


@pytest.fixture
def facts():
    return {"cpu": {"model": "X", "logical_cores": 8}, "ram_mib": 32000.0, "gpu": None}


def test_fingerprint_is_stable_and_short(facts):
    assert hardware_fingerprint(facts) == hardware_fingerprint(copy.deepcopy(facts))
    assert len(hardware_fingerprint(facts)) == 12
    assert hardware_fingerprint(facts | {"load_average": [9.0]}) == hardware_fingerprint(facts)
    assert hardware_fingerprint(facts | {"ram_mib": 31800.0}) == hardware_fingerprint(facts)
    light = describe_light()
    assert hardware_fingerprint(light) == hardware_fingerprint(describe("cpu", watch_s=0.1))


@pytest.mark.parametrize(
    "other",
    [
        {"cpu": {"model": "Y", "logical_cores": 8}},
        {"cpu": {"model": "X", "logical_cores": 4}},
        {"ram_mib": 16000.0},
        {"gpu": {"name": "H200", "driver": "570"}},
    ],
)
def test_fingerprint_sees_other_hardware(facts, other):
    assert hardware_fingerprint(facts | other) != hardware_fingerprint(facts)


def test_fingerprint_sees_another_driver(facts):
    cards = [facts | {"gpu": {"name": "H200", "driver": driver, "temperature_c": 40}} for driver in ("570", "580")]
    assert hardware_fingerprint(cards[0]) != hardware_fingerprint(cards[1])


def test_cpu_model_and_governor_from_the_kernel(tmp_path):
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Fast CPU @ 3 GHz\n")
    assert cpu_model(proc=tmp_path) == "Fast CPU @ 3 GHz"
    assert governor(sys=tmp_path) is None
    for core, name in enumerate(("performance", "powersave")):
        folder = tmp_path / f"devices/system/cpu/cpu{core}/cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_governor").write_text(f"{name}\n")
    assert governor(sys=tmp_path) == "performance+powersave"


def test_own_children_are_not_foreign(monkeypatch):
    readings = iter([100.0, 101.0])  # one core-second passes on the machine ...
    own = iter([5.0, 5.9])  # ... and 0.9 of it is ours
    monkeypatch.setattr(machine, "_busy", lambda: next(readings))
    monkeypatch.setattr(machine, "_own_cpu", lambda: next(own))
    monkeypatch.setattr(machine.time, "sleep", lambda _: None)
    ticks = iter([0.0, 1.0])
    monkeypatch.setattr(machine.time, "perf_counter", lambda: next(ticks))
    assert foreign_cpu(interval_s=1.0).value == pytest.approx(0.1)


def test_own_busy_child_is_counted_as_own():
    with subprocess.Popen([sys.executable, "-c", BUSY], stdout=-1) as child:
        try:
            child.stdout.readline()
            before = machine._own_cpu()
            assert any(foreign_cpu(interval_s=0.3) and machine._own_cpu() - before > 0.05 for _ in range(300))
        finally:
            child.kill()


@pytest.mark.gpu
def test_gpu_facts():
    gpu = describe("cuda")["gpu"]
    assert gpu["driver"]
    assert gpu["sm_clock_mhz"] > 0
    assert 0 < gpu["temperature_c"] < 120


def test_libraries_that_replace_functions_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_PRELOAD", "/opt/lib/libother.so:/opt/lib/libfast.so.2")
    assert describe_light()["preloaded"] == ["libother.so", "libfast.so.2"]
    monkeypatch.delenv("LD_PRELOAD")
    assert describe_light()["preloaded"] == []
