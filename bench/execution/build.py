"""From a spec to a model with its pipeline."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from bench.clips import TaskInfo
from bench.errors import PluginError
from bench.execution.estimators import Estimator
from bench.execution.inputs import Inputs
from bench.execution.seeding import seed_everything
from bench.execution.state import handed_out
from bench.plugins.factories import load_factory
from bench.plugins.registry import Entry
from bench.plugins.specs import ModelSpec
from bench.recipe import Recipe

if TYPE_CHECKING:
    import torch
    from torch import nn

    from bench.execution.pipeline import Pipeline

MASKED = "masked"
"""The value of ``Cell.weights`` for pre-training in the cell."""


def is_network(model: Any) -> TypeGuard[nn.Module]:
    """Whether it is a ``torch.nn.Module``; torch is not imported to tell."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(model, torch.nn.Module)


def takes_weights(entry: Entry[ModelSpec]) -> bool:
    """Whether the factory loads weight files itself."""
    return "weights" in inspect.signature(load_factory(entry.factory)).parameters


def build_model(
    entry: Entry[ModelSpec], task: TaskInfo, seed: int, *, masked: bool = False, weights: Path | None = None
) -> Any:
    """What the factory returns, seeded; ``masked`` builds it with what masked pre-training needs.

    ``seed`` and ``weights`` (a file or folder) are handed to factories that take them; without ``weights`` what the
    spec's own options say holds.

    Raises:
        PluginError: It is neither a module nor an estimator, or cannot be pre-trained where it should be.
        SharedStateError: The factory gave some of it before in this process.
    """
    if masked and entry.spec.pretrain is None:
        raise PluginError(
            f"model {entry.spec.name!r} cannot be pre-trained: its spec names no pretrain factory; declare "
            'ModelSpec(pretrain="package.module:build") of a module with pretrain_loss(**inputs)'
        )
    name = entry.home(entry.spec.pretrain) if masked and entry.spec.pretrain else entry.factory
    factory = load_factory(name)
    taken = inspect.signature(factory).parameters
    options = dict(entry.spec.options)
    if "seed" in taken:
        options.setdefault("seed", seed)
    if weights is not None and "weights" in taken:
        options["weights"] = str(weights)
    seed_everything(seed)
    model = factory(task, **options)
    if not (is_network(model) or isinstance(model, Estimator)):
        raise PluginError(
            f"{name} returned {type(model).__name__}; expected a torch.nn.Module or an estimator with fit()"
        )
    handed_out().refuse(name, model)
    if masked and not callable(getattr(model, "pretrain_loss", None)):
        raise PluginError(
            f"{name} returned a {type(model).__name__} without pretrain_loss(**inputs) -> scalar; add this method, or "
            "name the factory that has it as ModelSpec.pretrain"
        )
    return model


def build_pipeline(model: nn.Module, data: Inputs, recipe: Recipe, train: Any) -> Pipeline:
    """The pipeline of a cell, its normaliser fitted on the clips ``train``; no other clip is read."""
    import torch

    from bench.execution.pipeline import Normaliser, Pipeline

    pipeline = Pipeline(
        model, frontend=data.frontend, normaliser=None, modalities=data.modalities, by_name=data.by_name,
        num_classes=data.task.num_classes,
    )  # fmt: skip
    pipeline.bands = data.bands
    if data.task.feature_shape is not None and recipe.normalise != "none":
        normaliser = Normaliser(data.task.feature_shape[0] if recipe.normalise == "bin" else 1)
        with torch.no_grad():
            audio = (batch.inputs["audio"] for batch in data.batches(train, 64).epoch(0))
            normaliser.fit((pipeline.features(x) for x in audio), recipe.normalise)
        pipeline.normaliser = normaliser
    return pipeline


def materialise(pipeline: Pipeline, data: Inputs, index: Any) -> torch.Tensor:
    """Logits of two clips: lazy layers exist afterwards, and the shape of the logits has been checked."""
    import torch

    pipeline.eval()
    with torch.no_grad():
        batch = next(iter(data.batches(index[:2], 2).epoch(0)))
        logits: torch.Tensor = pipeline(batch.inputs)
    return logits
