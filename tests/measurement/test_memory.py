import json
import mmap
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

import bench
from bench.measurement.device_memory import DevicePeak
from bench.measurement.memory import (
    HostPeak,
    oom_kills,
    parse_fields,
    peak_resident,
    reset_peak,
    resident,
)

resettable = pytest.mark.skipif(reset_peak() is not None, reason="this kernel does not let VmHWM be reset")


def fresh(mib: int) -> np.ndarray:
    """Touched memory straight from the kernel: malloc might hand out pages that are resident already."""
    block = np.frombuffer(mmap.mmap(-1, mib << 20), dtype=np.uint8)
    block[:] = 1
    return block


@resettable
def test_known_allocation_is_measured_within_1_mib():
    with HostPeak() as peak:
        block = fresh(64)
        time.sleep(0.05)
        del block
    assert peak.growth_mib.value == pytest.approx(64.0, abs=1.0)
    assert peak.peak_mib.value == pytest.approx(peak.start_mib.value + 64.0, abs=1.0)


@resettable
def test_a_phase_does_not_inherit_the_peak_of_the_one_before():
    with HostPeak() as large:
        block = fresh(64)
        del block
    with HostPeak() as small:
        block = fresh(8)
        del block
    assert small.growth_mib.value == pytest.approx(8.0, abs=1.0)
    assert small.peak_mib.value < large.peak_mib.value - 40


@resettable
def test_the_phase_ends_although_its_block_raised():
    with pytest.raises(RuntimeError), HostPeak() as peak:
        raise RuntimeError
    assert peak.peak_mib.value is not None


def test_untouched_memory_does_not_count():
    with HostPeak() as peak:
        block = np.empty(64 << 17)
        del block
    assert peak.growth_mib.reason is not None or peak.growth_mib.value < 8  # of 64


def test_where_the_kernel_bars_the_reset_there_is_a_reason(tmp_path):
    with HostPeak(proc=tmp_path) as peak:
        pass
    assert peak.peak_mib.value is None
    assert "clear_refs" in peak.peak_mib.reason
    assert peak.growth_mib.value is None


def test_resident_agrees_with_psutil():
    assert resident().value == pytest.approx(psutil.Process().memory_info().rss / 2**20, rel=0.02)
    assert peak_resident().value >= resident().value * 0.99


def test_parse_fields():
    text = "Name:\tpython\nVmHWM:\t    2048 kB\nThreads:\t3\n55d0-55d1 ---p 00000000 00:00 0 [rollup]\nPss:   512 kB\n"
    assert parse_fields(text) == {"VmHWM": 2.0, "Pss": 0.5}


CHILD = """
import sys, time
import numpy as np
from bench.measurement.memory import peak_resident, reset_peak
reset_peak()
block = np.ones(48 << 17)
print("held", flush=True)
sys.stdin.readline()
print(peak_resident().value, flush=True)
sys.stdin.readline()
"""


def _child_peak():
    """Peak as the child reads it, and the highest resident set that its parent saw."""
    command = [sys.executable, "-P", "-c", CHILD]
    root = str(Path(bench.__file__).parents[1])
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True, cwd=root, env={"PYTHONPATH": root}) as child:
        assert child.stdout.readline() == "held\n"
        seen = max(psutil.Process(child.pid).memory_info().rss for _ in range(20)) / 2**20
        child.stdin.write("\n")
        child.stdin.flush()
        own = float(child.stdout.readline())
        child.communicate("\n", timeout=300)
    return own, seen


@resettable
def test_peak_of_a_worker_equals_independent_sampling_whatever_its_parent_weighs():
    own, seen = _child_peak()
    assert own == pytest.approx(seen, rel=0.02)
    ballast = np.ones(300 << 17)
    heavy, _ = _child_peak()
    del ballast
    assert heavy == pytest.approx(own, rel=0.02)


def _tree(root: Path, cgroup: str, files: dict[str, str]) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(cgroup)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_oom_kills_of_cgroup_v2(tmp_path):
    root = _tree(tmp_path, "0::/user/job\n", {"user/job/memory.events": "low 0\noom 4\noom_kill 3\noom_group_kill 0\n"})
    assert oom_kills(root=root) == 3


def test_oom_kills_of_cgroup_v1(tmp_path):
    files = {"memory/docker/x/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"}
    assert oom_kills(root=_tree(tmp_path, "4:memory:/docker/x\n0::/\n", files)) == 2


def test_oom_kills_where_a_container_sees_its_group_as_the_root(tmp_path):
    root = _tree(tmp_path, "0::/kubepods/pod1\n", {"memory.events": "oom_kill 7\n"})
    assert oom_kills(root=root) == 7


def test_oom_kills_unknown_is_none_never_zero(tmp_path):
    assert oom_kills(root=tmp_path) is None
    assert oom_kills(root=_tree(tmp_path / "other", "0::/\n", {})) is None


def test_device_memory_on_cpu_is_unknown_with_a_reason():
    with DevicePeak("cpu") as peak:
        pass
    values = peak.to_json()
    assert values["device_peak_mib"] is None
    assert "host memory" in values["reasons"]["device_peak_mib"]
    json.dumps(values)


@pytest.mark.gpu
def test_known_allocation_on_the_device():
    import torch

    torch.zeros(1, device="cuda")
    with DevicePeak("cuda") as peak:
        block = torch.ones(64 << 18, device="cuda")
        del block
    start, top = (peak.readings[name].value for name in ("device_start_mib", "device_peak_mib"))
    assert top - start == pytest.approx(64.0, abs=0.01)
    assert peak.readings["device_used_mib"].value >= peak.readings["device_reserved_mib"].value
