"""Registered metrics as the host uses them: chosen by data set and task, computed, compared in their direction."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from bench import DatasetSpec, MetricSpec, TaskInfo, builtin
from bench.errors import PluginError, UnknownNameError
from bench.metrics.scoring import catalog, compute_scores, metrics_for, primary
from bench.plugins.discovery import load_modules
from bench.plugins.registry import Registry
from bench.testing.fakes import fake_plugin

LOGITS = np.array([[2.0, 0.0, 1.0], [0.0, 1.0, 3.0]])
TARGETS = np.array([0, 1])


def host(*datasets: DatasetSpec, metrics: tuple[MetricSpec, ...] = ()) -> Registry:
    mine = [fake_plugin("mine", [*datasets, *metrics])] if datasets or metrics else []
    return load_modules(builtin, *mine).registry


def dataset(**fields: object) -> DatasetSpec:
    return DatasetSpec(name="mine", load="m:f", **fields)  # type: ignore[arg-type]


def test_the_primary_metric_depends_on_the_task_unless_the_data_set_names_one() -> None:
    registry = host()
    assert primary(registry, dataset(), "single_label").name == "accuracy"
    assert primary(registry, dataset(), "multi_label").name == "map"
    assert primary(registry, dataset(primary_metric="log_loss"), "multi_label").name == "log_loss"
    with pytest.raises(UnknownNameError, match="accuracy"):
        primary(registry, dataset(primary_metric="accuracy"), "multi_label")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"primary_metric": "acuracy"}, "primary_metric 'acuracy'; did you mean 'accuracy'"),
        (
            {"primary_metric": "accuracy", "task": TaskInfo(num_classes=3, task_type="multi_label")},
            "'accuracy'; which is for single_label, not multi_label",
        ),
    ],
)
def test_a_primary_metric_that_cannot_be_computed_is_found_at_discovery(
    fields: dict[str, object], expected: str
) -> None:
    with pytest.raises(PluginError, match=expected):
        host(dataset(**fields))


def test_a_resampling_function_of_another_form_is_found_at_discovery() -> None:
    with pytest.raises(PluginError, match=r"metric .x.: per_clip .m.values. is not of the form"):
        host(metrics=(MetricSpec(name="x", compute="m:f", per_clip="m.values"),))


def test_better_follows_the_direction_and_anything_beats_the_undefined() -> None:
    metrics = catalog(host())
    accuracy, loss = metrics["accuracy"], metrics["log_loss"]
    assert accuracy.better(0.9, 0.8)
    assert loss.better(0.8, 0.9)
    assert not loss.better(0.8, 0.8)
    assert loss.better(5.0, None)
    assert not loss.better(None, 5.0)
    assert not loss.better(None, None)


def test_scores_carry_unit_and_direction() -> None:
    registry = host()
    found, chance = compute_scores(registry, "single_label", {"logits": LOGITS, "targets": TARGETS})
    scores = {score.name: score for score in found}
    assert list(scores) == [one.name for one in metrics_for(registry, "single_label") if one.reads == "logits"]
    assert chance == {}
    assert scores["accuracy"].value == 0.5
    assert scores["top5_accuracy"].value is None
    assert (scores["log_loss"].unit, scores["log_loss"].higher_is_better) == ("nats", False)


def test_a_metric_that_raises_or_writes_into_its_arguments_spoils_nothing_else(monkeypatch, capsys) -> None:
    def greedy(logits, targets, *weights) -> float | np.ndarray:
        for array in (logits, targets, *weights):
            array[:] = 0
        return weights[0][:, 0] if weights else np.float64(1)

    def clips(logits, targets) -> np.ndarray:
        return logits[:, 0] * greedy(logits, targets)

    def raises(_logits, _targets) -> float:
        raise RuntimeError("the metric broke")

    specs = (
        MetricSpec(name="a.greedy", compute=":greedy", per_clip=":clips"),
        MetricSpec(name="a.raises", compute=":raises"),
        MetricSpec(name="a.weighted", compute=":greedy", weighted=":greedy"),
    )
    module = fake_plugin("mine", specs, greedy=greedy, clips=clips, raises=raises)
    monkeypatch.setitem(sys.modules, "mine", module)
    registry = load_modules(builtin, module).registry
    logits, targets, weights = LOGITS.copy(), TARGETS.copy(), np.ones((3, 2), dtype=np.float32)
    found, _ = compute_scores(registry, "single_label", {"logits": logits, "targets": targets})
    scores = {score.name: score.value for score in found}
    named = {metric.name for metric in metrics_for(registry, "single_label") if metric.reads == "logits"}
    assert scores.keys() == named - {"a.raises"}
    assert (scores["a.greedy"], scores["accuracy"]) == (1.0, 0.5)
    assert "the metric broke" in capsys.readouterr().err
    catalog(registry)["a.greedy"].values(logits, targets)
    catalog(registry)["a.weighted"].resampled(logits, targets, weights)
    assert np.array_equal(logits, LOGITS)
    assert np.array_equal(targets, TARGETS)
    assert (weights == 1).all()
