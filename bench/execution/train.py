"""The training loop: fixed order, augmentation on training clips only, weights final before any test clip."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from bench.data.batches import Batch, Batches
from bench.errors import DataError
from bench.execution.pipeline import Pipeline
from bench.execution.ranks import Ranks, predict_all
from bench.execution.results import DivergedError, OnEpoch, OverBudgetError
from bench.execution.step import Inference, TrainStep
from bench.measurement.clocks import synchronize
from bench.metrics.scoring import Metric
from bench.planning.costs import ROUGH, over_budget


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """What epochs are selected by: the data set's primary metric on the validation clips, in order."""

    batches: Batches
    metric: Metric
    ranks: Ranks = field(default_factory=Ranks)

    def score(self, infer: Inference) -> float:
        """The metric on the validation clips.

        Raises:
            DataError: It is not defined for them.
        """
        found = predict_all(infer, self.batches, self.ranks)
        value = self.metric.score(found.logits, self.batches.targets[found.index]).value
        if value is None:
            raise DataError(
                f"{self.metric.name} is not defined on the {len(found.index)} validation clips, so that no epoch can "
                "be selected by it (a class without a clip among them?); use a protocol without validation, e.g. "
                "--protocol 4+1"
            )
        return value


FIRST_STEPS = 6
"""So many steps, the first left out, tell how long a cell takes."""


def _within_budget(step: TrainStep, batches: Batches, since: float | None) -> float:
    """The time now; where the first steps have run since ``since``, they must promise to keep the budget.

    Raises:
        OverBudgetError: They would take more than :data:`bench.planning.costs.ROUGH` times of it.
    """
    recipe = step.settings.recipe
    synchronize(step.settings.device)
    now = time.perf_counter()
    if since is not None and recipe.budget_seconds is not None:
        step_s = (now - since) / (FIRST_STEPS - 1) / step.together
        expected = recipe.epochs * len(batches) * step_s
        if expected > ROUGH * recipe.budget_seconds:
            size = batches.batch_size
            cost = {"step_s": step_s, "infer_clip_s": step_s / (3 * size), "fit_clip_s": None, "pretrain_step_s": None}
            raise OverBudgetError(over_budget(expected, f"by its first {FIRST_STEPS} steps", recipe), cost)
    return now


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A finalised checkpoint and how it came about.

    Attributes:
        pipeline: The weights that are scored: averaged, or those of the ``selected_epoch``.
        curves: One value per epoch, by name: ``train_loss``, ``lr``, ``seconds`` and ``val_`` with the metric's name.
        clips: Training clips seen, counted with repetition.
        seconds: Wall time of the loop, validation not included.
    """

    pipeline: Pipeline
    curves: dict[str, list[float]]
    epochs: int
    steps: int
    clips: int
    seconds: float
    selected_epoch: int


@dataclass(slots=True)
class _Best:
    """The epoch that validation would select so far, with its weights."""

    pipeline: Pipeline | None = None
    value: float | None = None
    epoch: int = 0

    def offer(self, step: TrainStep, validation: Validation, epoch: int) -> float:
        """The validation score of the epoch that has just ended, which is kept if none was better."""
        settings = step.settings
        infer = Inference(step.scored, settings.device, settings.precision, settings.recipe.cuda_graphs)
        value = validation.score(infer)
        if validation.metric.better(value, self.value):
            self.pipeline, self.value, self.epoch = copy.deepcopy(step.scored), value, epoch
        return value


def train(
    step: TrainStep,
    batches: Batches,
    validation: Validation | None = None,
    on_epoch: OnEpoch = lambda _epoch, _scores: None,
) -> Trained:
    """Fit the pipeline of a new ``step`` in place and return the weights to be scored; see :func:`training`."""
    loop, loss = training(step, batches, validation, on_epoch), None
    while True:
        try:
            batch = next(loop) if loss is None else loop.send(loss)
        except StopIteration as end:
            trained: Trained = end.value
            return trained
        loss = step(batch)


def training(
    step: TrainStep,
    batches: Batches,
    validation: Validation | None,
    on_epoch: OnEpoch,
    clock: Callable[[], float] = time.perf_counter,
) -> Generator[Batch, Tensor, Trained]:
    """The training loop without its steps: gives a batch, is sent the loss of a step on it, returns what is scored.

    Epochs are selected by ``validation``; without, their number is fixed. ``on_epoch`` is told each epoch, from 1,
    with its scores by name as in :attr:`Trained.curves`; ``clock`` tells the seconds of steps.

    Raises:
        DivergedError: The mean loss of an epoch is not finite.
        OverBudgetError: The first steps took far too long for the recipe's budget.
    """
    settings = step.settings
    recipe = settings.recipe
    torch.manual_seed(settings.seed)
    curves: dict[str, list[float]] = {}
    best, first = _Best(), None
    seconds, clips, epoch = 0.0, 0, 0
    for epoch in range(1, recipe.epochs + 1):
        start = clock()
        step.pipeline.train()
        losses: list[Tensor] = []
        for batch in batches.epoch(epoch):
            losses.append((yield batch))
            clips += len(batch)
            if (epoch - 1) * len(batches) + len(losses) in (1, FIRST_STEPS):
                first = _within_budget(step, batches, first)
        scores = {"train_loss": float(torch.stack(losses).mean())}
        seconds += clock() - start
        if not np.isfinite(scores["train_loss"]):
            advice = f"lower the rate, e.g. --set recipe.lr={recipe.lr / 4:.1g}"
            raise DivergedError(f"the training loss of epoch {epoch} is {scores['train_loss']}; {advice}")
        scores |= {"lr": step.rate, "seconds": seconds}
        if validation is not None:
            scores[f"val_{validation.metric.name}"] = best.offer(step, validation, epoch)
        for name, value in scores.items():
            curves.setdefault(name, []).append(value)
        on_epoch(epoch, scores)
        if validation is not None and recipe.patience is not None and epoch - best.epoch >= recipe.patience:
            break
    return Trained(
        pipeline=best.pipeline or step.scored, curves=curves, epochs=epoch, steps=epoch * len(batches), clips=clips,
        seconds=seconds, selected_epoch=epoch if validation is None else best.epoch,
    )  # fmt: skip
