"""MLflow's own client reads back from the SQLite file what the observer was told."""

from __future__ import annotations

import json

import pytest

NAME = "mlflow"
pytestmark = pytest.mark.filterwarnings("ignore")  # those of what MLflow imports are not ours


@pytest.fixture(scope="module")
def runs(told):
    """The client, and the runs of the experiment by name."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{told}/mlflow.db")
    experiment = client.get_experiment_by_name("bench")
    found = client.search_runs([experiment.experiment_id])
    assert len({run.info.run_name for run in found}) == len(found) == 4
    return client, {run.info.run_name: run for run in found}


def test_epochs_results_units_and_hyperparameters(runs, story) -> None:
    client, found = runs
    run = found[story.ok.cell.id]
    for name in story.epochs[0]:
        history = client.get_metric_history(run.info.run_id, f"epoch/{name}")
        assert [(metric.step, metric.value) for metric in history] == [
            (epoch, scores[name]) for epoch, scores in enumerate(story.epochs, 1)
        ]
    assert run.data.metrics["final/accuracy"] == story.ok.score("accuracy")
    assert run.data.tags["unit.final/accuracy"] == "fraction"
    assert (run.info.status, run.data.tags["status"]) == ("FINISHED", "ok")
    assert run.data.params["model"] == story.ok.cell.model
    assert run.data.params["recipe.lr"] == str(story.recipe["lr"])
    assert json.loads(run.data.params["recipe.betas"]) == list(story.recipe["betas"])
    profiled = found[story.profile.cell.id].data.metrics
    assert {"final/infer_clips_per_s", "final/latency_s", "final/host_peak_mib"} <= profiled.keys()


def test_a_cell_without_a_result_says_why(runs, story) -> None:
    for record in (story.failed, story.lost):
        run = runs[1][record.cell.id]
        assert (run.info.status, run.data.tags["status"]) == ("FAILED", record.status)
        assert run.data.tags["why"] == record.error.message


def test_a_name_that_mlflow_refuses_is_still_written(told, story) -> None:
    from bench.observers.mlflow import MLflow

    observer = MLflow(folder=told, project="odd")
    observer.cell_start(story.ok.cell, {})
    observer.epoch_end(story.ok.cell, 1, {"val_my+score": 0.5})
    observer.close()
    client, experiment = observer._store
    (run,) = client.search_runs([experiment])
    assert (run.data.metrics, run.info.status) == ({"epoch/val_my_score": 0.5}, "KILLED")


@pytest.mark.usefixtures("told")
def test_nothing_is_sent() -> None:
    from mlflow.telemetry import get_telemetry_client

    assert get_telemetry_client() is None
