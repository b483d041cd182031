"""The gate on files of pytest-benchmark."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from bench.errors import DataError, SelectionError
from bench.gate.baseline import Baseline, parse_baseline
from bench.gate.benchmark_json import collect_benchmarks
from bench.gate.comparison import compare
from bench.gate.policy import DEFAULTS


def content(noise_seed=0, slow=1.0, names=("t.py::test_a[10]", "t.py::test_b"), brand="Test CPU"):
    noise = np.random.default_rng(noise_seed)
    benchmarks = []
    for name in names:
        times = 1e-3 * slow * np.exp(noise.normal(0, 0.03)) * np.exp(noise.normal(0, 0.05, 300))
        stats = {"median": float(np.median(times)), "rounds": 300, "data": times.tolist()}
        benchmarks.append({"fullname": name, "name": name.partition("::")[2], "stats": stats})
    machine = {"node": "secret", "machine": "x86_64", "system": "Linux", "cpu": {"brand_raw": brand, "count": 2}}
    return {"version": "5.1.0", "machine_info": machine, "benchmarks": benchmarks}


def read(values):
    return collect_benchmarks(json.dumps(values), "bench.json")


def gate(candidate, baseline, **options):
    found = read(baseline)
    pinned = Baseline(pinned_at="x", machines=dict(found.machines), rows=found.rows)
    return compare(parse_baseline(pinned.to_json(), "b"), read(candidate), DEFAULTS, **options)


def test_unchanged_passes_ten_times_and_thirty_percent_is_caught():
    baseline = content(99)
    for seed in range(10):
        assert gate(content(seed), baseline).outcome == "passed"
        verdict = gate(content(seed, slow=1.3), baseline)
        assert {f.row for f in verdict.findings if f.status == "regression"} == {"t.py::test_a[10]", "t.py::test_b"}


def test_a_vanished_test_and_another_machine():
    assert gate(content(1, names=("t.py::test_b",)), content(2)).outcome == "vanished"
    with pytest.raises(SelectionError, match=r"Test CPU.*Other CPU"):
        gate(content(1, brand="Other CPU"), content(2))
    with pytest.raises(SelectionError, match="unknown hardware"):
        gate(content(1, brand=None), content(2))
    assert gate(content(1, brand="Other CPU"), content(2), cross_hardware=True).outcome == "vanished"


@pytest.mark.parametrize(
    "stats", [{}, {"median": 1.0, "data": []}, {"median": float("nan")}, {"median": 1.0, "data": [1.0, None]}, None]
)
def test_an_empty_measurement_vanishes(stats):
    broken = copy.deepcopy(content(1))
    broken["benchmarks"][0]["stats"] = stats
    verdict = gate(broken, content(2))
    assert [f.status for f in verdict.findings].count("vanished") == 1


def test_a_file_without_raw_times_is_compared_by_its_medians():
    old, new = content(1), content(2, slow=1.5)
    for values in (old, new):
        for entry in values["benchmarks"]:
            del entry["stats"]["data"]
    verdict = gate(new, old)
    assert verdict.outcome == "regression"
    assert "no interval" in verdict.findings[0].reason


def test_no_host_name_is_kept():
    assert "secret" not in Baseline(pinned_at="x", rows=read(content()).rows).to_json()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{torn", "not a whole JSON file"),
        ("[]", "not a file of pytest-benchmark"),
        ('{"benchmarks": [1]}', "not a file of pytest-benchmark"),
        (json.dumps(content(names=("a", "a"))), "in it twice: a"),
    ],
)
def test_other_files_are_refused(text, words):
    with pytest.raises(DataError, match=words):
        collect_benchmarks(text, "bench.json")


def test_a_real_file_of_pytest_benchmark_is_read(tmp_path):
    (tmp_path / "test_real.py").write_text("def test_sum(benchmark):\n    benchmark(sum, range(100))\n")
    words = ["-q", "-p", "no:cacheprovider", "--benchmark-json=out.json", "--benchmark-max-time=0.01"]
    command = [sys.executable, "-P", "-m", "pytest", *words, "test_real.py"]
    # Seen as part of an outer parallel run, pytest-benchmark would switch itself off.
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    text = (tmp_path / "out.json").read_text(encoding="utf-8")
    (row,) = collect_benchmarks(text, "out.json").rows
    assert row.name == "test_real.py::test_sum"
    assert 1e-8 < row.quantities["latency"].processes[0] < 1e-2
    assert gate(json.loads(text), json.loads(text), cross_hardware=row.hardware is None) is not None
