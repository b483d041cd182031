"""The conformance checks of all that plugins give.

Each function takes a name (or a spec) and a registry and returns frozen results; nothing a plugin does wrong comes
out as an exception. The state of the random generators is left as it was.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import is_lazy

from bench.cell import GIVEN
from bench.clips import Clips
from bench.config.recipes import resolve
from bench.errors import CheckpointError, DataError
from bench.execution.build import build_model, takes_weights
from bench.execution.estimators import inputs_of
from bench.execution.pipeline import count_parameters
from bench.plugins.checks import KINDS
from bench.plugins.factories import load_factory
from bench.plugins.registry import Catalog, Entry, Provenance, Registry
from bench.plugins.specs import (
    DatasetSpec,
    FrontendSpec,
    LauncherSpec,
    MeasurementSpec,
    MetricSpec,
    ModelSpec,
    ObserverSpec,
    ProtocolSpec,
    ReporterSpec,
)
from bench.testing.datasets import DatasetCase, at_hand, dataset_checks
from bench.testing.estimators import EstimatorCase, estimator_checks
from bench.testing.frontends import FrontendCase, frontend_checks
from bench.testing.inputs import as_inputs, own_randomness, synthetic_clips
from bench.testing.metrics import MetricCase, metric_checks
from bench.testing.networks import NetworkCase, network_checks, pipeline_of
from bench.testing.overfit import overfit
from bench.testing.results import Bench, Check, CheckResult, OnResult, failed, judge, passed, skipped
from bench.testing.seams import (
    ProtocolCase,
    launcher_checks,
    measures,
    observer_checks,
    protocol_checks,
    reporter_checks,
)
from bench.testing.starts import weights

Results = tuple[CheckResult, ...]

TOLERANCE = 0.005
"""Largest difference of a counted from the declared number of parameters, as a fraction."""

LARGE = 20_000_000
"""Parameters above which only ``slow`` builds a network on every front end."""

OVERFIT_LIMIT = 6_000_000
"""Parameters above which only ``slow`` lets a network learn 32 clips by heart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much is checked.

    ``slow`` overfits large networks too and builds them on every front end; ``only`` names checks (empty = all);
    ``overfit_clips`` are learnt by heart instead of 32 synthetic ones; ``augmentations`` measures on a data set, in
    about two minutes, which of them hurt; ``weights`` is what ``--weights`` gives, ``weights_prefix`` as its option.
    """

    slow: bool = False
    only: Collection[str] = ()
    overfit_clips: Clips | None = None
    augmentations: bool = False
    weights: Path | None = None
    weights_prefix: str = ""

    def chosen(self, checks: Mapping[str, Check]) -> dict[str, Check]:
        """The checks that were asked for."""
        return {name: check for name, check in checks.items() if not self.only or name in self.only}


def check_model(
    model: ModelSpec | str, registry: Registry, *, effort: Effort | None = None, on_result: OnResult | None = None
) -> Results:
    """Check a network or an estimator on synthetic clips of one second and, for its size, on the declared task.

    Args:
        model: Its name, or a spec whose factory names its module.
        registry: Where its front end is found.
        effort: Which checks, and whether slow ones.
        on_result: Told each result when it is there.

    Raises:
        UnknownNameError: No model has this name.
    """
    effort = effort or Effort()
    entry, loaded = _started(_entry(registry.models, model), effort)
    bench = Bench("model", entry.spec.name, on_result)
    with own_randomness():
        results = bench.run(effort.chosen({"parameters": lambda: parameters(registry, entry)}))
        if effort.only and set(effort.only) <= {"parameters"}:
            return results
        size = entry.spec.parameters or (results[0].measured if results else None) or 0
        small = size < LARGE or effort.slow

        def checks(case: NetworkCase | EstimatorCase) -> Mapping[str, Check]:
            if isinstance(case, EstimatorCase):
                return effort.chosen(estimator_checks(case))
            more: dict[str, Check] = {
                **loaded(case),
                "front_ends": lambda: _front_ends(registry, entry, small=small),
                "overfit": lambda: _overfit(registry, case, effort),
            }
            return effort.chosen(network_checks(case) | more | _with_optional(registry, entry))

        return results + bench.build(lambda: _build(registry, entry), checks)


def check_dataset(  # noqa: PLR0913  one parameter per option
    dataset: DatasetSpec | str,
    registry: Registry,
    *,
    data: Path | None = None,
    required: bool = False,
    effort: Effort | None = None,
    on_result: OnResult | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Results:
    """Check a data set; nothing is downloaded.

    Args:
        dataset: Its name, or a spec whose loader names its module.
        registry: Where its protocols are found.
        data: As ``--data``.
        required: Whether absent files are a failure instead of a skip.
        effort: Whether augmentations are measured too.
        on_result: Told each result when it is there.
        tell: Told what is being done, and for how long yet, where a check takes long.

    Raises:
        UnknownNameError: No data set has this name.
    """
    entry = _entry(registry.datasets, dataset)

    def load() -> DatasetCase | CheckResult:
        try:
            return DatasetCase.of(registry, entry, data)
        except DataError as error:
            if required or at_hand(entry.spec, data):
                return failed(str(error))
            return skipped("its files are not here; give them with --data DIR, or set BENCH_DATA")

    def checks(case: DatasetCase) -> Mapping[str, Check]:
        if not (effort or Effort()).augmentations:
            return dataset_checks(case)
        from bench.testing.augmentations import augmentation_checks

        return {**dataset_checks(case), **augmentation_checks(case, tell)}

    with own_randomness():
        return Bench("dataset", entry.spec.name, on_result).build(load, checks, "load")


def check_frontend(frontend: FrontendSpec | str, registry: Registry, *, on_result: OnResult | None = None) -> Results:
    """Check a front end with its default options, at 16 kHz. Raises ``UnknownNameError``."""
    entry = _entry(registry.frontends, frontend)
    bench = Bench("frontend", entry.spec.name, on_result)
    if entry.spec.name == GIVEN:
        return bench.run({"build": lambda: skipped("stands for published features, it computes nothing")})
    with own_randomness():
        return bench.build(lambda: FrontendCase.of(entry), frontend_checks)


def check_metric(metric: MetricSpec | str, registry: Registry, *, on_result: OnResult | None = None) -> Results:
    """Check a metric on each kind of task that it is declared for. Raises ``UnknownNameError``."""
    entry = _entry(registry.metrics, metric)
    bench = Bench("metric", entry.spec.name, on_result)
    results = [
        bench.build(functools.partial(MetricCase.of, entry, task_type), metric_checks, f"build[{task_type}]")
        for task_type in entry.spec.task_types
    ]
    return tuple(itertools.chain(*results))


def check_launcher(launcher: LauncherSpec | str, registry: Registry, *, on_result: OnResult | None = None) -> Results:
    """Check a launcher, built without options, on cells that take no time. Raises ``UnknownNameError``."""
    entry = _entry(registry.launchers, launcher)
    return Bench("launcher", entry.spec.name, on_result).run(launcher_checks(entry))


def check_reporter(reporter: ReporterSpec | str, registry: Registry, *, on_result: OnResult | None = None) -> Results:
    """Check a report format on a small board. Raises ``UnknownNameError``."""
    entry = _entry(registry.reporters, reporter)
    return Bench("reporter", entry.spec.name, on_result).build(lambda: load_factory(entry.factory), reporter_checks)


def check_observer(observer: ObserverSpec | str, registry: Registry, *, on_result: OnResult | None = None) -> Results:
    """Check an observer, built without options, on cells that did not run. Raises ``UnknownNameError``."""
    entry = _entry(registry.observers, observer)
    return Bench("observer", entry.spec.name, on_result).run(observer_checks(entry))


def check_protocol(protocol: ProtocolSpec | str, registry: Registry, *, on_result: OnResult | None = None) -> Results:
    """Check how a protocol divides clips that have all it may need. Raises ``UnknownNameError``."""
    entry = _entry(registry.protocols, protocol)
    return Bench("protocol", entry.spec.name, on_result).build(lambda: ProtocolCase.of(entry), protocol_checks)


def check_measurement(
    measurement: MeasurementSpec | str, registry: Registry, *, on_result: OnResult | None = None
) -> Results:
    """Check a measurement on calls that multiply small matrices. Raises ``UnknownNameError``."""
    entry = _entry(registry.measurements, measurement)
    return Bench("measurement", entry.spec.name, on_result).run({"measures": lambda: measures(entry)})


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


def _started(
    entry: Entry[ModelSpec], effort: Effort
) -> tuple[Entry[ModelSpec], Callable[[NetworkCase], dict[str, Check]]]:
    """The model with ``effort.weights`` where its factory reads them, else what checks that they fit."""
    path = effort.weights
    if path is None:
        return entry, lambda _case: {}
    options = {**entry.spec.options, "weights": str(path)} if (own := takes_weights(entry)) else entry.spec.options
    given = replace(entry, spec=replace(entry.spec, options=options, needs_weights=False))
    return given, lambda case: {} if own else {"weights": lambda: weights(case, path, effort.weights_prefix)}


def _build(registry: Registry, entry: Entry[ModelSpec]) -> NetworkCase | EstimatorCase | CheckResult:
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
        return overfit(case)
    data = as_inputs(registry, case.entry.spec, effort.overfit_clips)
    return overfit(NetworkCase.of(case.entry, data, build_model(case.entry, data.task, 0)))


def _entry(catalog: Catalog[Any], named: Any) -> Entry[Any]:
    if isinstance(named, str):
        return catalog[named]
    if named.name in catalog and catalog[named.name].spec == named:
        return catalog[named.name]
    factory = next(kind.factory for kind in KINDS if isinstance(named, kind.spec))
    return Entry(named, Provenance(plugin="(given)", module=""), getattr(named, factory))
