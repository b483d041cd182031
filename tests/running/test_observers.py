"""Observers of plugins are named when they raise, switched off, and never a cell's or a run's fault."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from bench import hookimpl
from bench.plugins.discovery import load_modules
from bench.results.store import Store
from bench.running.progress import Observers
from bench.testing.fakes import fake_plugin

TONES = Path(__file__).parents[1] / "execution" / "faulty_plugin.py"
RAISING = """
from pathlib import Path
from bench import hookimpl

SEEN = Path(__file__).with_name("seen.txt")

@hookimpl
def bench_run_start(plan):
    raise RuntimeError("at the start\\nsecond line")

@hookimpl
def bench_cell_start(cell):
    raise SystemExit("no cell")

@hookimpl
def bench_epoch_end(cell, epoch, scores):
    raise KeyError("epoch")

@hookimpl
def bench_cell_finish(record):
    raise ValueError("at the end")

@hookimpl
def bench_run_finish(records, board):
    SEEN.write_text(f"{len(records)} {[row.model.family for section in board.sections for row in section.rows]}")
    raise ValueError("over")
"""


def observers(*modules):
    reports: list = []
    return Observers(load_modules(*modules), lambda *said: reports.append(said)), reports


def test_a_raise_is_reported_once_and_the_others_are_still_told() -> None:
    told: list = []

    @hookimpl(specname="bench_cell_finish")
    def raises(record):
        told.append(("bad", record))
        raise ValueError("first\nsecond")

    good = hookimpl(specname="bench_cell_finish")(lambda record: told.append(("good", record)))
    found, reports = observers(fake_plugin("bad", end=raises), fake_plugin("good", end=good))
    for number in (1, 2):
        found.tell("bench_cell_finish", record=number)
    assert sorted(told) == [("bad", 1), ("good", 1), ("good", 2)]
    line = raises.__code__.co_firstlineno + 3
    assert reports == [("bad", "bench_cell_finish", f"ValueError: first ({__file__}, line {line})")]


def test_what_a_worker_reports_is_said_once() -> None:
    found, reports = observers(fake_plugin("p", bench_cell_start=hookimpl(specname="bench_cell_start")(lambda: None)))
    for _ in range(3):
        found.failed("p", "bench_cell_start", "KeyError: 1")
    assert len(reports) == 1


@pytest.mark.slow
def test_a_run_whose_every_observer_raises_is_a_good_run(processes, tmp_path: Path) -> None:
    plugin = tmp_path / "raising.py"
    plugin.write_text(RAISING)
    out = tmp_path / "out"
    command = [
        sys.executable, "-P", "-m", "bench", "run", "--models", "tones.good", "--dataset", "tones", "--recipe", "smoke",
        "--folds", "1,2", "--no-profile", "--plugin", str(TONES), "--plugin", str(plugin), "--out", str(out),
    ]  # fmt: skip
    done = processes.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert [record.status for record in Store(out).records()[0]] == ["ok", "ok"]
    for hook, (error, line) in {
        "bench_run_start": ("RuntimeError: at the start", 9),
        "bench_cell_start": ("SystemExit: no cell", 13),
        "bench_epoch_end": ("KeyError: 'epoch'", 17),
        "bench_cell_finish": ("ValueError: at the end", 21),
        "bench_run_finish": ("ValueError: over", 26),
    }.items():
        error += f" ({plugin}, line {line})"
        said = f"plugin {str(plugin)!r}: {hook} raised {error}; it is not called again in this run"
        assert done.stderr.count(said) == 1, done.stderr
    assert (tmp_path / "seen.txt").read_text() == "2 ['tones']"
    assert json.loads((out / "leaderboard.json").read_text())["sections"]
