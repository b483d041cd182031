"""What a profile cell looks at beside speed and memory: stages, FLOPs, energy, and how the model behaves.

All of it runs after the timed passes and never inside them; what would take too long is ``None`` with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from bench.data.batches import Batch
from bench.execution.augment import Augmenter
from bench.execution.inputs import Inputs
from bench.execution.optimisation import make_average, make_optimizer
from bench.execution.pipeline import Pipeline
from bench.execution.train import TrainingPlan, compute_loss
from bench.job import Job
from bench.measurement.clocks import synchronize
from bench.measurement.device_memory import cuda_uuid
from bench.measurement.energy import energy_counter, measure_energy, unknown_energy
from bench.measurement.flops import count_flops
from bench.measurement.guards import MIN_STEPS, inspect_callable
from bench.measurement.noise import Finding
from bench.measurement.stages import Stage, measure_stages

NO_NETWORK = "fitted as a whole: it is no torch network that could be taken apart"
GUARDED_STEPS = 20
LEAST_PASSES, MOST_PASSES, STAGE_WARMUP = 3, 20, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Anatomy:
    """A network's work in pieces.

    Attributes:
        infer: Stages from the rows of a batch to logits on the host.
        learn: Stages of a training step, from a batch to updated weights.
        rows: ``rows(i)`` gives the rows ``(batch,)`` of batch ``i``, the network set to evaluation.
        batch: ``batch(i)`` gives batch ``i``, the network set to training.
        few: Clips that FLOPs are counted on.
        features: Inputs of the model for these clips, through the front end.
        forward: Logits of these clips from :attr:`features`.
        has_frontend: Whether features are computed here rather than stored, or none are taken.
    """

    infer: tuple[Stage, ...]
    learn: tuple[Stage, ...]
    rows: Callable[[int], npt.NDArray[np.int64]]
    batch: Callable[[int], Batch]
    few: int
    features: Callable[[], dict[str, Tensor]]
    forward: Callable[[dict[str, Tensor]], Tensor]
    has_frontend: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """What the timed passes said, to know what can be afforded.

    Attributes:
        infer_s: Seconds of one batch of inference.
        learn_s: Seconds of one training step; ``None`` where a model has no steps.
        clips_per_s: Throughput of inference.
        budget_s: Seconds for each look.
    """

    infer_s: float
    learn_s: float | None
    clips_per_s: float
    budget_s: float


def training_stages(pipeline: Pipeline, data: Inputs, job: Job) -> tuple[Stage, ...]:
    """The engine's training step as three functions, each taking what the one before returned."""
    cell, recipe = job.cell, job.recipe
    plan = TrainingPlan(
        recipe=recipe, seed=cell.seed, device=cell.device, precision=cell.precision,
        sample_rate=data.task.sample_rate, multi_label=data.task.task_type == "multi_label",
        waveforms=not data.stored_features,
    )  # fmt: skip
    augmenter = Augmenter.of(recipe, plan.sample_rate, cell.seed)
    optimizer = make_optimizer(pipeline, recipe, cell.device)
    average = make_average(pipeline, recipe)

    def forward(batch: Batch) -> Tensor:
        return compute_loss(pipeline, batch.inputs, batch.targets, augmenter, plan)

    def backward(loss: Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(pipeline.parameters(), recipe.clip_norm)

    def update(_: None) -> None:
        optimizer.step()
        if average is not None:
            average.update_parameters(pipeline)

    return ("forward", forward), ("backward", backward), ("optimiser", update)


def inference_stages(pipeline: Pipeline, data: Inputs, job: Job) -> tuple[Stage, ...]:
    """Rows of the data set in, logits on the host out."""
    device, precision = job.cell.device, job.cell.precision
    source = data.test_batches(np.arange(len(data.clips), dtype=np.int64), job.cell.batch)

    def load(rows: npt.NDArray[np.int64]) -> dict[str, Tensor]:
        return source.take(rows).inputs

    def move(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: x.to(device, non_blocking=True) for name, x in inputs.items()}

    @torch.inference_mode()
    def features(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {**inputs, "audio": pipeline.features(inputs["audio"])} if "audio" in inputs else inputs

    @torch.inference_mode()
    def forward(inputs: dict[str, Tensor]) -> Tensor:
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
            return pipeline.logits(inputs)

    stages: list[Stage] = [("load", load), ("to_device", move)]
    if "audio" in data.tested:
        stages.append(("front_end", features))
    return (*stages, ("forward", forward), ("to_host", lambda logits: logits.to("cpu")))


def dissect(pipeline: Pipeline, batches: list[Batch], data: Inputs, job: Job, *, few: int) -> Anatomy:
    """The pieces of a network's work on rotating batches.

    Args:
        pipeline: On the device of the job.
        batches: Distinct batches of the cell's size.
        data: Where the clips are.
        job: For device and precision.
        few: Clips to count FLOPs on, at most a batch: 1, or more where a clip's logits depend on its mates.
    """
    first = data.test_batches(batches[0].index, few).take(batches[0].index[:few])

    def rows(i: int) -> npt.NDArray[np.int64]:
        pipeline.eval()
        return batches[i % len(batches)].index

    def batch(i: int) -> Batch:
        pipeline.train()
        return batches[i % len(batches)]

    @torch.no_grad()
    def features() -> dict[str, Tensor]:
        pipeline.eval()
        ready = {name: x.to(job.cell.device) for name, x in first.inputs.items()}
        return {**ready, "audio": pipeline.features(ready["audio"])} if "audio" in ready else ready

    @torch.no_grad()
    def forward(ready: dict[str, Tensor]) -> Tensor:
        pipeline.eval()
        return pipeline.logits(ready)

    return Anatomy(
        infer=inference_stages(pipeline, data, job), learn=training_stages(pipeline, data, job),
        rows=rows, batch=batch, few=few, features=features, forward=forward,
        has_frontend=pipeline.frontend is not None,
    )  # fmt: skip


def stage_tables(anatomy: Anatomy, device: str, pace: Timings) -> dict[str, Any]:
    """Milliseconds of the stages of inference and of a training step at the cell's batch."""
    parts: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    looks: dict[str, tuple[tuple[Stage, ...], Callable[[int], Any], float | None]] = {
        "infer": (anatomy.infer, anatomy.rows, pace.infer_s),
        "train": (anatomy.learn, anatomy.batch, pace.learn_s),
    }
    for name, (stages, feed, seconds) in looks.items():
        passes = int(pace.budget_s / (2 * seconds)) - STAGE_WARMUP if seconds else 0
        if passes < LEAST_PASSES:
            parts[name] = None
            took = 0.0 if seconds is None else seconds
            reasons[name] = (
                f"one pass takes {took:.2g} s; {2 * (LEAST_PASSES + STAGE_WARMUP)} of them exceed the "
                f"{pace.budget_s:.2g} s that a breakdown may take"
            )
            continue
        table = measure_stages(stages, feed, device=device, passes=min(passes, MOST_PASSES), warmup=STAGE_WARMUP)
        parts[name] = table.to_json()
    return {**parts, **({"reasons": reasons} if reasons else {})}


def flops_table(anatomy: Anatomy, pace: Timings) -> dict[str, Any]:
    """Floating-point operations of inference, front end and model apart, and the rate reached over all clips.

    A compiled network is counted as it stands: its kernels do not name the operators that they are made of.
    """
    with torch.compiler.set_stance("force_eager"):
        ready = anatomy.features()
        model = count_flops(lambda: anatomy.forward(ready))
        frontend = count_flops(anatomy.features) if anatomy.has_frontend else None
    total = model.total + (0 if frontend is None else frontend.total)
    return {
        "clips": anatomy.few,
        "total": total,
        "model": model.to_json(),
        "frontend": None if frontend is None else frontend.to_json(),
        "reached_per_s": total / anatomy.few * pace.clips_per_s,
    }


def guard_table(
    steps: Mapping[str, tuple[Callable[[int], object], float]],
    changed: Mapping[str, tuple[Any, Any]],
    budget_s: float,
) -> dict[str, Any]:
    """What the model does to its process.

    Args:
        steps: By name what may be watched, with its seconds; the first that can be run often enough is.
        changed: Torch's switches that were changed before anything was timed, and put back.
        budget_s: Seconds for the watched steps.
    """
    found = [
        Finding(kind="flags", message=f"sets torch's global {name} from {before} to {after} (put back)")
        for name, (before, after) in changed.items()
    ]
    for name, (call, seconds) in steps.items():
        count = min(GUARDED_STEPS, int(budget_s / seconds))
        if count >= MIN_STEPS:
            found += inspect_callable(call, steps=count)
            return {"watched": name, "steps": count, "findings": _told(found)}
    slowest = max(seconds for _, seconds in steps.values())
    reason = f"{MIN_STEPS} steps of up to {slowest:.2g} s exceed the {budget_s:.2g} s that the guards may take"
    return {"watched": None, "steps": 0, "findings": _told(found), "reasons": {"watched": reason}}


def _told(findings: list[Finding]) -> list[dict[str, str]]:
    return [
        {"kind": kind, "message": text} for kind, text in dict.fromkeys((one.kind, one.message) for one in findings)
    ]


def energy_table(step: Callable[[int], int], device: str, *, brief: bool) -> dict[str, Any]:
    """Joules per clip of batched inference by a hardware counter; unknown with the reason where there is none."""

    def waited(i: int) -> int:
        clips = step(i)
        synchronize(device)
        return clips

    with energy_counter(gpu_uuid=cuda_uuid(device) if device != "cpu" else None) as counter:
        if isinstance(counter, str):
            return unknown_energy(counter)
        idle, most = (0.3, 5.0) if brief else (2.0, 20.0)
        return measure_energy(waited, counter, idle_s=idle, max_seconds=most).to_json()
