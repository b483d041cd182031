"""The A/A benchmark on made-up times: what it counts, how it pools, how it goes on."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from bench.config.selection import Selection

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "aa.py"


@pytest.fixture(scope="module")
def aa() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_aa", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def made(aa, rng, shifts=(0.0, 0.0), processes=8):
    def times(by):
        return {name: np.exp(rng.normal(by, 0.03, processes)).tolist() for name in aa.MEASURES}

    return aa.Round(cell="a cell", runs=[times(shift) for shift in shifts], foreign_cores=0.0, seconds=1.0)


def test_equal_runs_contain_one_about_as_often_as_promised(aa):
    rng = np.random.default_rng(0)
    found = aa.summary([made(aa, rng) for _ in range(200)])
    assert found["pairs"] == found["disjoint_pairs"] == 200
    for count in found["contain_one"].values():
        assert 180 <= count <= 199


def test_a_run_five_percent_slower_does_not(aa):
    rng = np.random.default_rng(1)
    rounds = [made(aa, rng, shifts=(0.0, 0.05)) for _ in range(40)]
    assert all(count < 20 for count in aa.summary(rounds)["contain_one"].values())


def test_four_runs_together_give_six_pairs_of_which_two_share_no_run(aa):
    rng = np.random.default_rng(3)
    found = aa.summary([made(aa, rng, shifts=(0.0, 0.0, 1.0, 1.0)) for _ in range(5)])
    assert (found["pairs"], found["disjoint_pairs"]) == (30, 10)
    for name in aa.MEASURES:
        assert found["contain_one"][name] == found["disjoint_contain_one"][name] <= 10
    table = aa.page(found)
    assert "of 30" in table
    assert "of 10" in table


def test_more_processes_narrow_the_interval(aa):
    rng = np.random.default_rng(2)
    widths = aa.summary([made(aa, rng) for _ in range(16)])["width_by_processes_a_side"]["infer"]
    assert list(widths) == ["8", "16", "32", "64", "128"]
    assert widths["128"] < widths["32"] < widths["8"]


def test_it_goes_on_where_it_stopped(aa, tmp_path, monkeypatch, capsys):
    turns = []
    monkeypatch.setattr(aa, "measure", lambda _selection, turn: turns.append(turn) or dict.fromkeys(aa.MEASURES, 1.0))
    out, table = tmp_path / "aa.jsonl", tmp_path / "aa.md"
    for pairs, runs in (("1", 16), ("3", 48)):
        monkeypatch.setattr(sys, "argv", ["aa.py", "--out", str(out), "--pairs", pairs, "--to", str(table)])
        assert aa.main() == 0
        assert len(turns) == runs
    assert len(out.read_text().splitlines()) == 3
    assert turns[:6] == [0, 0, 1, 1, 2, 2]
    assert json.loads(out.read_text().splitlines()[0])["foreign_cores"] is not None
    assert "3 of 3" in table.read_text()


def test_every_run_has_every_place_as_often(aa, monkeypatch):
    clock = iter(range(1000))
    monkeypatch.setattr(aa, "measure", lambda _selection, _turn: dict.fromkeys(aa.MEASURES, float(next(clock))))
    found = aa.run_round(Selection(models=("m",), datasets=("d",)), 0, 8, 4)
    places = [sorted(int(value) % 4 for value in run["infer"]) for run in found.runs]
    assert places == [[0, 0, 1, 1, 2, 2, 3, 3]] * 4


def test_one_run_is_no_pair(aa, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["aa.py", "--out", str(tmp_path / "aa.jsonl"), "--together", "1"])
    with pytest.raises(SystemExit, match="2"):
        aa.main()
    assert "--together is 1" in capsys.readouterr().err


def test_rounds_of_another_cell_are_not_mixed_in(aa, tmp_path, monkeypatch, capsys):
    out = tmp_path / "aa.jsonl"
    monkeypatch.setattr(aa, "measure", lambda _selection, _turn: dict.fromkeys(aa.MEASURES, 1.0))
    monkeypatch.setattr(sys, "argv", ["aa.py", "--out", str(out), "--pairs", "1"])
    assert aa.main() == 0
    monkeypatch.setattr(sys, "argv", ["aa.py", "--out", str(out), "--model", "meamtm.micro"])
    with pytest.raises(SystemExit, match="2"):
        aa.main()
    assert "give another --out for meamtm.micro on demo" in capsys.readouterr().err
