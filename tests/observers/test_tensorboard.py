"""TensorBoard reads back from its own files what the observer was told."""

from __future__ import annotations

import subprocess
import sys

import pytest

NAME = "tensorboard"


@pytest.fixture
def read(tmp_path):
    """``read(cell)``: what TensorBoard loads of a cell's folder."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def load(cell):
        return EventAccumulator(str(tmp_path / "new" / cell.id)).Reload()

    return load


def hyperparameters(events):
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    content = events.PluginTagToContent("hparams")
    start = HParamsPluginData.FromString(content["_hparams_/session_start_info"]).session_start_info
    end = HParamsPluginData.FromString(content["_hparams_/session_end_info"]).session_end_info
    return {key: getattr(value, value.WhichOneof("kind")) for key, value in start.hparams.items()}, end.status


def test_epochs_results_and_hyperparameters_of_each_cell(observer, story, read) -> None:
    story.tell(observer)
    events = read(story.ok.cell)
    for name in story.epochs[0]:
        told = [(event.step, event.value) for event in events.Scalars(f"epoch/{name}")]
        assert told == [(epoch, pytest.approx(scores[name])) for epoch, scores in enumerate(story.epochs, 1)]
    (accuracy,) = events.Scalars("final/accuracy")
    assert accuracy.value == pytest.approx(story.ok.score("accuracy"))
    assert events.SummaryMetadata("final/accuracy").summary_description == "fraction"
    parameters, status = hyperparameters(events)
    assert (parameters["model"], parameters["fold"], status) == (story.ok.cell.model, 1.0, 1)
    assert parameters["recipe.lr"] == pytest.approx(story.recipe["lr"])
    (text,) = events.Tensors("status")
    assert text.tensor_proto.string_val == [b"ok"]
    profiled = read(story.profile.cell).Tags()["scalars"]
    assert {"final/infer_clips_per_s", "final/latency_s", "final/host_peak_mib"} <= set(profiled)


def test_a_cell_without_a_result_says_why(observer, story, read) -> None:
    story.tell(observer)
    for record, epochs in ((story.failed, 2), (story.lost, 0)):
        events = read(record.cell)
        (text,) = events.Tensors("status")
        assert text.tensor_proto.string_val == [f"{record.status}: {record.error.message}".encode()]
        assert hyperparameters(events)[1] == 2  # of Status: failure
        assert len(events.Scalars("epoch/train_loss") if epochs else []) == epochs


def test_a_cell_that_runs_again_is_shown_once(observer, story, read) -> None:
    story.tell(observer)
    story.tell(observer)
    events = read(story.ok.cell)
    assert [event.step for event in events.Scalars("epoch/train_loss")] == [1, 2]
    assert len(events.Scalars("final/accuracy")) == 1


@pytest.mark.usefixtures("observer")
def test_neither_torch_nor_tensorflow_is_imported(tmp_path) -> None:
    code = f"""
import pathlib, sys
from bench.observers.tensorboard import TensorBoard
TensorBoard(folder=pathlib.Path({str(tmp_path)!r})).begin("a", {{"b": True}}).close()
print([name for name in ("torch", "tensorflow") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
