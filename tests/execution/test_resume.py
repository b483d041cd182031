"""Reuse, determinism, interruption: every cell exactly once, with the same predictions as undisturbed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bench.measurement.readings import Reading
from bench.plugins.interfaces import Answered
from bench.results.store import Store
from bench.running import prices

pytestmark = pytest.mark.usefixtures("warm_workers")

KILLS = int(os.environ.get("BENCH_KILLS", "2"))
"""Random moments at which the parent is killed, an early and a late one; ``BENCH_KILLS=20`` for the whole campaign."""

PLUGIN = Path(__file__).with_name("faulty_plugin.py")


def command(out: Path) -> list[str]:
    """The command line of a small run, as a user types it."""
    return [
        sys.executable, "-P", "-m", "bench", "run", "--models", "tones.good,tones.slow", "--dataset", "tones",
        "--recipe", "smoke", "--set", "recipe.epochs=3", "--set", "recipe.budget_seconds=600", "--no-profile",
        "--plugin", str(PLUGIN), "--out", str(out), "--jobs", "2", "--seeds", "0,1",
    ]  # fmt: skip


def contents(out: Path) -> dict[str, tuple[dict[str, float | None], dict[str, np.ndarray]]]:
    """Scores and predictions by cell."""
    store = Store(out)
    records, problems = store.records()
    assert problems == []
    return {
        r.cell.id: (
            {s.name: s.value for s in r.scores},
            {k: v for k, v in store.predictions(r).items() if not k.startswith("curve_seconds")},
        )
        for r in records
    }


def workers_of(out: Path) -> list[int]:
    """Live worker processes, by what the kernel shows of them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = path.read_bytes().replace(b"\0", b" ")
            environ = (path.parent / "environ").read_bytes()
        except OSError:
            continue
        if b"bench.running.worker" in text and f"BENCH_TEST_RUN={out}".encode() in environ:
            found.append(int(path.parent.name))
    return found


@pytest.fixture(scope="module")
def undisturbed(processes, tmp_path_factory):
    """The run that nothing disturbs."""
    out = tmp_path_factory.mktemp("undisturbed")
    env = {**os.environ, "BENCH_CACHE": str(tmp_path_factory.getbasetemp() / "engine-cache")}
    done = processes.run(command(out), env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return contents(out), env


@pytest.mark.slow
def test_the_same_command_again_reuses_every_cell(make_runner) -> None:
    first = make_runner("tones.good").run()
    assert [r.status for r in first.records] == ["ok"] * 3
    assert first.reused == frozenset()
    again = make_runner("tones.good").run()
    assert again.reused == {r.cell for r in again.records}
    assert [r.started_at for r in again.records] == [r.started_at for r in first.records]


def test_a_budget_decision_is_made_again_once_the_machine_is_quiet(make_runner, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))  # costs that no other test may find

    def planned(cores: float, step_s: float) -> tuple[str, list[str]]:
        noted: list[str] = []
        overrides = ("recipe.epochs=2", "recipe.budget_seconds=10")
        runner = make_runner("tones.good", folds=(1,), recipe="quick", overrides=overrides)
        monkeypatch.setattr(prices, "foreign_cpu", lambda: Reading.of(cores))
        monkeypatch.setattr(runner.progress, "note", noted.append)

        def answer(jobs, on_event, _resources) -> None:
            for job in jobs:
                values = {"step_s": step_s, "infer_clip_s": 0.0, "fit_clip_s": None, "data_s": 0.0}
                on_event(Answered(job=job, values=values))

        monkeypatch.setattr(runner.launching, "run", answer)
        plan = runner.preparation.plan(measure=True)
        runner._write_plan(plan)
        return plan.cells[0].decision, noted

    decision, noted = planned(1.5, 30.0)
    assert decision == "over_budget"
    assert "others use 1.5 cores" in noted[0]
    assert planned(1.5, 2.0) == ("run", noted)  # near the limit: the machine was busy, so it runs
    decision, noted = planned(0.0, 30.0)
    assert (decision, noted) == ("run", [])  # and stays in this run


@pytest.mark.slow
def test_another_setting_is_another_cell(make_runner) -> None:
    make_runner("tones.good", folds=(1,)).run()
    other = make_runner("tones.good", folds=(1,), overrides=("recipe.epochs=3",)).run()
    assert other.reused == frozenset()
    records, _ = other and Store(make_runner("tones.good").settings.out).records()
    assert len(records) == 2


@pytest.mark.slow
def test_limit_never_replaces_a_full_result(make_runner) -> None:
    full = make_runner("tones.good", folds=(1,)).run().records[0]
    cut = make_runner("tones.good", folds=(1,), limit=4).run().records[0]
    assert cut.cell != full.cell
    assert cut.provenance["not_publishable"]
    assert cut.provenance["dataset"]["train"] == 4
    assert Store(make_runner("tones.good").settings.out).read(full.cell) == full


@pytest.mark.slow
@pytest.mark.parametrize("moment", range(1, KILLS + 1))
def test_kill_minus_nine_then_the_same_command(processes, undisturbed, tmp_path: Path, moment: int) -> None:
    expected, env = undisturbed
    env = {**env, "BENCH_TEST_RUN": str(tmp_path)}
    process = subprocess.Popen(command(tmp_path), env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(random.Random(moment).uniform(1.0, 9.0))
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 120
    while workers_of(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert workers_of(tmp_path) == []
    done = processes.run(command(tmp_path), env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = contents(tmp_path)
    assert found.keys() == expected.keys()
    for cell, (scores, arrays) in found.items():
        assert scores == expected[cell][0]
        for name, values in arrays.items():
            np.testing.assert_array_equal(values, expected[cell][1][name], err_msg=f"{cell} {name}")
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.slow
def test_ctrl_c_leaves_a_resumable_state(processes, undisturbed, tmp_path: Path) -> None:
    _, env = undisturbed
    env = {**env, "BENCH_TEST_RUN": str(tmp_path)}
    process = subprocess.Popen(
        command(tmp_path), env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a test run in the background ignores it
    )  # fmt: skip
    deadline = time.monotonic() + 300
    while not list((tmp_path / "records").rglob("*.json")) and time.monotonic() < deadline:  # cells run
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=300)
    assert process.returncode == 130, stderr
    assert "the same command runs the rest" in stderr
    assert workers_of(tmp_path) == []
    done = processes.run(command(tmp_path), env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert {r.status for r in Store(tmp_path).records()[0]} == {"ok"}


@pytest.mark.slow
def test_two_runs_in_one_folder_are_refused(make_runner, tmp_path: Path) -> None:
    runner = make_runner("tones.good")
    with runner.store.exclusive(), pytest.raises(Exception, match="another bench run is writing"):
        make_runner("tones.good").run()
