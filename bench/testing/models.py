"""The checks of a model beyond those of its network alone: its size, its front ends, its weights, learning by heart."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import is_lazy

from bench.cell import GIVEN
from bench.config.recipes import resolve
from bench.errors import CheckpointError
from bench.execution.build import build_model, takes_weights
from bench.execution.estimators import inputs_of
from bench.execution.pipeline import count_parameters
from bench.execution.step import Inference, StepSettings, TrainStep
from bench.plugins.registry import Entry, Registry
from bench.plugins.specs import ModelSpec
from bench.testing.estimators import EstimatorCase, estimator_checks
from bench.testing.inputs import as_inputs, synthetic_clips
from bench.testing.networks import NetworkCase, featured, network_checks, pipeline_of
from bench.testing.results import Check, CheckResult, Effort, failed, judge, passed, skipped
from bench.testing.starts import weights

TOLERANCE = 0.005
"""Largest difference of a counted from the declared number of parameters, as a fraction."""
LARGE = 20_000_000
"""Parameters above which only ``slow`` builds a network on every front end."""
OVERFIT_LIMIT = 6_000_000
"""Parameters above which only ``slow`` lets a network learn 32 clips by heart."""
STEPS = 400
"""Optimiser steps over all clips at once after which a network has failed."""
_PLAIN: dict[str, Any] = {
    "weight_decay": 0.0, "label_smoothing": 0.0, "schedule": "constant", "warmup": 0.0, "ema": None,
    "mixup_alpha": 0.0, "spec_masks": 0,
}  # fmt: skip


def parameters(registry: Registry, entry: Entry[ModelSpec]) -> CheckResult:
    """The declared number of parameters at 50 classes, 5 s and 16 kHz, to 0.5 %; counted without memory."""
    spec = entry.spec
    task = as_inputs(registry, spec, synthetic_clips(clips=1, samples=80_000)).task
    task = replace(task, num_classes=50, label_names=tuple(f"class {i}" for i in range(50)))
    try:
        with torch.device("meta"):
            model = build_model(entry, task, 0)
    except (RuntimeError, NotImplementedError):  # a factory that computes with its weights needs real ones
        model = build_model(entry, task, 0)
    if not isinstance(model, nn.Module):
        return skipped("an estimator has no parameters to count before fit")
    if any(is_lazy(p) for p in model.parameters()):
        return skipped("lazy layers have no parameters before their first batch")
    count = count_parameters(model)
    if spec.parameters is None:
        return skipped(f"it declares none; write parameters={count:_}", float(count))
    off = abs(count - spec.parameters) / spec.parameters
    said = f"{count:_} counted, {spec.parameters:_} declared"
    return judge(off <= TOLERANCE, said, f"{off:.1%} apart: write parameters={count:_}", float(count))


def started(entry: Entry[ModelSpec], effort: Effort) -> Entry[ModelSpec]:
    """The model, started from ``effort.weights`` where its factory reads them."""
    if effort.weights is None:
        return entry
    own = {"weights": str(effort.weights)} if takes_weights(entry) else {}
    return replace(entry, spec=replace(entry.spec, options={**entry.spec.options, **own}, needs_weights=False))


def built(registry: Registry, entry: Entry[ModelSpec]) -> NetworkCase | EstimatorCase | CheckResult:
    """The model on synthetic clips, or why there is none."""
    if entry.spec.needs_weights:
        return skipped("it starts from weights that only the user has; try it with `bench run --weights`")
    data = as_inputs(registry, entry.spec, synthetic_clips())
    try:
        model = build_model(entry, data.task, 0)
        build_model(entry, data.task, 0)  # refused where it hands out anything for a second time
    except CheckpointError as error:
        if entry.spec.extra is None:
            raise
        return skipped(f"the extra {entry.spec.extra!r} is not installed: {error}")
    if isinstance(model, nn.Module):
        return NetworkCase.of(entry, data, model)
    return EstimatorCase(entry, data, inputs_of(data, np.arange(len(data.clips))))


def model_checks(
    registry: Registry, entry: Entry[ModelSpec], case: NetworkCase | EstimatorCase, effort: Effort, size: float
) -> Mapping[str, Check]:
    """All checks of a model that could be built; ``size`` are its parameters."""
    if isinstance(case, EstimatorCase):
        return estimator_checks(case)
    more: dict[str, Check] = {}
    if (path := effort.weights) and not takes_weights(entry):
        more["weights"] = lambda: weights(case, path, effort.weights_prefix)
    more |= {
        "front_ends": lambda: _front_ends(registry, entry, small=size < LARGE or effort.slow),
        "overfit": lambda: _overfit(registry, case, effort),
    }
    return network_checks(case) | more | _with_optional(registry, entry)


def _with_optional(registry: Registry, entry: Entry[ModelSpec]) -> dict[str, Check]:
    """The checks that optional inputs could break, with these given."""
    if not entry.spec.optional_modalities:
        return {}

    @functools.cache
    def checks() -> dict[str, Check]:
        data = as_inputs(registry, entry.spec, synthetic_clips(), optional=True)
        return network_checks(NetworkCase.of(entry, data, build_model(entry, data.task, 0)))

    inputs = "+".join((*entry.spec.modalities, *entry.spec.optional_modalities))
    names = ("logits", "finite", "gradient", "deterministic", "batch_mates", "permutation", "state_dict", "bf16")
    return {f"{name}[{inputs}]": functools.partial(lambda key: checks()[key](), name) for name in names}


def _front_ends(registry: Registry, entry: Entry[ModelSpec], *, small: bool) -> CheckResult:
    """It can be built on every front end that it says it accepts."""
    if not small:
        return skipped(f"more than {LARGE / 1e6:g} M parameters; --slow builds it on every front end")
    names = [name for name in entry.spec.frontends if name not in (entry.spec.frontend, GIVEN)]
    for name in names:
        data = as_inputs(registry, entry.spec, synthetic_clips(clips=2), frontend=name)
        model = build_model(entry, data.task, 0)
        if isinstance(model, nn.Module):
            pipeline_of(model, data, resolve("full", entry.spec.recipes))
    return passed(f"takes {', '.join(names)} too") if names else skipped("it names no other front end")


def _overfit(registry: Registry, case: NetworkCase, effort: Effort) -> CheckResult:
    if case.entry.spec.frozen:
        return skipped("its weights cannot be trained")
    count = count_parameters(case.pipeline.model)
    if case.entry.spec.inductive and count > OVERFIT_LIMIT and not effort.slow:
        return skipped(f"{count / 1e6:.1f} M parameters are more than {OVERFIT_LIMIT / 1e6:g} M; --slow trains it")
    if effort.overfit_clips is None:
        return _by_heart(case)
    data = as_inputs(registry, case.entry.spec, effort.overfit_clips)
    return _by_heart(NetworkCase.of(case.entry, data, build_model(case.entry, data.task, 0)))


def _by_heart(case: NetworkCase) -> CheckResult:
    """Train on all clips of the case with the model's own rate and optimiser until each is right in ``eval()``."""
    if not case.entry.spec.inductive:  # learning by heart means nothing there
        return skipped("its logits depend on batch mates (inductive=False)")
    pipeline = case.fresh(0)
    recipe = resolve("full", case.entry.spec.recipes, _PLAIN)
    batch = featured(pipeline, case.data, len(case.data.clips))
    pipeline.frontend = pipeline.normaliser = None  # the batch holds features: they are computed once
    step, infer = TrainStep(pipeline, StepSettings(recipe=recipe, seed=0, waveforms=False), 1), Inference(pipeline)
    torch.manual_seed(0)
    best = 0.0
    for number in range(1, STEPS + 1):
        step(batch)
        if number % 10 == 0:
            right = float((infer(batch).argmax(1) == batch.targets).float().mean())
            best = max(best, right)
            if right == 1.0:
                return passed(f"all {len(batch)} clips right after {number} steps", right)
    return failed(
        f"at most {best:.1%} of {len(batch)} clips right in {STEPS} steps at rate {recipe.lr:g}; the network cannot "
        "fit what it should learn by heart: look at the gradient, the rate, and what eval() changes",
        best,
    )
