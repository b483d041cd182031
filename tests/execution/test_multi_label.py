"""Clips with several labels end to end, and scores that agree with the metric, the front end and the estimator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bench.cell import Cell
from bench.clips import TaskInfo
from bench.config.selection import Selection
from bench.errors import PluginError
from bench.execution.estimators import decided, logits_of
from bench.execution.results import CellResult
from bench.job import Job
from bench.planning.fingerprints import Loaded
from bench.planning.plan import expand
from bench.plugins.discovery import load
from bench.plugins.factories import load_factory
from bench.recipe import Recipe

PLUGIN = Path(__file__).with_name("multilabel_plugin.py")
CLASSICAL = ("classical.knn", "classical.svm", "classical.forest")


@pytest.fixture(scope="module")
def registry():
    return load((PLUGIN,)).registry


@pytest.fixture
def run(registry, evaluated):
    """``run(model, dataset, feeding=..., **recipe)`` one cell of fold 1 in this process."""

    def one(model: str, dataset: str, *, feeding: str = "fly", **settings) -> CellResult:
        spec = registry.models[model].spec
        cell = Cell(
            kind="evaluate", dataset=dataset, protocol="3+1+1@1", fold=1, model=model, feeding=feeding,
            frontend=spec.frontend or "waveform", recipe="plain", batch=8, clip_samples=800,
        )  # fmt: skip
        plain = {"epochs": 2, "batch": 8, "ema": None, "mixup_alpha": 0.0, "trim_db": None, "normalise": "global"}
        recipe = Recipe(name="plain", **(plain | settings))
        return evaluated(registry, Job(cell=cell, recipe=recipe, fingerprint="f"))

    return one


def value(record, name: str) -> float:
    return next(score.value for score in record.scores if score.name == name)


@pytest.mark.parametrize("model", ["several.net", *CLASSICAL])
def test_networks_and_classical_models_learn_several_labels_with_validation(run, model: str) -> None:
    found = run(model, "tags", epochs=30, lr=0.05)
    assert value(found.record, "map") > 0.9
    assert value(found.record, "macro_f1") > 0.7
    if model == "several.net":
        assert found.arrays["curve_val_map"].shape == (30,)
        assert "curve_val_accuracy" not in found.arrays
        assert found.record.timing["selected_epoch"] == found.arrays["curve_val_map"].argmax() + 1


def test_epochs_are_selected_by_the_data_sets_metric_in_its_direction(run) -> None:
    found = run("several.net", "tags_by_loss", epochs=12, lr=0.9)
    curve = found.arrays["curve_val_log_loss"]
    assert found.record.timing["selected_epoch"] == curve.argmin() + 1
    assert curve.argmin() != curve.argmax()


def test_a_model_of_one_label_is_incompatible_with_several(registry) -> None:
    selection = Selection(models=("several.one_label", "several.net"), datasets=("tags", "one_tag"), profile=False)
    entries = {name: registry.datasets[name] for name in selection.datasets}
    loaded = {name: Loaded(entry=one, clips=load_factory(one.factory)(None)) for name, one in entries.items()}
    plan = expand(selection, registry, loaded)
    refused = {(one.cell.model, one.cell.dataset): one.reason for one in plan.cells if one.decision == "incompatible"}
    assert list(refused) == [("several.one_label", "tags")]
    assert "is for single_label tasks; tags is multi_label" in refused["several.one_label", "tags"]


@pytest.mark.parametrize("model", ["several.heard", "several.heard_net"])
def test_a_front_end_of_random_weights_and_dropout_gives_the_same_numbers_twice(run, model: str) -> None:
    found = []
    for state in (1, 2):
        torch.manual_seed(state)  # what else happened in the process
        found.append(run(model, "one_tag", feeding="fly").arrays["logits"])
    np.testing.assert_array_equal(*found)
    with pytest.raises(PluginError, match="cannot be precomputed"):
        run(model, "one_tag", feeding="precomputed")


def test_an_estimator_is_scored_by_what_it_answers(run) -> None:
    found = run("several.stubborn", "one_tag")
    assert value(found.record, "accuracy") == (found.arrays["targets"] == 1).mean() > 0
    assert (found.arrays["logits"].argmax(axis=1) == 1).all()
    chances = np.exp(found.arrays["logits"][:, [0, 2, 3]])
    np.testing.assert_allclose(chances, [[0.7, 0.1, 0.1]] * len(chances), rtol=1e-6)


def test_logits_move_only_where_the_answer_differs() -> None:
    logits = np.log(np.array([[0.5, 0.3, 0.2], [0.2, 0.5, 0.3], [0.4, 0.4, 0.2]], dtype=np.float32))
    moved = decided(logits, np.array([0, 2, 1]))
    assert moved.argmax(axis=1).tolist() == [0, 2, 1]
    assert np.array_equal(moved[0], logits[0])
    np.testing.assert_allclose(moved[1], [*logits[1, :2], logits[1, 1]], rtol=1e-6)
    several = decided(np.array([[-1.0, 2.0, 0.0]], dtype=np.float32), np.array([[1, 0, 0]]))
    assert (several > 0).tolist() == [[True, False, False]]


def test_a_forests_list_of_probabilities_becomes_one_column_a_class() -> None:
    class Forest:
        classes_ = (np.array([0, 1]), np.array([0]), np.array([1]))

        def predict_proba(self, x):
            return [np.array([[0.25, 0.75]] * len(x)), np.ones((len(x), 1)), np.ones((len(x), 1))]

    task = TaskInfo(num_classes=3, task_type="multi_label")
    chances = 1 / (1 + np.exp(-logits_of(Forest(), np.zeros((2, 1)), task).astype(np.float64)))
    np.testing.assert_allclose(chances, [[0.75, 0.0, 1.0]] * 2, atol=1e-6)
