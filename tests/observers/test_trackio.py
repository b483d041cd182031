"""The SQLite file of Trackio holds what the observer was told."""

from __future__ import annotations

import json
import sqlite3

import pytest

from bench.errors import SelectionError

NAME = "trackio"
pytestmark = pytest.mark.filterwarnings("ignore")  # those of what Trackio imports are not ours


@pytest.fixture(scope="module")
def runs(told):
    """Of each run by name: config, and metrics by step."""
    with sqlite3.connect(told / "bench.db") as database:
        logged = database.execute("SELECT run_name, step, metrics FROM metrics ORDER BY id").fetchall()
        configs = dict(database.execute("SELECT run_name, config FROM configs").fetchall())
        watched = database.execute("SELECT count(*) FROM system_metrics").fetchone()
    assert (len(configs), watched) == (4, (0,))
    steps = {name: [(step, json.loads(text)) for run, step, text in logged if run == name] for name in configs}
    return {name: (json.loads(config), steps[name]) for name, config in configs.items()}


def test_epochs_results_units_and_hyperparameters(runs, story) -> None:
    config, [*epochs, (last, final)] = runs[story.ok.cell.id]
    assert epochs == [
        (epoch, {f"epoch/{name}": value for name, value in scores.items()})
        for epoch, scores in enumerate(story.epochs, 1)
    ]
    assert (last, final["final/accuracy"], final["status"]) == (3, story.ok.score("accuracy"), "ok")
    assert final["final/accuracy.unit"] == "fraction"
    assert (config["model"], config["recipe.lr"]) == (story.ok.cell.model, story.recipe["lr"])
    ((_, profiled),) = runs[story.profile.cell.id][1]
    assert {"final/infer_clips_per_s", "final/latency_s", "final/host_peak_mib"} <= profiled.keys()


def test_a_cell_without_a_result_says_why(runs, story) -> None:
    for record in (story.failed, story.lost):
        *_, (_, final) = runs[record.cell.id][1]
        assert (final["status"], final["why"]) == (record.status, record.error.message)


@pytest.mark.usefixtures("told")
def test_another_folder_in_the_same_process_is_refused(story, tmp_path, capsys) -> None:
    from bench.observers.trackio import Trackio

    with pytest.raises(SelectionError, match=r"this process writes Trackio to .*new already; name the same folder"):
        Trackio(folder=tmp_path).cell_start(story.ok.cell, story.recipe)
