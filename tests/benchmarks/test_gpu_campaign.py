"""The campaign for a machine with a GPU, tried on the CPU: order, resume, time limits, exit status."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu" / "campaign.py"


@pytest.fixture(scope="module")
def gpu() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_gpu_campaign", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def part(gpu, name, code):
    return gpu.Part(name, "a test", (sys.executable, "-c", code), cells=False)


@pytest.fixture
def options(gpu, tmp_path):
    return gpu.Options(device="cpu", data=None, out=tmp_path, dry=True)


def test_done_parts_are_not_run_again(gpu, options, tmp_path):
    once = part(gpu, "once", "import pathlib; pathlib.Path(r'%s').open('a').write('x')" % (tmp_path / "count"))
    assert gpu.campaign([once], options, 600) == {"once": "done"}
    assert gpu.campaign([once], options, 600) == {"once": "done"}
    assert (tmp_path / "count").read_text() == "x"


def test_a_failed_part_is_named_kept_and_tried_again(gpu, options, tmp_path):
    bad = part(gpu, "bad", "import sys; print('why'); sys.exit(7)")
    good = part(gpu, "good", "pass")
    assert gpu.campaign([bad, good], options, 600) == {"bad": "failed (7)", "good": "done"}
    assert "why" in (tmp_path / "bad.txt").read_text()
    assert json.loads((tmp_path / "state.json").read_text())["bad"] == "failed (7)"
    mended = part(gpu, "bad", "pass")
    assert gpu.campaign([mended, good], options, 600)["bad"] == "done"


def test_a_part_over_its_time_is_stopped_and_unfinished(gpu, options):
    endless = part(gpu, "endless", "import time; time.sleep(600)")
    outcome, seconds = gpu.run_part(endless, options, 0.5)
    assert outcome == "unfinished"
    assert seconds < 300


def test_a_part_that_ignores_the_request_is_killed(gpu, options, monkeypatch):
    monkeypatch.setattr(gpu, "GRACE_S", 0.5)
    deaf = part(gpu, "deaf", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)")
    assert gpu.run_part(deaf, options, 1.5)[0] == "unfinished"


def test_without_time_nothing_starts(gpu, options):
    assert gpu.campaign([part(gpu, "late", "pass")], options, 1.0) == {"late": "unfinished"}


def test_every_part_ends_below_ten_minutes_and_all_within_25(gpu):
    assert gpu.PART_S + gpu.GRACE_S < 600
    assert gpu.TOTAL_S <= 25 * 60


def test_every_command_is_one_that_bench_knows(gpu, options):
    from bench.cli.app import VERBS

    for one in gpu.PARTS:
        words = options.command(one)
        if "bench" in words:
            assert words[words.index("bench") + 1] in VERBS
        if one.cells:
            assert words[words.index("--device") + 1] == "cpu"
            assert words[words.index("--dataset") + 1] == "demo"


def test_real_commands_name_their_data(gpu, tmp_path):
    real = gpu.Options(device="cuda", data=tmp_path, out=tmp_path, dry=False)
    for one in gpu.PARTS:
        words = real.command(one)
        assert ("--data" in words) == one.cells
        assert "smoke" not in words


@pytest.mark.slow
def test_the_program_runs_parts_on_the_cpu(tmp_path):
    command = [str(SCRIPT.with_name("run")), "--device", "cpu", "--dry", "--parts", "doctor,trace", "--out", tmp_path]
    environment = {"PYTHON": sys.executable, "PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    state = json.loads((tmp_path / "state.json").read_text())
    assert state["trace"] == "done", (tmp_path / "trace.txt").read_text()
    assert state["doctor"] in ("done", "failed (2)")  # on a busy machine it finds that this is none to measure on
    assert done.returncode == (state["doctor"] != "done"), done.stdout + done.stderr
    assert '"findings"' in (tmp_path / "doctor.txt").read_text()
    assert list((tmp_path / "trace").rglob("*.json"))
