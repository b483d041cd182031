"""The pytest plugin as an outsider uses it: in a pytest of its own, on a file and on an installed distribution."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.__main__ import main
from bench.testing.fakes import FakeDistribution, write_distribution

MODEL = """
from bench import MetricSpec, ModelSpec, hookimpl

@hookimpl
def bench_add_models():
    sound = ModelSpec(name="mine.net", factory=":build", recipes={"full": {"lr": 0.01}})
    return [sound, ModelSpec(name="mine.leaky", factory=":build", options={"leaky": True})]

@hookimpl
def bench_add_metrics():
    return [MetricSpec(name="error_rate", compute=":error_rate", higher_is_better=False)]

def build(task, leaky=False):
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(100, task.num_classes)

        def forward(self, audio):
            x = 10 * audio.unflatten(1, (100, -1))[..., 0]
            return self.head(x - x.mean(0) if leaky else x)

    return Net()

def error_rate(logits, targets):
    return float((logits.argmax(1) != targets).mean())
"""
TEST = "def test_conformance(bench_case):\n    bench_case.check()\n"


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Pytest with nothing but our plugin, and one thread."""
    command = [sys.executable, "-P", "-m", "pytest", "-p", "bench.testing.pytest_plugin", "-v", *arguments]
    inherited = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "OMP_NUM_THREADS": "1", **environment}
    inherited.pop("PYTEST_ADDOPTS", None)
    return subprocess.run(command, cwd=folder, env=inherited, capture_output=True, text=True, check=False)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "test_mine.py").write_text(TEST, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n", encoding="utf-8")
    return tmp_path


def test_a_file_is_checked_subject_by_subject(project):
    (project / "mine.py").write_text(MODEL, encoding="utf-8")
    done = run(project, "--bench-plugin", "mine.py")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "test_conformance[model-mine.net] PASSED" in done.stdout
    assert "test_conformance[metric-error_rate] PASSED" in done.stdout
    assert "test_conformance[model-mine.leaky] FAILED" in done.stdout
    assert "failed: model mine.leaky: batch_mates: other batch mates change" in done.stdout
    assert "1 failed, 2 passed" in done.stdout


def test_the_ini_option_names_an_installed_distribution(project):
    fake = FakeDistribution("bench-mine", modules={"bench_mine": MODEL}, entry_points={"mine": "bench_mine"})
    write_distribution(project / "site", fake)
    (project / "pytest.ini").write_text("[pytest]\nbench_plugin = bench-mine\n", encoding="utf-8")
    path = os.pathsep.join([str(project / "site"), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = run(project, "--collect-only", PYTHONPATH=path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("<Function test_conformance[") == 3
    assert "test_conformance[metric-error_rate]" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "set bench_plugin in the pytest configuration"),
        (("--bench-plugin", "calmm"), "Did you mean 'calm'?"),
        (("--bench-plugin", "missing.py"), "it is missing"),
    ],
)
def test_what_is_missing_is_said(project, arguments, says):
    done = run(project, *arguments)
    assert done.returncode != 0
    assert says in done.stdout + done.stderr


def test_loading_the_plugin_imports_no_torch():
    code = "import sys, bench.testing.pytest_plugin; print({'torch', 'numpy', 'pluggy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert "torch" not in done.stdout
    assert "numpy" not in done.stdout


TIMED = """
import pytest

@pytest.mark.parametrize("wait", [0.001, SLOW])
def test_speed(bench_timer, monkeypatch, wait):
    from bench.measurement import clocks, latency

    now = [0.0]  # a clock of its own: what is tested is the way of the times

    def call(index):
        now[0] += wait * (1 + index % 3 / 100)

    monkeypatch.setattr(clocks, "perf_counter", lambda: now[0])
    rule = latency.Sampling(warmup_calls=1, warmup_seconds=0.0, min_samples=30, min_seconds=0.0)
    found = bench_timer(call, sampling=rule)
    assert found.host.median >= wait
"""


def test_times_go_to_the_gate_in_the_format_of_pytest_benchmark(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for name, slow in (("base", "0.002"), ("slower", "0.004")):
        (tmp_path / "test_t.py").write_text(TIMED.replace("SLOW", f"pytest.param({slow}, id='slow')"))
        done = run(tmp_path, "--bench-json", f"{name}.json")
        assert done.returncode == 0, done.stdout
    base, slower = tmp_path / "base.json", tmp_path / "slower.json"
    assert main(["gate", str(base), str(base)]) == 0
    capsys.readouterr()
    assert main(["gate", str(base), str(slower)]) == 3
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("regression ")]
    assert "test_t.py::test_speed[slow]" in line
    renamed = slower.read_text().replace("test_speed[slow]", "test_quick[slow]")
    slower.write_text(renamed)
    assert main(["gate", str(base), str(slower)]) == 4
    told = subprocess.run(
        [sys.executable, "-P", "-m", "pytest_benchmark", "compare", str(base)], capture_output=True, text=True,
        check=False, cwd=tmp_path,
    )  # fmt: skip
    assert told.returncode == 0
    assert "test_speed[slow]" in told.stdout


def test_one_thing_is_timed_a_test(tmp_path: Path) -> None:
    text = "def test_two(bench_timer):\n    bench_timer(lambda i: None)\n    bench_timer(lambda i: None)\n"
    (tmp_path / "test_t.py").write_text(text)
    done = run(tmp_path)
    assert done.returncode == 1
    assert "times one thing a test" in done.stdout
