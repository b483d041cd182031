"""The one training step and the one inference: whoever trains, scores, times, prices or traces a network runs these."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.data.batches import Batch, Batches
from bench.errors import PluginError
from bench.execution.augment import Augmenter
from bench.execution.autocast import autocast
from bench.execution.graphs import Capture, Draws, Graphs, Tensors, cuda_graph, is_cuda
from bench.execution.inputs import Inputs
from bench.execution.optimisation import Average, make_average, make_optimizer, rate_factor
from bench.execution.pipeline import Pipeline
from bench.execution.results import Predictions, check_finite
from bench.job import Job
from bench.recipe import Recipe

TARGETS = "targets"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSettings:
    """What a step is told beside its batch: the recipe and the device.

    Attributes:
        seed: Of dropout and augmentation (order is seeded by the batches).
        precision: ``fp32`` or ``bf16`` (autocast around the model, never around the front end).
        sample_rate: Of the waveforms, in Hz.
        multi_label: Whether targets are indicators (binary cross-entropy) instead of classes.
        waveforms: Whether ``audio`` is the waveform, so that waveform augmentation applies.
        derived_picture: Whether the picture was made from the clip, so that it is rolled with it.
    """

    recipe: Recipe
    seed: int
    device: str = "cpu"
    precision: str = "fp32"
    sample_rate: int = 16_000
    multi_label: bool = False
    waveforms: bool = True
    derived_picture: bool = False

    @classmethod
    def of(cls, job: Job, data: Inputs) -> StepSettings:
        """As a job's cell says, for the data as its model sees it."""
        cell, task = job.cell, data.task
        return cls(
            recipe=job.recipe, seed=cell.seed, device=cell.device, precision=cell.precision,
            sample_rate=task.sample_rate, multi_label=task.task_type == "multi_label",
            waveforms=not data.stored_features, derived_picture="derived" in data.given.get("image", ""),
        )  # fmt: skip


def to_device(inputs: Mapping[str, Tensor], device: str) -> Tensors:
    """The inputs of a batch on a device."""
    return {name: x.to(device, non_blocking=True) for name, x in inputs.items()}


@dataclass(frozen=True, slots=True)
class Inference:
    """A batch in, logits on the device out: in ``eval()``, without gradients; ``capture`` makes CUDA graphs of it."""

    pipeline: Pipeline
    device: str = "cpu"
    precision: str = "fp32"
    capture: bool = False
    graphs: Graphs = field(init=False)

    def __post_init__(self) -> None:
        graphs = Graphs(
            lambda inputs: self.forward(self.features(inputs)), self.device, Draws(self.device), self.pipeline,
            cuda_graph if self.capture and is_cuda(self.device) else None,
        )  # fmt: skip
        object.__setattr__(self, "graphs", graphs)

    def __call__(self, batch: Batch, head: Callable[[Tensors], Any] | None = None) -> Any:
        """Logits ``(batch, classes)``, or what another ``head`` than the classifier makes of the inputs."""
        inputs = self.to_device(batch.inputs)
        return self.graphs(inputs) if head is None else self.forward(self.features(inputs), head)

    def to_device(self, inputs: Mapping[str, Tensor]) -> Tensors:
        """The first part: inputs on the device."""
        if self.pipeline.training:
            self.pipeline.eval()
        return to_device(inputs, self.device)

    @torch.inference_mode()
    def features(self, inputs: Tensors) -> Tensors:
        """The second part: the waveform through the front end."""
        return self.pipeline.prepare(inputs)

    @torch.inference_mode()
    def forward(self, inputs: Tensors, head: Callable[[Tensors], Any] | None = None) -> Any:
        """The third part: the model itself."""
        with autocast(self.device, self.precision):
            return (head or self.pipeline.logits)(inputs)


def predict(infer: Inference, batches: Batches) -> Predictions:
    """Logits of all batches in their order, in ``eval()``; the network's mode is put back.

    Raises:
        DivergedError: A logit is not finite.
    """
    start, was_training = time.perf_counter(), infer.pipeline.training
    infer.pipeline.eval()
    outputs, index = zip(*((infer(batch).float(), batch.index) for batch in batches.epoch(0)), strict=True)
    logits = torch.cat(outputs).cpu().numpy()
    infer.pipeline.train(was_training)
    check_finite(logits)
    return Predictions(logits=logits, index=np.concatenate(index), seconds=time.perf_counter() - start)


class Step:
    """One optimiser step for each batch that it is called with; a subclass says what the loss is.

    The learning rate's ``schedule`` moves on at each step; ``average`` is ``None`` where the recipe averages nothing.
    """

    batch_setting = "batch"
    """Field of the recipe that says how large batches are."""
    together = 1
    """Networks that a step trains."""

    def __init__(
        self, pipeline: Pipeline, settings: StepSettings, optimizer: torch.optim.Optimizer,
        factor: Callable[[int], float], average: Average | None, *, stream: int,
    ) -> None:  # fmt: skip
        self.pipeline, self.settings, self.parameters = pipeline, settings, list(pipeline.parameters())
        self.augmenter = Augmenter.of(settings.recipe, settings.sample_rate, settings.seed, stream=stream)
        self.optimizer, self.average = optimizer, average
        self.schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        self.graphs = Graphs(self._learned, settings.device, Draws(settings.device), pipeline)
        if is_cuda(settings.device) and settings.recipe.cuda_graphs:
            self.capture(cuda_graph)

    def capture(self, capture: Capture) -> None:
        """From the next step on run what was captured: draws and learning rate keep their place on the device."""
        graphs = self.graphs
        graphs.capture = capture
        self.augmenter = replace(self.augmenter, give=graphs.draws.give, branches=False)
        for group in self.optimizer.param_groups:
            group["lr"] = torch.tensor(float(group["lr"]), device=graphs.device)

    def __call__(self, batch: Batch) -> Tensor:
        """Learn from a batch; returns its loss, a scalar without graph.

        Raises:
            PluginError: Batch normalisation got a single clip; says what to type.
        """
        try:
            loss = self.graphs(self.received(batch))
        except ValueError as error:
            norms = [m for m in self.pipeline.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
            if len(batch) > 1 or not norms:
                raise
            raise PluginError(
                f"{type(norms[0]).__name__} cannot learn from a batch of one clip ({error}); give larger batches, e.g. "
                f"--set recipe.{self.batch_setting}=8, or more training clips"
            ) from error
        self.schedule.step()
        return loss

    def _learned(self, inputs: Tensors) -> Tensor:
        loss = self.objective(inputs)
        self.backward(loss)
        self.apply()
        return loss.detach()

    @property
    def parts(self) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
        """The step in pieces for those who time them, each taking what the one before returned."""
        return ("forward", self.loss), ("backward", self.backward), ("optimiser", self.update)

    @property
    def rate(self) -> float:
        """Learning rate of the next step."""
        return float(self.schedule.get_last_lr()[0])

    @property
    def scored(self) -> Pipeline:
        """The weights to score: the averaged copy, or the pipeline itself where nothing is averaged yet."""
        if self.average is None or not self.average.updates:
            return self.pipeline
        return cast("Pipeline", self.average.module)

    def received(self, batch: Batch) -> Tensors:
        """The inputs of a batch on the device, the :data:`TARGETS` among them."""
        if not self.pipeline.training:
            self.pipeline.train()
        return to_device({**batch.inputs, TARGETS: batch.targets}, self.settings.device)

    def loss(self, batch: Batch) -> Tensor:
        """Scalar loss of a batch, transfer and augmentation included."""
        return self.objective(self.received(batch))

    def objective(self, inputs: Tensors) -> Tensor:
        """Scalar loss of what was received: work on the device only."""
        raise NotImplementedError

    def backward(self, loss: Tensor) -> None:
        """Gradients of the loss, clipped as the recipe says."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.settings.recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.settings.recipe.clip_norm)

    def apply(self) -> None:
        """Weights and averaged weights."""
        self.optimizer.step()
        if self.average is not None:
            self.average.update_parameters()

    def update(self, _: None = None) -> None:
        """Weights, averaged weights and learning rate."""
        self.apply()
        self.schedule.step()

    def sounding(self, inputs: Tensors) -> Tensors:
        """The inputs without targets, clips augmented as sounds, before any front end."""
        inputs = {name: x for name, x in inputs.items() if name != TARGETS}
        if not self.settings.waveforms:
            return inputs
        if "audio_samples" in inputs and (self.settings.recipe.roll or self.settings.recipe.shift):
            whole = torch.full_like(inputs["audio_samples"], inputs["audio"].shape[-1])
            inputs = inputs | {"audio_samples": whole}  # a moved clip may stand anywhere in its waveform
        inputs = self.augmenter.roll(inputs, derived=self.settings.derived_picture)
        return inputs | ({"audio": self.augmenter.waveform(inputs["audio"])} if "audio" in inputs else {})


class TrainStep(Step):
    """A step on labels: cross-entropy, or binary cross-entropy where clips have several."""

    def __init__(self, pipeline: Pipeline, settings: StepSettings, steps_per_epoch: int) -> None:
        recipe = settings.recipe
        optimizer, average = make_optimizer(pipeline, recipe, settings.device), make_average(pipeline, recipe)
        super().__init__(pipeline, settings, optimizer, rate_factor(recipe, steps_per_epoch), average, stream=1)

    def objective(self, inputs: Tensors) -> Tensor:
        """Loss of one training batch; a scalar."""
        inputs, targets = self.prepared(inputs)
        with autocast(self.settings.device, self.settings.precision):
            logits = self.pipeline.logits(inputs)
        return self.criterion(logits, targets)

    def prepared(self, inputs: Tensors) -> tuple[Tensors, Tensor]:
        """What the network gets of what was received, and its targets: features, augmented and mixed."""
        pipeline, augmenter = self.pipeline, self.augmenter
        targets, inputs = inputs[TARGETS], self.sounding(inputs)
        if "audio" in inputs:
            audio = pipeline.features(inputs["audio"], augmenter.bands)
            inputs["audio"] = augmenter.features(audio, bands=pipeline.bands) if audio.ndim == 3 else audio
        return augmenter.mixup(inputs, targets, pipeline.num_classes)

    def criterion(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The mean loss of clips."""
        if self.settings.multi_label:
            return F.binary_cross_entropy_with_logits(logits.float(), targets)
        return F.cross_entropy(logits.float(), targets, label_smoothing=self.settings.recipe.label_smoothing)
