"""The training loop: fixed order, augmentation on training clips only, weights final before any test clip."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from bench.data.batches import Batches
from bench.errors import BenchError
from bench.execution.augment import Augmenter
from bench.execution.optimisation import make_average, make_optimizer, rate_factor
from bench.execution.pipeline import Pipeline
from bench.recipe import Recipe


class DivergedError(BenchError):
    """The training loss or the logits are not finite."""


@dataclass(slots=True)
class Curves:
    """One value per epoch; nan where there is none."""

    train_loss: list[float] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)
    val_accuracy: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def arrays(self) -> dict[str, np.ndarray[Any, Any]]:
        """The curves as they stand beside a record."""
        columns = {"train_loss": self.train_loss, "lr": self.lr, "val_accuracy": self.val_accuracy}
        columns["seconds"] = self.seconds
        arrays: dict[str, np.ndarray[Any, Any]] = {
            f"curve_{name}": np.asarray(values, dtype=np.float64) for name, values in columns.items()
        }
        arrays["curve_epoch"] = np.arange(1, len(self.train_loss) + 1, dtype=np.int64)
        return arrays


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A finalised checkpoint and how it came about.

    Attributes:
        pipeline: The weights that are scored: averaged, or those of the selected epoch.
        curves: Per epoch.
        epochs: Epochs run.
        steps: Optimiser steps run.
        clips: Training clips seen, counted with repetition.
        seconds: Wall time of the loop, validation not included.
        selected_epoch: Epoch whose weights these are.
    """

    pipeline: Pipeline
    curves: Curves
    epochs: int
    steps: int
    clips: int
    seconds: float
    selected_epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPlan:
    """What the loop is told.

    Attributes:
        recipe: Training settings.
        seed: Of dropout and augmentation (order is seeded by the batches).
        device: ``cpu`` or ``cuda``.
        precision: ``fp32`` or ``bf16`` (autocast around the model, never around the front end).
        sample_rate: Of the waveforms, in Hz.
        multi_label: Whether targets are indicators (binary cross-entropy) instead of classes.
        waveforms: Whether ``audio`` is the waveform, so that waveform augmentation applies.
        derived_picture: Whether the picture was made from the clip, so that it is rolled with it.
        select: Score of an epoch on validation, higher is better; ``None`` = fixed number of epochs.
        on_epoch: Told the epoch and its scores.
    """

    recipe: Recipe
    seed: int
    device: str = "cpu"
    precision: str = "fp32"
    sample_rate: int = 16_000
    multi_label: bool = False
    waveforms: bool = True
    derived_picture: bool = False
    select: Callable[[Pipeline], float] | None = None
    on_epoch: Callable[[int, Mapping[str, float]], None] = lambda _epoch, _scores: None


def train(pipeline: Pipeline, batches: Batches, plan: TrainingPlan) -> Trained:
    """Fit ``pipeline`` in place and return the weights to be scored.

    Raises:
        DivergedError: The mean loss of an epoch is not finite.
    """
    recipe = plan.recipe
    torch.manual_seed(plan.seed)
    augmenter = Augmenter.of(recipe, plan.sample_rate, plan.seed)
    optimizer = make_optimizer(pipeline, recipe, plan.device)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate_factor(recipe, len(batches)))
    average = make_average(pipeline, recipe)
    curves = Curves()
    best = _Best()
    seconds = 0.0
    clips = 0
    for epoch in range(1, recipe.epochs + 1):
        start = time.perf_counter()
        pipeline.train()
        losses: list[Tensor] = []
        for batch in batches.epoch(epoch):
            loss = compute_loss(pipeline, batch.inputs, batch.targets, augmenter, plan)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            if recipe.clip_norm is not None:
                nn.utils.clip_grad_norm_(pipeline.parameters(), recipe.clip_norm)
            optimizer.step()
            schedule.step()
            if average is not None:
                average.update_parameters(pipeline)
            losses.append(loss.detach())
            clips += len(batch.targets)
        mean_loss = float(torch.stack(losses).mean())
        seconds += time.perf_counter() - start
        if not np.isfinite(mean_loss):
            advice = f"lower the rate, e.g. --set recipe.lr={recipe.lr / 4:.1g}"
            raise DivergedError(f"the training loss of epoch {epoch} is {mean_loss}; {advice}")
        curves.train_loss.append(mean_loss)
        curves.lr.append(float(schedule.get_last_lr()[0]))
        curves.seconds.append(seconds)
        scored = averaged(pipeline, average)
        value = plan.select(scored) if plan.select is not None else float("nan")
        curves.val_accuracy.append(value)
        plan.on_epoch(epoch, {"train_loss": mean_loss, "val_accuracy": value})
        if plan.select is not None and best.update(epoch, value, scored, recipe.patience):
            break
    final = best.weights if plan.select is not None else averaged(pipeline, average)
    return Trained(
        pipeline=final or pipeline,
        curves=curves,
        epochs=len(curves.train_loss),
        steps=len(curves.train_loss) * len(batches),
        clips=clips,
        seconds=seconds,
        selected_epoch=best.epoch if plan.select is not None else len(curves.train_loss),
    )


def averaged(pipeline: Pipeline, average: AveragedModel | None) -> Pipeline:
    """The weights to score: the averaged copy, or the pipeline itself where the recipe averages nothing."""
    if average is None or int(average.n_averaged) == 0:
        return pipeline
    return cast("Pipeline", average.module)


def compute_loss(
    pipeline: Pipeline, inputs: Mapping[str, Tensor], targets: Tensor, augmenter: Augmenter, plan: TrainingPlan
) -> Tensor:
    """Loss of one training batch, augmentation included; a scalar."""
    moved = {name: x.to(plan.device, non_blocking=True) for name, x in inputs.items()}
    targets = targets.to(plan.device, non_blocking=True)
    moved = sounding(moved, augmenter, plan)
    if "audio" in moved:
        audio = pipeline.features(moved["audio"], augmenter.bands)
        moved["audio"] = augmenter.features(audio, bands=pipeline.bands) if audio.ndim == 3 else audio
    moved, targets = augmenter.mixup(moved, targets, pipeline.num_classes)
    with torch.autocast(plan.device, torch.bfloat16, enabled=plan.precision == "bf16"):
        logits = pipeline.logits(moved)
    if plan.multi_label:
        return F.binary_cross_entropy_with_logits(logits.float(), targets)
    return F.cross_entropy(logits.float(), targets, label_smoothing=plan.recipe.label_smoothing)


def sounding(inputs: dict[str, Tensor], augmenter: Augmenter, plan: TrainingPlan) -> dict[str, Tensor]:
    """A batch with its clips augmented as sounds, before any front end."""
    if not plan.waveforms:
        return inputs
    inputs = augmenter.roll(inputs, derived=plan.derived_picture)
    return inputs | ({"audio": augmenter.waveform(inputs["audio"])} if "audio" in inputs else {})


class _Best:
    """Keeps the weights of the best validation epoch."""

    def __init__(self) -> None:
        self.epoch = 0
        self.value = -float("inf")
        self.weights: Pipeline | None = None

    def update(self, epoch: int, value: float, pipeline: Pipeline, patience: int | None) -> bool:
        """Take note of an epoch; ``True`` = stop."""
        if value > self.value:
            self.epoch, self.value, self.weights = epoch, value, copy.deepcopy(pipeline)
        return patience is not None and epoch - self.epoch >= patience
