"""The A/A benchmark on made-up times: what it counts, how it pools, how it goes on."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "aa.py"


@pytest.fixture(scope="module")
def aa() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_aa", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def made(aa, rng, shift=0.0, processes=8):
    def times(by):
        return {name: np.exp(rng.normal(by, 0.03, processes)).tolist() for name in aa.MEASURES}

    return aa.Pair(a=times(0.0), b=times(shift), foreign_cores=0.0, seconds=1.0)


def test_equal_runs_contain_one_about_as_often_as_promised(aa):
    rng = np.random.default_rng(0)
    found = aa.summary([made(aa, rng) for _ in range(200)])
    for count in found["contain_one"].values():
        assert 180 <= count <= 199


def test_a_run_five_percent_slower_does_not(aa):
    rng = np.random.default_rng(1)
    pairs = [made(aa, rng, shift=0.05) for _ in range(40)]
    assert all(count < 20 for count in aa.summary(pairs)["contain_one"].values())


def test_more_processes_narrow_the_interval(aa):
    rng = np.random.default_rng(2)
    widths = aa.summary([made(aa, rng) for _ in range(16)])["width_by_pairs_pooled"]["infer"]
    assert widths["16"] < widths["4"] < widths["1"]


def test_it_goes_on_where_it_stopped_and_alternates(aa, tmp_path, monkeypatch, capsys):
    order = []
    monkeypatch.setattr(aa, "measure", lambda _selection, turn: order.append(turn) or dict.fromkeys(aa.MEASURES, 1.0))
    out = tmp_path / "aa.jsonl"
    for pairs, runs in (("1", 16), ("3", 48)):
        monkeypatch.setattr(sys, "argv", ["aa.py", "--out", str(out), "--pairs", pairs])
        assert aa.main() == 0
        assert len(order) == runs
    assert len(out.read_text().splitlines()) == 3
    assert order[:6] == [0, 0, 1, 1, 2, 2]
    assert json.loads(out.read_text().splitlines()[0])["foreign_cores"] is not None
