"""From a spec to a model with its pipeline."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import nn

from bench.errors import PluginError
from bench.execution.estimators import Estimator
from bench.execution.inputs import Material
from bench.execution.pipeline import Normaliser, Pipeline
from bench.execution.seeding import seed_everything
from bench.factories import load_factory
from bench.recipes import Recipe
from bench.registry import Entry
from bench.specs import ModelSpec, TaskInfo


def build_model(entry: Entry[ModelSpec], task: TaskInfo, seed: int) -> Any:
    """What the factory returns, seeded; ``seed`` is handed to factories that take it.

    Raises:
        PluginError: It is neither a module nor an estimator.
    """
    factory = load_factory(entry.factory)
    options = dict(entry.spec.options)
    if "seed" in inspect.signature(factory).parameters:
        options.setdefault("seed", seed)
    seed_everything(seed)
    model = factory(task, **options)
    if not isinstance(model, nn.Module | Estimator):
        raise PluginError(
            f"{entry.factory} returned {type(model).__name__}; expected a torch.nn.Module or an estimator with fit()"
        )
    return model


def build_pipeline(model: nn.Module, material: Material, recipe: Recipe, train: Any) -> Pipeline:
    """The pipeline of a cell, its normaliser fitted on the training clips.

    Args:
        model: From the factory.
        material: The data set as this model sees it.
        recipe: For the kind of statistics.
        train: Indices of the training clips; no other clip is read.
    """
    frontend = None if material.stored_features else material.frontend
    normaliser = None
    if material.task.feature_shape is not None and recipe.normalise != "none":
        normaliser = Normaliser(material.task.feature_shape[0] if recipe.normalise == "bin" else 1)
    pipeline = Pipeline(
        model,
        frontend=frontend,
        normaliser=None,
        modalities=material.modalities,
        num_classes=material.task.num_classes,
    )
    if normaliser is not None:
        with torch.no_grad():
            audio = (batch.inputs["audio"] for batch in material.batches(train, 64).epoch(0))
            normaliser.fit((pipeline.features(x) for x in audio), recipe.normalise)
        pipeline.normaliser = normaliser
    return pipeline


def materialise(pipeline: Pipeline, material: Material, index: Any) -> torch.Tensor:
    """Logits of two clips: lazy layers exist afterwards, and the shape of the logits has been checked."""
    pipeline.eval()
    with torch.no_grad():
        batch = next(iter(material.batches(index[:2], 2).epoch(0)))
        logits: torch.Tensor = pipeline(batch.inputs)
    return logits
