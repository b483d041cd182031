"""What is checked of a model that is a ``torch.nn.Module``. Everything runs on a few clips of one second."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from bench.config.recipes import resolve
from bench.data.batches import Batch
from bench.errors import PluginError, some
from bench.execution.build import build_model, build_pipeline, materialise
from bench.execution.inputs import Inputs
from bench.execution.pipeline import Pipeline
from bench.execution.step import Inference
from bench.frontends.precision import full_precision
from bench.plugins.registry import Entry
from bench.plugins.specs import ModelSpec
from bench.recipe import Recipe
from bench.testing.inputs import FULL_SCALE, hardened
from bench.testing.results import Check, CheckResult, change, checks_of, failed, judge, passed, skipped, twice
from bench.testing.starts import seeded, seeds

BATCH = 8
"""Clips of one forward pass."""

DEPENDENCE = 1e-3
"""Change of a logit, as a fraction of the logits' standard deviation, above which batch mates are felt.

Rounding was measured at about 1e-6; the weaker dependence known, a graph over the clips of a batch, at 0.24.
"""


@dataclass(frozen=True, slots=True)
class NetworkCase:
    """A network of seed 0 with its data, and a batch of ``2 * BATCH`` clips as it takes them (features, ...).

    No check leaves the network changed: ``known`` keeps its logits by the clips of their batch.
    """

    entry: Entry[ModelSpec]
    data: Inputs
    recipe: Recipe
    pipeline: Pipeline
    batch: Batch
    known: dict[tuple[int, ...], Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, entry: Entry[ModelSpec], data: Inputs, model: nn.Module) -> NetworkCase:
        """Fit the normaliser, initialise lazy layers and compute the features."""
        recipe = resolve("full", entry.spec.recipes)
        pipeline = pipeline_of(model, data, recipe)
        return cls(entry, data, recipe, pipeline, featured(pipeline, data, 2 * BATCH))

    def rows(self, index: Sequence[int] = range(BATCH)) -> dict[str, Tensor]:
        """Some of the clips."""
        return {name: x[list(index)] for name, x in self.batch.inputs.items()}

    def logits(self, index: Sequence[int] = range(BATCH)) -> Tensor:
        """``(clips, classes)`` of some clips in ``eval()``; computed once."""
        key = tuple(index)
        if key not in self.known:
            self.known[key] = forward(self.pipeline, self.rows(key))
        return self.known[key]

    def hard(self) -> Batch:
        """Sounds as recordings have them and tones have not, see :func:`bench.testing.inputs.hard_clips`."""
        return featured(self.pipeline, *hardened(self.data))

    def fresh(self, seed: int) -> Pipeline:
        """The network built anew from another seed."""
        model = build_model(self.entry, self.data.task, seed)
        if not isinstance(model, nn.Module):
            raise PluginError(f"{self.entry.factory} gave a network before and now a {type(model).__name__}")
        return pipeline_of(model, self.data, self.recipe, fitted=self.pipeline)


def pipeline_of(model: nn.Module, data: Inputs, recipe: Recipe, *, fitted: Pipeline | None = None) -> Pipeline:
    """Front end, normaliser and the network with every lazy layer initialised.

    The normaliser is fitted, or as that of a pipeline that was ``fitted`` to these data.
    """
    rows = np.arange(len(data.clips), dtype=np.int64)
    if fitted is not None:
        recipe = recipe.model_copy(update={"normalise": "none"})
    pipeline = build_pipeline(model, data, recipe, rows)
    if fitted is not None:
        pipeline.normaliser = copy.deepcopy(fitted.normaliser)
    materialise(pipeline, data, rows)
    return pipeline


def featured(pipeline: Pipeline, data: Inputs, clips: int) -> Batch:
    """The first clips as the network takes them: through the front end."""
    batch = data.batches(np.arange(clips, dtype=np.int64), clips).take(np.arange(clips, dtype=np.int64))
    with torch.no_grad():
        return replace(batch, inputs=pipeline.prepare(batch.inputs))


def forward(pipeline: Pipeline, inputs: Mapping[str, Tensor], device: str = "cpu") -> Tensor:
    """Logits ``(batch, classes)`` of features, in ``eval()`` without gradients."""
    infer = Inference(pipeline, device)
    logits: Tensor = infer.forward(infer.to_device(inputs))
    return logits


@contextmanager
def unchanged(pipeline: Pipeline) -> Iterator[None]:
    """Afterwards gradients are gone, buffers (running statistics) are as before, and ``eval()`` is on."""
    buffers = [(x, x.clone()) for x in pipeline.buffers()]
    try:
        yield
    finally:
        pipeline.zero_grad(set_to_none=True)
        pipeline.eval()
        with torch.no_grad():
            for x, before in buffers:
                x.copy_(before)


def network_checks(case: NetworkCase) -> dict[str, Check]:
    """The checks of one network, by name, in order."""
    return checks_of(
        case, logits, finite, gradient, deterministic, seeded, seeds, batch_mates, permutation, state_dict, bf16, cuda
    )


def logits(case: NetworkCase) -> CheckResult:
    """Floating-point logits ``(batch, classes)`` for batches of one, two and many clips."""
    classes = case.data.task.num_classes
    sizes = (BATCH, 2, 1) if case.entry.spec.inductive else (BATCH, 2)
    for size in sizes:
        found = case.logits(range(size))  # the pipeline refuses another shape
        if found.dtype != torch.float32:
            return failed(f"logits are {found.dtype}; return float32 (autocast is the host's business)")
    return passed(f"(batch, {classes}) float32 for batches of {', '.join(map(str, sorted(sizes)))}", float(classes))


def finite(case: NetworkCase) -> CheckResult:
    """No nan or infinity, neither on sounds nor on digital silence."""
    inputs = {"sounds": case.rows()}
    if "audio" in case.data.given:
        with torch.no_grad():
            silence = case.pipeline.features(torch.zeros(BATCH, case.data.task.clip_samples))
        inputs["silence"] = {**case.rows(), "audio": silence}
        inputs["hard sounds"] = case.hard().inputs
    for what, batch in inputs.items():
        found = forward(case.pipeline, batch)
        if bad := int((~found.isfinite()).sum()):
            return failed(f"{bad} of {found.numel()} logits on {what} are nan or infinite; look for log(0) and 0/0")
    return passed(f"on {' and '.join(inputs)}")


def gradient(case: NetworkCase) -> CheckResult:
    """The loss reaches every parameter that asks for a gradient.

    Modules that only training or ``pretrain_loss`` uses count; one without a path to any loss is dead weight.
    """
    model = case.pipeline.model
    wanted = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not wanted:
        return skipped("no parameter asks for a gradient")
    with unchanged(case.pipeline):
        _backward(case)
        unreached = [name for name, p in wanted.items() if p.grad is None]
        broken = [name for name, p in wanted.items() if p.grad is not None and not p.grad.isfinite().all()]
        still = [name for name, p in wanted.items() if p.grad is not None and not p.grad.any()]
    if broken:
        return failed(f"the gradient of {some(broken)} is nan or infinite", float(len(broken)))
    if unreached:
        advice = "use them in forward, delete them, or freeze them with requires_grad_(False)"
        said = f"no gradient reaches {some(unreached)} of {len(wanted)} tensors"
        return failed(f"{said}; {advice}", float(len(unreached)))
    note = f"; exactly 0 at the start for {some(still)}" if still else ""
    return passed(f"reaches all {len(wanted)} tensors{note}", 0.0)


def _backward(case: NetworkCase) -> None:
    inputs, targets = case.rows(), case.batch.targets[:BATCH]
    pretrain = getattr(case.pipeline.model, "pretrain_loss", None)
    for training in (False, True):
        case.pipeline.train(training)
        F.cross_entropy(case.pipeline.logits(inputs).float(), targets).backward()  # type: ignore[no-untyped-call]
        if callable(pretrain):
            pretrain(**inputs).backward()
        if all(p.grad is not None for p in case.pipeline.model.parameters() if p.requires_grad):
            break


def deterministic(case: NetworkCase) -> CheckResult:
    """The same clips give the same logits in ``eval()``, to the last bit, whatever the state of the generators."""
    advice = "something random (dropout, a functional dropout without self.training, noise) is on in eval()"
    return twice(lambda: forward(case.pipeline, case.rows()), advice)


def batch_mates(case: NetworkCase) -> CheckResult:
    """A clip's logits do not depend on the other clips of its batch; with ``inductive=False`` they must."""
    first = case.logits()
    others = [(0, *range(BATCH, 2 * BATCH - 1)), *([(0,)] if case.entry.spec.inductive else [])]
    moved = max(float((first[0] - case.logits(other)[0]).abs().max()) for other in others)
    if case.entry.spec.inductive and "audio" in case.data.given:
        moved = max(moved, _beside_loud(case))
    moved /= max(float(first.std()), 1e-12)
    felt = moved > DEPENDENCE
    said = f"other batch mates change a clip's logits by {moved:.2g} of their standard deviation"
    if case.entry.spec.inductive:
        return judge(not felt, said, "mend it, or declare inductive=False (such rows are never ranked)", moved)
    return judge(felt, said, "inductive=False is declared but no dependence was found; leave it out", moved)


def _beside_loud(case: NetworkCase) -> float:
    """Largest change of a finite logit of the hard sounds, each alone and beside the one at full scale."""
    hard, moved = case.hard(), 0.0
    for i in range(len(hard)):
        alone, beside = (
            forward(case.pipeline, {name: x[rows] for name, x in hard.inputs.items()})[0]
            for rows in ([i], [i, FULL_SCALE])
        )
        moved = max(moved, float(torch.where(alone.isfinite(), beside - alone, 0.0).abs().max()))
    return moved


def permutation(case: NetworkCase) -> CheckResult:
    """Clips in another order give the same logits in that order."""
    order = np.random.default_rng(0).permutation(BATCH).tolist()
    moved = change(case.logits(order), case.logits()[order])
    said = f"another order changes the logits by {moved:.2g} of their standard deviation"
    return judge(moved <= DEPENDENCE, said, "something looks at a clip's place in the batch", moved)


def state_dict(case: NetworkCase) -> CheckResult:
    """Weights written as safetensors and read into a network of another seed give the same logits."""
    state = case.pipeline.state_dict()
    if odd := [name for name, x in state.items() if not isinstance(x, Tensor)]:
        return failed(f"the state dict holds {some(odd)}, no tensors; use register_buffer instead of extra state")
    content = save_tensors({name: x.detach().contiguous().clone() for name, x in state.items()})
    other = case.fresh(1)
    other.load_state_dict(load_tensors(content))
    difference = float((case.logits() - forward(other, case.rows())).abs().max())
    advice = "something that the logits depend on is no parameter and no persistent buffer"
    said = f"{len(content) / 1e6:.1f} MB written and read, the logits differ by {difference:.3g}"
    return judge(difference == 0.0, said, advice, difference)


def bf16(case: NetworkCase) -> CheckResult:
    """Logits and gradients under bfloat16 autocast are finite."""
    return _autocast(case, case.pipeline, "cpu")


def cuda(case: NetworkCase) -> CheckResult:
    """The CPU's logits on the GPU, and bfloat16 there."""
    if not torch.cuda.is_available():
        return skipped("no CUDA device on this machine")
    other = case.fresh(0)
    other.load_state_dict(case.pipeline.state_dict())
    other.to("cuda")
    with full_precision(torch.device("cuda")):
        found = forward(other, case.rows(), "cuda").cpu()
    moved = change(found, case.logits())
    if (half := _autocast(case, other, "cuda")).status == "failed":
        return half
    said = f"CPU and GPU differ by {moved:.2g} of the logits' standard deviation"
    return judge(moved <= 0.01, said, "look for tensors made on the CPU, or for half precision", moved)


def _autocast(case: NetworkCase, pipeline: Pipeline, device: str) -> CheckResult:
    inputs = {name: x.to(device) for name, x in case.rows().items()}
    with unchanged(pipeline):
        pipeline.train()
        with torch.autocast(device, torch.bfloat16):
            found = pipeline.logits(inputs)
        F.cross_entropy(found.float(), case.batch.targets[:BATCH].to(device)).backward()  # type: ignore[no-untyped-call]
        bad = [n for n, p in pipeline.model.named_parameters() if p.grad is not None and not p.grad.isfinite().all()]
    if not found.isfinite().all():
        return failed(f"logits under bfloat16 autocast on {device} are nan or infinite")
    if bad:
        return failed(f"gradients of {some(bad)} under bfloat16 autocast on {device} are nan or infinite")
    return passed(f"logits and gradients are finite under bfloat16 autocast on {device}")
