"""Clips with several labels end to end, and scores that agree with the metric, the front end and the estimator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.execution.estimators import decided, logits_of
from bench.plugins.specs import TaskInfo

PLUGIN = Path(__file__).with_name("multilabel_plugin.py")
CLASSICAL = ("classical.knn", "classical.svm", "classical.forest")


@pytest.fixture
def run(make_runner):
    """``run(*models, dataset=..., **selection)``: results of a run by model name, and the store."""

    def records(*models: str, dataset: str, **selection):
        runner = make_runner(*models, datasets=(dataset,), folds=(1,), settings={"plugins": (PLUGIN,)}, **selection)
        result = runner.run()
        return {record.cell.model: record for record in result.records}, runner.store

    return records


def arrays_of(store, record) -> dict[str, np.ndarray]:
    with np.load(store.path(record.cell).with_suffix(".npz"), allow_pickle=False) as file:
        return dict(file)


def value(record, name: str) -> float:
    return next(score.value for score in record.scores if score.name == name)


def test_networks_and_classical_models_learn_several_labels_with_validation(run) -> None:
    records, store = run("several.net", *CLASSICAL, dataset="tags", overrides=("recipe.epochs=30", "recipe.lr=0.05"))
    assert {name: record.status for name, record in records.items()} == dict.fromkeys(records, "ok")
    assert set(records) == {"several.net", *CLASSICAL}
    for name, record in records.items():
        assert value(record, "map") > 0.9, name
        assert value(record, "macro_f1") > 0.7, name
    arrays = arrays_of(store, records["several.net"])
    assert arrays["curve_val_map"].shape == (30,)
    assert "curve_val_accuracy" not in arrays
    selected = records["several.net"].timing["selected_epoch"]
    assert selected == arrays["curve_val_map"].argmax() + 1


def test_epochs_are_selected_by_the_data_sets_metric_in_its_direction(run) -> None:
    records, store = run("several.net", dataset="tags_by_loss", overrides=("recipe.epochs=12", "recipe.lr=0.9"))
    curve = arrays_of(store, records["several.net"])["curve_val_log_loss"]
    assert records["several.net"].timing["selected_epoch"] == curve.argmin() + 1
    assert curve.argmin() != curve.argmax()


def test_a_model_of_one_label_is_incompatible_with_several(run) -> None:
    records, _ = run("several.one_label", "several.net", dataset="tags")
    refused = records["several.one_label"]
    assert refused.status == "incompatible"
    assert "is for single_label tasks; tags is multi_label" in refused.error.message
    assert records["several.net"].status == "ok"
    assert run("several.one_label", dataset="one_tag")[0]["several.one_label"].status == "ok"


@pytest.mark.parametrize("feeding", ["fly", "precomputed"])
def test_a_front_end_of_random_weights_and_dropout_gives_the_same_numbers_twice(run, tmp_path, feeding: str) -> None:
    found = []
    for name in ("first", "again"):
        records, store = run(
            "several.heard", "several.heard_net", dataset="one_tag", feeding=feeding, out=tmp_path / name
        )
        assert {record.status for record in records.values()} == {"ok"}
        found.append({model: arrays_of(store, record)["logits"] for model, record in records.items()})
    for model, logits in found[0].items():
        np.testing.assert_array_equal(logits, found[1][model])


def test_an_estimator_is_scored_by_what_it_answers(run) -> None:
    records, store = run("several.stubborn", dataset="one_tag")
    arrays = arrays_of(store, records["several.stubborn"])
    assert value(records["several.stubborn"], "accuracy") == (arrays["targets"] == 1).mean() > 0
    assert (arrays["logits"].argmax(axis=1) == 1).all()
    np.testing.assert_allclose(
        np.exp(arrays["logits"][:, [0, 2, 3]]), [[0.7, 0.1, 0.1]] * len(arrays["logits"]), rtol=1e-6
    )


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
