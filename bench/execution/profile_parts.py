"""What a profile cell looks at beside speed and memory: stages, FLOPs, energy, behaviour, what plugins measure.

All of it runs after the timed passes and never inside them; what would take too long is ``None`` with the reason.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
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
from bench.measurement.flops import as_written, count_flops
from bench.measurement.guards import MIN_STEPS, inspect_callable
from bench.measurement.noise import Advice
from bench.measurement.stages import Stage, measure_stages
from bench.plugins.factories import load_factory
from bench.plugins.registry import Registry
from bench.results.quantities import finite

NO_NETWORK = "fitted as a whole: it is no torch network that could be taken apart"
OPAQUE = "another runtime than torch does its work"
GUARDED_STEPS = 20
LEAST_PASSES, MOST_PASSES, STAGE_WARMUP = 3, 20, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkCalls:
    """The engine's own inference and training step of a network, with batches to rotate over.

    On a GPU the batches stand there, as in a run whose data set fits; single clips come from the host.

    Attributes:
        inference: The one that evaluation runs; ``step`` is the one of training.
        singles: Batches of one clip as in test.
        tested: Batches of the cell's size as in test; ``trained`` as in training.
        source: All clips as in test.
        few: Clips that FLOPs are counted on: 1, or a batch where a clip's logits depend on its mates.
        altering: Whether the network writes into its inputs: each call then gets a copy, as a run gets a new batch.
    """

    inference: Inference
    step: TrainStep
    singles: list[Batch]
    tested: list[Batch]
    trained: list[Batch]
    source: Batches
    few: int
    altering: bool = False

    @classmethod
    def of(cls, pipeline: Pipeline, data: Inputs, job: Job, clips: npt.NDArray[np.int64], *, few: int) -> NetworkCalls:
        """The steps of a cell for a pipeline on its device, over ``clips``; a small data set repeats them."""
        batch, everything = job.cell.batch, np.arange(len(data.clips), dtype=np.int64)
        wanted = np.resize(clips, max(batch, len(clips) // batch * batch))
        batches = list(data.batches(wanted, batch).epoch(0))  # shared by all calls: 20 MB where clips have 5 s
        source = data.test_batches(everything, batch)
        rest = data.test_batches(clips[len(wanted) :], 1).epoch(0)
        singles = (one.part(slice(i, i + 1), source.inputs) for one in batches for i in range(len(one)))
        calls = cls(
            inference=Inference(pipeline, job.cell.device, job.cell.precision, job.recipe.cuda_graphs),
            step=TrainStep(pipeline, StepSettings.of(job, data), -(-len(everything) // batch)),
            singles=[*itertools.islice(singles, len(clips)), *rest],
            tested=[one.part(slice(None), source.inputs).on(job.cell.device) for one in batches],
            trained=[one.on(job.cell.device) for one in batches],
            source=source,
            few=few,
        )
        return replace(calls, altering=calls._alters())

    def _alters(self) -> bool:
        inputs = self.tested[0].copy().inputs
        before = [x._version for x in inputs.values()]
        with as_written():  # what compilation takes is told by the first real call
            self.inference.forward(self.inference.features(self.inference.to_device(inputs)))
        return before != [x._version for x in inputs.values()]

    def given(self, batches: Sequence[Batch], i: int) -> Batch:
        """Batch ``i`` as it was made."""
        batch = batches[i % len(batches)]
        return batch.copy() if self.altering else batch

    def one(self, i: int) -> None:
        """Clip ``i`` alone; its prediction is out when it stands on the host, so the copy is part of the work."""
        self.inference(self.given(self.singles, i)).to("cpu", non_blocking=True)

    def infer(self, i: int) -> int:
        """Batch ``i``; returns its clips."""
        batch = self.given(self.tested, i)
        self.inference(batch).to("cpu", non_blocking=True)
        return len(batch)

    def learn(self, i: int) -> int:
        """Training step ``i``; returns its clips."""
        batch = self.given(self.trained, i)
        self.step(batch)
        return len(batch)

    @property
    def graphs(self) -> dict[str, Any]:
        """What was captured of the calls, and why not the rest."""
        return {"infer": self.inference.graphs.report(), "train": self.step.graphs.report()}

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
    """A fitted estimator over ``x (clips, ...)``, ``size`` clips a batch; it has no training steps."""

    model: Any
    x: npt.NDArray[np.float32]
    task: TaskInfo
    size: int

    learn: ClassVar[None] = None
    altering: ClassVar[bool] = False

    def one(self, i: int) -> None:
        """Clip ``i`` alone; a copy, since an estimator may write into what it is given."""
        logits_of(self.model, self.x[i % len(self.x)][None].copy(), self.task)

    def infer(self, i: int) -> int:
        """Batch ``i``; returns its clips."""
        start = i * self.size % (len(self.x) - self.size + 1)
        return len(logits_of(self.model, self.x[start : start + self.size].copy(), self.task))


Calls = NetworkCalls | EstimatorCalls


def stage_tables(calls: NetworkCalls, infer_s: float, learn_s: float, budget_s: float) -> dict[str, Any]:
    """Milliseconds of the stages of inference and of a training step, which take ``infer_s`` and ``learn_s`` seconds.

    Both breakdowns together may take ``budget_s`` seconds.
    """
    parts: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    looks: dict[str, tuple[tuple[Stage, ...], Callable[[int], Any], float]] = {
        "infer": (calls.inference_stages, lambda i: calls.trained[i % len(calls.trained)].index, infer_s),
        "train": (calls.step.parts, lambda i: calls.given(calls.trained, i), learn_s),
    }
    for name, (stages, feed, seconds) in looks.items():
        passes = min(MOST_PASSES, int(budget_s / (2 * seconds)) - STAGE_WARMUP)
        parts[name] = None
        if passes < LEAST_PASSES:
            reasons[name] = (
                f"one pass takes {seconds:.2g} s; {2 * (LEAST_PASSES + STAGE_WARMUP)} of them exceed the "
                f"{budget_s:.2g} s that a breakdown may take"
            )
            continue
        table = measure_stages(stages, feed, device=calls.inference.device, passes=passes, warmup=STAGE_WARMUP)
        parts[name] = table.to_json()
    return {**parts, **({"reasons": reasons} if reasons else {})}


def flops_table(calls: NetworkCalls, clips_per_s: float) -> dict[str, Any] | None:
    """Floating-point operations of inference, front end and model apart, and the rate reached over all clips.

    ``None`` where torch does not see what the model computes.

    A compiled network is counted as it stands: its kernels do not name the operators that they are made of.
    """
    pipeline = calls.inference.pipeline.eval()
    if pipeline.opaque:
        return None
    inputs = to_device(calls.source.take(calls.trained[0].index[: calls.few]).inputs, calls.inference.device)
    with torch.no_grad(), as_written():
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
    *,
    altering: bool = False,
) -> dict[str, Any]:
    """What the model does to its process: torch's switches ``changed`` (and put back), and what a watched step does.

    ``altering`` says that it writes into its inputs.

    Watched is the first of the ``steps`` (with their seconds) that ``budget_s`` seconds let run often enough.
    """
    found = [
        Advice(kind="flags", message=f"sets torch's global {name} from {before} to {after} (put back)")
        for name, (before, after) in changed.items()
    ]
    if altering:
        message = "writes into its inputs; each call was given a copy, whose time is counted"
        found.append(Advice(kind="inputs", message=message))
    for name, (call, seconds) in steps.items():
        count = min(GUARDED_STEPS, int(budget_s / seconds))
        if count >= MIN_STEPS:
            found += inspect_callable(call, steps=count)
            watched: dict[str, Any] = {"watched": name, "steps": count}
            break
    else:
        slowest = max(seconds for _, seconds in steps.values())
        reason = f"{MIN_STEPS} steps of up to {slowest:.2g} s exceed the {budget_s:.2g} s that the guards may take"
        watched = {"watched": None, "steps": 0, "reasons": {"watched": reason}}
    told = dict.fromkeys((one.kind, one.message) for one in found)
    return {**watched, "findings": [{"kind": kind, "message": text} for kind, text in told]}


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


def added_measurements(registry: Registry, call: Callable[[int], int], clips: int) -> dict[str, dict[str, Any]]:
    """Every registered measurement by name: value, unit, direction and title, or the reason why there is no value.

    Args:
        registry: What plugins give.
        call: Runs inference on a batch.
        clips: Clips in it.
    """
    found: dict[str, dict[str, Any]] = {}
    for name, entry in registry.measurements.entries.items():
        value = reason = None
        try:
            given = load_factory(entry.factory)(call, clips)
        except Exception as error:  # noqa: BLE001  one measurement that fails leaves the others of the cell
            reason = f"{entry.provenance} raised {type(error).__name__}: {error}"
        else:
            value = finite(given)
            if value is None:
                reason = "it cannot be measured here" if given is None else f"{given!r} is no finite number"
        found[name] = {
            "value": value,
            "unit": entry.spec.unit,
            "higher_is_better": entry.spec.higher_is_better,
            "title": entry.spec.title or name,
            **({} if reason is None else {"reasons": {"value": reason}}),
        }
    return found
