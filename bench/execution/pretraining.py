"""Masked pre-training inside a cell: the model's own loss without labels, on training clips only."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bench.data.batches import Batches
from bench.errors import PluginError
from bench.execution.autocast import autocast
from bench.execution.graphs import Tensors
from bench.execution.optimisation import make_pretrainer, rate_factor
from bench.execution.pipeline import Pipeline
from bench.execution.results import DivergedError, OnEpoch
from bench.execution.step import Step, StepSettings, to_device

WARMUP = 0.08
POINTS = 150
"""Points of a curve; each is the mean over a block of steps."""
SHOWN = 4
"""Clips whose reconstruction is kept."""
PICTURES = ("input", "masked", "guess")

Array = npt.NDArray[Any]


def passes(recipe_steps: int, clips: int, batch: int) -> int:
    """Passes over ``clips`` training clips, the last one cut short, that some steps at a batch take."""
    return -(-recipe_steps // max(1, clips // batch))


class PretrainStep(Step):
    """A step on the model's own ``pretrain_loss(**inputs) -> scalar``, without a label.

    AdamW with linear warm-up and cosine; waveforms are rolled, shifted and scaled as the recipe says, features are
    neither masked nor mixed: hiding is the task's own.
    """

    batch_setting = "pretrain_batch"

    def __init__(self, pipeline: Pipeline, settings: StepSettings) -> None:
        recipe = settings.recipe
        factor = recipe.model_copy(update={"epochs": 1, "warmup": WARMUP, "schedule": "cosine"})
        optimizer = make_pretrainer(pipeline, recipe, settings.device)
        super().__init__(pipeline, settings, optimizer, rate_factor(factor, recipe.pretrain_steps), None, stream=2)

    def objective(self, inputs: Tensors) -> Tensor:
        """The model's loss of one batch; a scalar.

        Raises:
            PluginError: It is no scalar.
        """
        inputs = self.pipeline.prepare(self.sounding(inputs))
        method: Callable[..., Any] = self.pipeline.model.pretrain_loss  # type: ignore[assignment]
        with autocast(self.settings.device, self.settings.precision):
            loss = method(**inputs)
        if not isinstance(loss, Tensor) or loss.ndim != 0:
            got = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
            raise PluginError(f"pretrain_loss returned {got}, expected a scalar tensor; take the mean over the batch")
        return loss.float()


def pretrain(step: PretrainStep, batches: Batches, on_epoch: OnEpoch) -> tuple[dict[str, Any], dict[str, Array]]:
    """Train the whole pipeline of a new ``step``, in place, on training clips at ``recipe.pretrain_batch``.

    Batches are whole ones, since losses may compare batch mates; ``on_epoch`` is told ``{"pretrain_loss": mean}``
    after each pass.

    Returns:
        ``pretrain_s``, ``pretrain_steps`` and ``pretrain_clips`` (with repetition); and the curves ``pretrain_loss``
        and ``pretrain_lr`` over ``pretrain_step``.

    Raises:
        DivergedError: The mean loss of a block of steps is not finite.
    """
    recipe, start = step.settings.recipe, time.perf_counter()
    batches = replace(batches, drop_last=len(batches.indices) >= batches.batch_size)
    torch.manual_seed(step.settings.seed)
    block = -(-recipe.pretrain_steps // POINTS)  # one wait for the device per block
    curve: list[tuple[int, float, float]] = []
    waiting: list[Tensor] = []
    steps = clips = number = 0
    step.pipeline.train()
    while steps < recipe.pretrain_steps:
        number += 1
        for batch in itertools.islice(batches.epoch(number), recipe.pretrain_steps - steps):
            rate = step.rate
            waiting.append(step(batch))
            steps, clips = steps + 1, clips + len(batch)
            if len(waiting) == block or steps == recipe.pretrain_steps:
                curve.append((steps, _mean(waiting, steps, recipe.pretrain_lr), rate))
                waiting.clear()
        on_epoch(number, {"pretrain_loss": curve[-1][1] if curve else float("nan")})
    timing = {"pretrain_s": time.perf_counter() - start, "pretrain_steps": steps, "pretrain_clips": clips}
    columns = zip(("pretrain_step", "pretrain_loss", "pretrain_lr"), zip(*curve, strict=True), strict=True)
    return timing, {name: np.asarray(column) for name, column in columns}


def _mean(losses: list[Tensor], step: int, rate: float) -> float:
    mean = float(torch.stack(losses).mean())
    if not np.isfinite(mean):
        raise DivergedError(
            f"the pre-training loss of steps {step - len(losses) + 1} to {step} is {mean}; lower the rate, e.g. "
            f"--set recipe.pretrain_lr={rate / 4:.1g}"
        )
    return mean


def end_pretraining(pipeline: Pipeline) -> None:
    """Let the model drop what only pre-training needs."""
    finish = getattr(pipeline.model, "end_pretraining", None)
    if callable(finish):
        finish()


def reconstructions(
    pipeline: Pipeline, batches: Batches, settings: StepSettings, ids: tuple[str, ...]
) -> dict[str, Array]:
    """What the model makes of hidden parts of the first batch, for a report; nothing where it cannot show it.

    The clips are training clips: the decoder that guesses is dropped before the checkpoint is final, and until then
    the test clips are sealed. They show what was learnt, not how well it carries over.

    Returns:
        ``reconstruct_{modality}_{input|masked|guess}`` ``(clips, channels, height, width)`` float16, hidden places of
        ``masked`` nan, and ``reconstruct_ids``.
    """
    method = getattr(pipeline.model, "reconstruct", None)
    if not callable(method):
        return {}
    was_training = pipeline.training
    pipeline.eval()
    batch = next(iter(batches.epoch(0)))
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(settings.seed)
        pictures = method(**pipeline.prepare(to_device(batch.inputs, settings.device)))
    pipeline.train(was_training)
    arrays: dict[str, Array] = {}
    for modality, found in pictures.items():
        for kind in PICTURES:
            arrays[f"reconstruct_{modality}_{kind}"] = _half(found[kind], f"reconstruct()[{modality!r}][{kind!r}]")
    if arrays:
        arrays["reconstruct_ids"] = np.asarray([ids[i] for i in batch.index])
    return arrays


def _half(picture: Any, origin: str) -> Array:
    if not isinstance(picture, Tensor) or picture.ndim != 4:
        got = f"shape {tuple(picture.shape)}" if isinstance(picture, Tensor) else type(picture).__name__
        raise PluginError(f"{origin} is of {got}, expected (batch, channels, height, width)")
    limit = float(np.finfo(np.float16).max)
    return picture.float().clamp(-limit, limit).cpu().numpy().astype(np.float16)
