"""What is checked of how a model begins: from nothing that was used before, and as its seed says."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.errors import some
from bench.execution.build import build_model, materialise
from bench.execution.state import start_of
from bench.execution.weights import load_weights, output_layer
from bench.testing.results import CheckResult, failed, passed

if TYPE_CHECKING:
    from bench.testing.estimators import EstimatorCase
    from bench.testing.networks import NetworkCase


def seeded(case: NetworkCase) -> CheckResult:
    """The same seed gives the same initial weights, to the last bit, after another network of it was trained too."""
    trained, inputs = case.fresh(0).train(), case.rows()
    clips = len(next(iter(inputs.values())))
    loss = F.cross_entropy(trained.logits(inputs).float(), case.batch.targets[:clips])
    loss.backward()  # type: ignore[no-untyped-call]
    with torch.no_grad():
        for parameter in trained.parameters():
            if parameter.grad is not None:
                parameter.sub_(parameter.grad)
    mine, again = case.pipeline.model.state_dict(), case.fresh(0).model.state_dict()
    changed = [name for name, x in mine.items() if isinstance(x, Tensor) and not torch.equal(x, again[name])]
    if changed:
        advice = "draw from torch's generator, or take `seed` as a keyword of the factory"
        return failed(f"{some(changed)} differ between two builds from seed 0; {advice}", float(len(changed)))
    return passed(f"all {len(mine)} tensors of two builds from seed 0 are equal", 0.0)


def seeds(case: NetworkCase | EstimatorCase) -> CheckResult:
    """Two seeds give two starts: a factory that sets a seed of its own makes every seed the same."""
    spec = case.entry.spec
    first, second = (start_of(build_model(case.entry, case.data.task, seed)) for seed in (0, 1))
    same = [name for name, digest in first.items() if second.get(name) == digest]
    if own := [name for name in same if name != "tensors"]:
        advice = "leave seeding to the host, or take `seed` as a keyword of the factory"
        return failed(f"seeds give the same start: the factory seeds {some(own)} itself; {advice}", float(len(own)))
    if same and not (spec.trained_on or spec.options.get("weights")):
        advice = "draw them from torch's generator, or say with trained_on which data its weights have seen"
        return failed(f"seeds give the same start: every tensor is the same under seeds 0 and 1; {advice}")
    return passed("all tensors come from a file" if same else "two seeds give two starts")


def weights(case: NetworkCase, path: Path, prefix: str) -> CheckResult:
    """A file of ``--weights`` fits: every tensor is taken, but those of an output layer with other classes."""
    pipeline = case.fresh(0)
    once = functools.partial(materialise, pipeline, case.data, np.arange(2))
    found = load_weights(pipeline.model, path, output_layer(pipeline.model, once, case.data.task.num_classes), prefix)
    said = [f"{what} {some(found[what])}" for what in ("fresh", "ignored") if found[what]]
    return passed("; ".join([f"{found['loaded']} tensors of {path.name} are loaded", *said]), float(found["loaded"]))
