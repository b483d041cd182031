import os
import subprocess
import sys

import numpy as np
import pytest

from bench.measurement import noise
from bench.measurement.machine import CONTENDED_SHARE
from bench.measurement.noise import Neighbour, Noise, busy_neighbours, diagnose, measure_noise

# A grandchild whose parent ends at once: it runs on this machine, but not in this process's tree.
ORPHAN = """
import subprocess, sys
code = "import time; end = time.time() + 600\\nwhile time.time() < end: pass"
null = subprocess.DEVNULL
print(subprocess.Popen([sys.executable, "-c", code], stdin=null, stdout=null, stderr=null).pid, flush=True)
"""


def test_score_of_known_times():
    times = Noise(seconds=np.asarray([1.0, 2.0, 3.0]))
    assert times.score == pytest.approx(0.5)
    assert times.slowest_ratio == 3.0


def test_noise_is_measured():
    result = measure_noise(repetitions=20)
    assert result.seconds.shape == (20,)
    assert (result.seconds > 0).all()
    assert result.score >= 0


def test_an_injected_busy_neighbour_is_named():
    pid = int(subprocess.run([sys.executable, "-c", ORPHAN], check=True, capture_output=True, text=True).stdout)
    try:
        found = next((one for _ in range(200) for one in busy_neighbours(interval_s=0.5) if one.pid == pid), None)
        assert found is not None
        assert found.cores >= CONTENDED_SHARE
        quiet = Noise(seconds=np.asarray([1.0, 1.0]))
        finding = diagnose(noise=quiet, neighbours=[found])[0]
        assert finding.kind == "neighbour"
        assert str(pid) in finding.message
        assert finding.command == f"ps -o pid,etime,pcpu,comm -p {pid}"
    finally:
        os.kill(pid, 9)


def test_own_child_is_no_neighbour():
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as child:
        try:
            assert child.pid not in {one.pid for one in busy_neighbours(interval_s=0.3)}
        finally:
            child.kill()


def test_every_finding_ends_in_a_command(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(noise, "governor", lambda: "powersave")
    monkeypatch.setattr(noise.os, "getloadavg", lambda: (999.0, 0.0, 0.0))
    loud = Noise(seconds=np.asarray([1.0, 2.0]))
    findings = diagnose(noise=loud, neighbours=[Neighbour(pid=1, name="init", cores=1.0)])
    assert [finding.kind for finding in findings] == ["neighbour", "noise", "governor", "load", "threads"]
    assert all(finding.command and str(finding).endswith(f"`{finding.command}`") for finding in findings)


@pytest.mark.parametrize(
    ("score", "load", "unfit"),
    [(2.17, 0.5, {"noise"}), (0.1, 12.0, {"load"}), (0.2, 3.0, set()), (2.17, 12.0, {"noise", "load"})],
)
def test_what_hides_every_measurement_is_a_problem(monkeypatch, score, load, unfit):
    monkeypatch.setattr(noise.os, "getloadavg", lambda: (load, 0.0, 0.0))
    monkeypatch.setattr(noise.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(Noise, "score", score)
    found = diagnose(noise=Noise(seconds=np.ones(2)), neighbours=[])
    assert {one.kind for one in found if one.level == "problem"} == unfit


def test_a_quiet_machine_has_no_findings(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(noise, "governor", lambda: "performance")
    monkeypatch.setattr(noise.os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    assert diagnose(noise=Noise(seconds=np.asarray([1.0, 1.01])), neighbours=[]) == ()
