"""``bench doctor`` from the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench.__main__ import main
from bench.measurement.noise import Noise
from bench.studies.doctor import run


def test_a_busy_neighbour_is_named(tmp_path: Path) -> None:
    busy = tmp_path / "spinning-fan"
    busy.symlink_to(Path(sys.executable).resolve())
    # Isolated and without site packages: nothing but the loop.
    spinner = subprocess.Popen([busy, "-I", "-S", "-c", "while True: pass"], stderr=subprocess.DEVNULL)
    command = [sys.executable, "-P", "-m", "bench", "doctor", "--json", "--out", str(tmp_path)]
    named: list[dict[str, str]] = []
    try:
        for _ in range(20):  # on a machine that many share, it may have no tenth of a core just now
            done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
            found = json.loads(done.stdout)
            named = [one for one in found["findings"] if one["kind"] == "neighbour" and busy.name in one["message"]]
            if named:
                break
    finally:
        spinner.kill()
        spinner.wait()
    assert done.returncode == (0 if found["fit"] else 2), done.stderr  # the machine of the test may be busy
    assert spinner.pid in {one["pid"] for one in found["neighbours"]}
    assert [one["command"] for one in named] == [f"ps -o pid,etime,pcpu,comm -p {spinner.pid}"]
    assert found["noise"]["score"] > 0
    assert all(one["command"] for one in found["findings"])


@pytest.fixture
def unhurried(monkeypatch):
    quiet = run._Quiet(noise={"score": 0.2, "slowest_ratio": 2.0, "repetitions": 9.0}, neighbours=[], findings=[])
    monkeypatch.setattr(run, "_noise", lambda: quiet)


def test_text_shows_facts_and_verdict(unhurried, capsys, tmp_path) -> None:
    assert main(["doctor", "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "20.0% (slowest / fastest 2.00)" in out
    assert "torchvision" in out
    assert out.splitlines()[-1].startswith("fit to measure")


def test_a_machine_that_is_all_noise_is_not_fit(monkeypatch, capsys, tmp_path) -> None:
    monkeypatch.setattr(run, "measure_noise", lambda: Noise(seconds=np.asarray([1.0, 1.0, 9.0])))
    monkeypatch.setattr(run, "busy_neighbours", lambda: ())
    assert main(["doctor", "--out", str(tmp_path)]) == 2
    said = capsys.readouterr().out
    assert "problem: the same work varies by 126%" in said
    assert said.splitlines()[-1].startswith("not fit to measure")


def test_a_broken_plugin_ends_with_2_and_says_so(unhurried, capsys, tmp_path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("import nothing_of_this_name\n")
    assert main(["doctor", "--json", "--plugin", str(broken), "--out", str(tmp_path)]) == 2
    found = json.loads(capsys.readouterr().out)
    assert not found["fit"]
    assert found["plugins"] is None
    assert found["findings"][0]["level"] == "problem"
    assert "nothing_of_this_name" in found["findings"][0]["message"]


def test_a_plugin_that_prints_leaves_the_json_whole(unhurried, capsys, tmp_path) -> None:
    loud = tmp_path / "loud.py"
    loud.write_text(
        "from bench import ModelSpec, hookimpl\nprint('hello')\n"
        "@hookimpl\ndef bench_add_models():\n    return [ModelSpec(name='loud.one', factory=':build')]\n"
        "def build(task):\n    return None\n"
    )
    assert main(["doctor", "--json", "--plugin", str(loud), "--out", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out)["fit"]


def test_help_has_the_options(capsys) -> None:
    assert main(["doctor", "--help"]) == 0
    assert "--json" in capsys.readouterr().out


def test_the_command_needs_no_torch_to_be_imported() -> None:
    code = "import sys, bench.cli.doctor; sys.exit('torch' in sys.modules)"
    env = {**os.environ, "PYTHONSAFEPATH": "1"}
    assert subprocess.run([sys.executable, "-c", code], check=False, env=env).returncode == 0
