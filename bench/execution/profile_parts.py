"""What a profile cell looks at beside speed and memory: stages, FLOPs, energy, and how the model behaves.

All of it runs after the timed passes and never inside them; what would take too long is ``None`` with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch

from bench.clips import TaskInfo
from bench.data.batches import Batch, Batches
from bench.execution.estimators import logits_of
from bench.execution.inputs import Inputs
from bench.execution.pipeline import Pipeline
from bench.execution.step import Inference, StepSettings, TrainStep, to_device
from bench.job import Job
from bench.measurement.clocks import synchronize
from bench.measurement.device_memory import cuda_uuid
from bench.measurement.energy import energy_counter, measure_energy, unknown_energy
from bench.measurement.flops import count_flops
from bench.measurement.guards import MIN_STEPS, inspect_callable
from bench.measurement.noise import Advice
from bench.measurement.stages import Stage, measure_stages

NO_NETWORK = "fitted as a whole: it is no torch network that could be taken apart"
GUARDED_STEPS = 20
LEAST_PASSES, MOST_PASSES, STAGE_WARMUP = 3, 20, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkCalls:
    """The engine's own inference and training step of a network, with batches to rotate over.

    Attributes:
        inference: The one that evaluation runs.
        step: The step that training runs.
        singles: Batches of one clip as in test.
        tested: Batches of the cell's size as in test.
        trained: Batches of the cell's size as in training.
        source: All clips as in test.
        few: Clips that FLOPs are counted on: 1, or a batch where a clip's logits depend on its mates.
    """

    inference: Inference
    step: TrainStep
    singles: list[Batch]
    tested: list[Batch]
    trained: list[Batch]
    source: Batches
    few: int

    @classmethod
    def of(cls, pipeline: Pipeline, data: Inputs, job: Job, clips: npt.NDArray[np.int64], *, few: int) -> NetworkCalls:
        """The steps of a cell for a pipeline on its device, over ``clips``; a small data set repeats them."""
        batch, everything = job.cell.batch, np.arange(len(data.clips), dtype=np.int64)
        wanted = np.resize(clips, max(batch, len(clips) // batch * batch))
        return cls(
            inference=Inference(pipeline, job.cell.device, job.cell.precision),
            step=TrainStep(pipeline, StepSettings.of(job, data), -(-len(everything) // batch)),
            singles=list(data.test_batches(clips, 1).epoch(0)),
            tested=list(data.test_batches(wanted, batch).epoch(0)),
            trained=list(data.batches(wanted, batch).epoch(0)),
            source=data.test_batches(everything, batch),
            few=few,
        )

    def one(self, i: int) -> None:
        """Clip ``i`` alone; its prediction is out when it stands on the host, so the copy is part of the work."""
        self.inference(self.singles[i % len(self.singles)]).to("cpu", non_blocking=True)

    def infer(self, i: int) -> int:
        """Batch ``i``; returns its clips."""
        batch = self.tested[i % len(self.tested)]
        self.inference(batch).to("cpu", non_blocking=True)
        return len(batch)

    def learn(self, i: int) -> int:
        """Training step ``i``; returns its clips."""
        batch = self.trained[i % len(self.trained)]
        self.step(batch)
        return len(batch)

    @property
    def inference_stages(self) -> tuple[Stage, ...]:
        """Rows of the data set in, logits on the host out."""
        infer = self.inference
        heard = "audio" in self.tested[0].inputs
        return (
            ("load", lambda rows: self.source.take(rows).inputs),
            ("to_device", infer.to_device),
            *([("front_end", infer.features)] if heard else []),
            ("forward", infer.forward),
            ("to_host", lambda logits: logits.to("cpu")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimatorCalls:
    """A fitted estimator over ``x (clips, ...)``; it has no training steps.

    Attributes:
        model: Fitted.
        x: What it is asked about.
        task: For the width of its answers.
        size: Clips of a batch.
    """

    model: Any
    x: npt.NDArray[np.float32]
    task: TaskInfo
    size: int

    learn: ClassVar[None] = None

    def one(self, i: int) -> None:
        """Clip ``i`` alone."""
        logits_of(self.model, self.x[i % len(self.x)][None], self.task)

    def infer(self, i: int) -> int:
        """Batch ``i``; returns its clips."""
        start = i * self.size % (len(self.x) - self.size + 1)
        return len(logits_of(self.model, self.x[start : start + self.size], self.task))


Calls = NetworkCalls | EstimatorCalls


def stage_tables(calls: NetworkCalls, infer_s: float, learn_s: float, budget_s: float) -> dict[str, Any]:
    """Milliseconds of the stages of inference and of a training step at the cell's batch.

    Args:
        calls: Of the network.
        infer_s: Seconds of one batch of inference.
        learn_s: Seconds of one training step.
        budget_s: Seconds that both breakdowns may take.
    """
    parts: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    looks: dict[str, tuple[tuple[Stage, ...], Callable[[int], Any], float]] = {
        "infer": (calls.inference_stages, lambda i: calls.trained[i % len(calls.trained)].index, infer_s),
        "train": (calls.step.parts, lambda i: calls.trained[i % len(calls.trained)], learn_s),
    }
    for name, (stages, feed, seconds) in looks.items():
        passes = int(budget_s / (2 * seconds)) - STAGE_WARMUP
        if passes < LEAST_PASSES:
            parts[name] = None
            reasons[name] = (
                f"one pass takes {seconds:.2g} s; {2 * (LEAST_PASSES + STAGE_WARMUP)} of them exceed the "
                f"{budget_s:.2g} s that a breakdown may take"
            )
            continue
        passes = min(passes, MOST_PASSES)
        table = measure_stages(stages, feed, device=calls.inference.device, passes=passes, warmup=STAGE_WARMUP)
        parts[name] = table.to_json()
    return {**parts, **({"reasons": reasons} if reasons else {})}


def flops_table(calls: NetworkCalls, clips_per_s: float) -> dict[str, Any]:
    """Floating-point operations of inference, front end and model apart, and the rate reached over all clips.

    A compiled network is counted as it stands: its kernels do not name the operators that they are made of.
    """
    pipeline = calls.inference.pipeline.eval()
    inputs = to_device(calls.source.take(calls.trained[0].index[: calls.few]).inputs, calls.inference.device)
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        ready = pipeline.prepare(inputs)
        model = count_flops(lambda: pipeline.logits(ready))
        frontend = count_flops(lambda: pipeline.prepare(inputs)) if pipeline.frontend is not None else None
    total = model.total + (0 if frontend is None else frontend.total)
    return {
        "clips": calls.few,
        "total": total,
        "model": asdict(model),
        "frontend": None if frontend is None else asdict(frontend),
        "reached_per_s": total / calls.few * clips_per_s,
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
        Advice(kind="flags", message=f"sets torch's global {name} from {before} to {after} (put back)")
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


def _told(findings: list[Advice]) -> list[dict[str, str]]:
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
        return measure_energy(waited, counter, idle_s=idle, max_seconds=most)
