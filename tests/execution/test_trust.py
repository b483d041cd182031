"""What predicting may not do: change the model, or look at the other clips of a batch without its being said."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from bench.cell import Cell
from bench.errors import PluginError
from bench.execution.results import classify
from bench.execution.trust import batch_mates, worse
from bench.job import Job
from bench.plugins.discovery import load
from bench.recipe import Recipe

PLUGIN = Path(__file__).with_name("trust_plugin.py")
PLAIN = Recipe(
    name="plain", epochs=2, batch=10, ema=None, mixup_alpha=0.0, trim_db=None, roll=False, gain_db=0.0, shift=0.0
)


@pytest.fixture(scope="module")
def registry():
    return load((PLUGIN,)).registry


@pytest.fixture
def run(registry, evaluated):
    def one(model: str, mode: str = "scratch", **recipe):
        frontend = registry.models[model].spec.frontend or "waveform"
        settings = PLAIN.model_copy(update=recipe)
        cell = Cell(
            kind="evaluate", dataset="tones", protocol="official@1", fold=0, model=model, mode=mode,
            weights="random", frontend=frontend, recipe="plain", batch=settings.batch, clip_samples=1600,
        )  # fmt: skip
        return evaluated(registry, Job(cell=cell, recipe=settings, fingerprint="f"))

    return one


@pytest.mark.parametrize(
    ("model", "named"),
    [("net.rewrites", "model.head.bias"), ("net.stays_in_train", "model.norm.running_mean"), ("plain.counts", "Plain")],
)
def test_a_model_that_predicting_changes_has_no_result(run, model: str, named: str) -> None:
    with pytest.raises(PluginError, match="predicting changed the model itself") as found:
        run(model)
    assert named in str(found.value)
    assert classify(found.value) == ("failed", "state")


@pytest.mark.parametrize("model", ["net.batch_statistics", "plain.batch_wise"])
def test_a_model_that_feels_its_batch_mates_is_transductive(run, model: str) -> None:
    record = run(model).record
    mates = record.provenance["batch_mates"]
    assert mates["transductive"]
    assert mates["moved"] > 5 * mates["tolerance"]
    assert mates["clips"] == 32
    assert record.provenance["model"]["inductive"] is False


@pytest.mark.parametrize("eval_batch", [1, 7, 64])
@pytest.mark.parametrize("model", ["net.good", "net.batch_norm", "plain.good", "plain.opaque", "plain.large"])
def test_others_are_not(run, model: str, eval_batch: int) -> None:
    record = run(model, eval_batch=eval_batch).record
    assert record.provenance["batch_mates"]["moved"] < 1e-4
    assert record.provenance["batch_mates"]["transductive"] is False
    assert record.provenance["model"]["inductive"] is True
    reason = {"plain.opaque": r"cannot be pickled \(\w+: .*lambda", "plain.large": "more than 64 MB"}.get(model)
    assert record.provenance["predicting"]["changes"] is (None if reason else False)
    assert re.search(reason or "^$", record.provenance["predicting"].get("reason", ""))


def test_a_single_test_clip_tells_nothing_of_batch_mates() -> None:
    alone = batch_mates(lambda index: np.zeros((len(index), 3), np.float32), np.array([7]))
    assert (alone["moved"], alone["transductive"], alone["clips"]) == (None, None, 1)
    assert "one test clip" in alone["reason"]


def test_a_last_batch_of_one_clip_trains_batch_normalisation(run) -> None:
    found = run("net.batch_norm", batch=10)  # 51 training clips
    assert found.record.timing["steps"] == 2 * 5
    with pytest.raises(PluginError, match=r"BatchNorm1d cannot learn from a batch of one clip.*recipe\.batch=8"):
        run("net.batch_norm", batch=1)


@pytest.mark.parametrize("mode", ["probe", "knn"])
def test_frozen_networks_are_looked_at_before_their_classifier(run, mode: str) -> None:
    alone = run("net.batch_norm", mode, eval_batch=10).record  # the last batch of 51 training clips is one clip
    assert alone.provenance["batch_mates"]["moved"] < 1e-4
    assert run("net.frozen", mode).record.provenance["batch_mates"]["moved"] < 1e-4
    assert run("net.batch_statistics", mode).record.provenance["batch_mates"]["transductive"]


def test_what_is_unknown_is_worse_than_what_is_not_felt() -> None:
    felt, unfelt = ({"moved": moved, "transductive": moved > 0.01} for moved in (0.5, 1e-6))
    unknown = {"moved": None, "transductive": None, "reason": "one clip"}
    assert worse(unfelt, unknown) is worse(unknown, unfelt) is unknown
    assert worse(felt, unknown) is worse(unknown, felt) is worse(unfelt, felt) is felt
