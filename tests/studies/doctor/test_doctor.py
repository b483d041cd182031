"""The doctor's findings, each from an injected fault."""

from __future__ import annotations

import types
from pathlib import Path

import pynvml
import pytest

from bench.measurement import nvml
from bench.measurement.nvml import look_at_gpus
from bench.studies.doctor import run
from bench.studies.doctor.run import Triple, cpu_quota, examine, to_json

QUIET = run._Quiet(noise={"score": 0.01, "slowest_ratio": 1.1, "repetitions": 100.0}, neighbours=[], findings=[])


@pytest.fixture
def still(monkeypatch):
    """Nothing timed, no GPU, no limits, empty cores: findings come from the test alone."""
    whole = Triple(versions={"torch": "2.11.0"}, problems=(), command="pip install torch")
    monkeypatch.setattr(run, "check_triple", lambda: whole)
    monkeypatch.setattr(run, "_noise", lambda: QUIET)
    monkeypatch.setattr(run, "look_at_gpus", lambda: "no NVML: none here")
    monkeypatch.setattr(run, "cpu_quota", lambda: None)
    monkeypatch.setattr(run.os, "cpu_count", lambda: None)
    return monkeypatch


def gpu(**changed) -> dict:
    state = {
        "index": 0, "name": "Some GPU", "driver": "1.2", "sm_clock_mhz": 1200, "sm_clock_max_mhz": 1980,
        "temperature_c": 60, "throttled": (), "processes": (),
    }  # fmt: skip
    return state | changed


def kinds(checkup) -> list[tuple[str, str]]:
    return [(one.level, one.kind) for one in checkup.findings]


def test_a_quiet_machine_has_no_findings_and_reasons_for_what_is_unknown(still, tmp_path) -> None:
    checkup = examine(out=tmp_path)
    assert kinds(checkup) == []
    assert checkup.fit
    assert checkup.gpus is None
    assert to_json(checkup)["reasons"]["gpus"] == "no NVML: none here"
    assert checkup.plugins["models"] > 0
    assert checkup.disk["out"] > 0


def test_a_broken_plugin_is_a_problem_that_names_the_file(still, tmp_path) -> None:
    broken = tmp_path / "my plugin.py"
    broken.write_text("raise RuntimeError('half written')\n")
    checkup = examine(out=tmp_path, files=[broken])
    assert kinds(checkup) == [("problem", "plugins")]
    assert "half written" in checkup.findings[0].message
    assert checkup.findings[0].command == f"bench doctor --plugin '{broken}'"
    assert not checkup.fit
    assert checkup.plugins is None


def test_a_broken_triple_is_a_problem_and_nothing_is_timed(still, tmp_path) -> None:
    odd = Triple(
        versions={"torch": "2.13.0"}, problems=("torchvision does not belong",), command="pip install torch==2"
    )
    still.setattr(run, "check_triple", lambda: odd)
    still.setattr(run, "_noise", lambda: pytest.fail("timed with a broken torch"))
    checkup = examine(out=tmp_path)
    assert kinds(checkup) == [("problem", "libraries")]
    assert checkup.findings[0].command == "pip install torch==2"
    assert checkup.noise is None
    assert "not measured" in to_json(checkup)["reasons"]["noise"]


def test_little_room_is_a_warning_and_a_closed_folder_a_problem(still, tmp_path) -> None:
    still.setattr(run.shutil, "disk_usage", lambda _: types.SimpleNamespace(free=100 * 2**20))
    assert kinds(examine(out=tmp_path)) == [("warning", "disk")] * 2
    still.setattr(run.os, "access", lambda *_: False)
    checkup = examine(out=tmp_path / "not" / "yet")
    assert kinds(checkup) == [("problem", "disk")] * 2
    assert not checkup.fit


def test_cores_and_quota(still, tmp_path) -> None:
    light = run.describe_light()
    light["cpu"] |= {"affinity": [0], "logical_cores": 4}
    still.setattr(run, "describe_light", lambda: light)
    still.setattr(run, "cpu_quota", lambda: 0.5)
    checkup = examine(out=tmp_path)
    assert kinds(checkup) == [("warning", "affinity")] * 2
    assert "1 of 4 cores" in checkup.findings[0].message
    assert "0.5 of 1 cores" in checkup.findings[1].message


@pytest.mark.parametrize(("text", "cores"), [("150000 100000\n", 1.5), ("max 100000\n", None), ("odd\n", None)])
def test_quota_of_the_control_group(tmp_path: Path, text: str, cores: float | None) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(text)
    assert cpu_quota(file) == cores
    assert cpu_quota(tmp_path / "absent") is None


def test_throttled_and_shared_gpu_are_warnings_with_commands(still, tmp_path) -> None:
    state = gpu(throttled=["SwThermalSlowdown"], processes=[{"pid": 7, "name": "trainer"}])
    still.setattr(run, "look_at_gpus", lambda: [state, gpu(index=1)])
    checkup = examine(out=tmp_path)
    assert kinds(checkup) == [("warning", "gpu")] * 2
    assert "SwThermalSlowdown" in checkup.findings[0].message
    assert "7 (trainer)" in checkup.findings[1].message
    assert all(one.command.startswith("nvidia-smi -i 0") for one in checkup.findings)
    assert checkup.fit


def test_gpu_states_come_from_the_driver(monkeypatch) -> None:
    thermal = pynvml.nvmlClocksThrottleReasonSwThermalSlowdown
    answers = {
        "nvmlInit": lambda: None, "nvmlShutdown": lambda: None, "nvmlDeviceGetCount": lambda: 1,
        "nvmlDeviceGetHandleByIndex": lambda index: index, "nvmlDeviceGetName": lambda _: b"H",
        "nvmlSystemGetDriverVersion": lambda: "570.1", "nvmlDeviceGetClockInfo": lambda *_: 345,
        "nvmlDeviceGetMaxClockInfo": lambda *_: 1980, "nvmlDeviceGetTemperature": lambda *_: 41,
        "nvmlDeviceGetCurrentClocksThrottleReasons": lambda _: thermal,
        "nvmlDeviceGetComputeRunningProcesses": lambda _: [types.SimpleNamespace(pid=2**22 + 1)],
    }  # fmt: skip
    for name, answer in answers.items():
        monkeypatch.setattr(nvml.pynvml, name, answer)
    (state,) = look_at_gpus()
    assert [state[key] for key in ("name", "driver", "sm_clock_mhz", "sm_clock_max_mhz")] == ["H", "570.1", 345, 1980]
    assert state["throttled"] == ["SwThermalSlowdown"]
    assert state["processes"] == [{"pid": 2**22 + 1, "name": "unknown"}]


def test_no_driver_is_a_reason(monkeypatch) -> None:
    def init():
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(nvml.pynvml, "nvmlInit", init)
    assert str(look_at_gpus()).startswith("no NVML: ")
