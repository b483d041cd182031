"""The conformance checks of all that plugins give.

Each function takes a name (or a spec) and a registry and returns frozen results; nothing a plugin does wrong comes
out as an exception. The state of the random generators is left as it was.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench.cell import GIVEN
from bench.errors import DataError
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
from bench.testing.estimators import EstimatorCase
from bench.testing.frontends import FrontendCase, frontend_checks
from bench.testing.inputs import own_randomness
from bench.testing.metrics import MetricCase, metric_checks
from bench.testing.models import built, model_checks, parameters, started
from bench.testing.networks import NetworkCase
from bench.testing.results import Bench, Check, CheckResult, Effort, OnResult, failed, skipped
from bench.testing.seams import (
    ProtocolCase,
    launcher_checks,
    measures,
    observer_checks,
    protocol_checks,
    reporter_checks,
)

Results = tuple[CheckResult, ...]


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
    entry = started(_entry(registry.models, model), effort)
    bench = Bench("model", entry.spec.name, on_result)
    with own_randomness():
        results = bench.run(effort.chosen({"parameters": lambda: parameters(registry, entry)}))
        if effort.only and set(effort.only) <= {"parameters"}:
            return results
        size = entry.spec.parameters or (results[0].measured if results else None) or 0

        def checks(case: NetworkCase | EstimatorCase) -> Mapping[str, Check]:
            return effort.chosen(model_checks(registry, entry, case, effort, size))

        return results + bench.build(lambda: built(registry, entry), checks)


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


def _entry(catalog: Catalog[Any], named: Any) -> Entry[Any]:
    if isinstance(named, str):
        return catalog[named]
    if named.name in catalog and catalog[named.name].spec == named:
        return catalog[named.name]
    factory = next(kind.factory for kind in KINDS if isinstance(named, kind.spec))
    return Entry(named, Provenance(plugin="(given)", module=""), getattr(named, factory))
