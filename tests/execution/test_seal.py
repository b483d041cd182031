"""The targets of test clips are nowhere in the process that fits; the host scores what it predicts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.data.locate import open_clips
from bench.plugins.interfaces import Finished
from bench.results.store import npz_bytes
from bench.running.scoring import completed

pytestmark = pytest.mark.usefixtures("warm_workers")

PLUGIN = Path(__file__).with_name("seal_plugin.py")


@pytest.fixture
def run(make_runner):
    def go(*models: str, **selection):
        runner = make_runner(*models, settings={"plugins": (PLUGIN,)}, **{"datasets": ("secret",)} | selection)
        return runner, runner.run()

    return go


def test_no_model_finds_the_targets_of_its_test_clips(run) -> None:
    runner, result = run("thief.estimator", "thief.net", "thief.pictures")
    assert [(r.status, r.error and r.error.message) for r in result.records] == [("ok", None)] * 3
    clips = runner.preparation.loaded["secret"].clips
    for record in result.records:
        arrays = runner.store.predictions(record)
        assert arrays["targets"].tolist() == clips.targets[40:].tolist()
        assert arrays["groups"].tolist() == list(clips.groups[40:])
        assert arrays["ids"].tolist() == list(clips.ids[40:])
        assert record.score("accuracy") == np.mean(arrays["logits"].argmax(axis=1) == arrays["targets"])
        assert record.provenance["protocol"]["test_targets"] == "scored outside"
        dataset = record.provenance["dataset"]
        assert dataset["report"]["named"]["silent"] == [clips.ids[3], clips.ids[45]]
        assert f"silent: {clips.ids[3]}, {clips.ids[45]}" in "".join(record.provenance["not_publishable"])
        assert dataset["majority_accuracy"] == np.mean(
            clips.targets[40:] == clips.label_names.index(dataset["majority_label"])
        )


def test_selection_on_test_says_that_targets_were_seen(make_runner) -> None:
    (record,) = make_runner("tones.good", protocol="paper-style", folds=(1,)).run().records
    assert record.provenance["protocol"]["test_targets"] == "seen by the process that fits"
    assert record.provenance["protocol"]["ranked"] is False
    assert record.score("accuracy") is not None


def test_pictures_come_from_outside(run) -> None:
    _, result = run("thief.pictures", overrides=("recipe.epochs=40", "recipe.lr=0.1"))
    (record,) = result.records  # the pictures give the label away
    assert record.score("accuracy") > 0.9


def test_what_a_loader_raises_is_told_with_its_own_traceback(run, make_runner) -> None:
    runner, result = run("thief.estimator")
    job = runner.preparation.job(result.plan.cells[0], runner.launching.side_by_side)
    events: list = []
    broken = replace(job, cell=replace(job.cell, dataset="broken"))
    runner.launching.run([broken], events.append, runner.launching.side_by_side)
    failure = events[-1].record.error
    assert (failure.reason, failure.stage) == ("raised", "data")
    assert failure.message == "NotImplementedError: no such folder here"
    assert "in load_broken" in failure.detail


def test_other_data_than_the_hosts_is_not_scored(run) -> None:
    runner, result = run("thief.estimator")
    registry, (record,) = runner.host.registry, result.records
    job = runner.preparation.job(result.plan.cells[0], runner.launching.side_by_side)
    clips = open_clips(registry.datasets["secret"].spec, load=registry.datasets["secret"].factory)
    arrays = npz_bytes(dict(runner.store.predictions(record)))
    event = Finished(job=job, record=record, files={"predictions.npz": arrays})
    assert completed(registry, clips, event).record.scores == record.scores
    for other, files in ((replace(clips, manifest_sha256="other"), event.files), (clips, {})):
        done = completed(registry, other, replace(event, files=files))
        assert (done.record.status, done.record.error.reason, done.files) == ("failed", "data", {})
        assert done.record.scores == ()
