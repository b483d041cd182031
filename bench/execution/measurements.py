"""What plugins measure of a model in its profile cells, by ``bench_add_measurements``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.measurement.readings import Reading
from bench.plugins.factories import load_factory
from bench.plugins.registry import Entry, Registry
from bench.plugins.specs import MeasurementSpec
from bench.results.quantities import finite


def added_measurements(registry: Registry, call: Callable[[int], int], clips: int) -> dict[str, dict[str, Any]]:
    """Every registered measurement by name: value, unit, direction and title, or the reason why there is no value.

    Args:
        registry: What plugins give.
        call: Runs inference on a batch.
        clips: Clips in it.
    """
    found: dict[str, dict[str, Any]] = {}
    for name, entry in registry.measurements.entries.items():
        reading, spec = _reading(entry, call, clips), entry.spec
        found[name] = {
            "value": reading.value,
            "unit": spec.unit,
            "higher_is_better": spec.higher_is_better,
            "title": spec.title or name,
            **({} if reading.reason is None else {"reasons": {"value": reading.reason}}),
        }
    return found


def _reading(entry: Entry[MeasurementSpec], call: Callable[[int], int], clips: int) -> Reading:
    try:
        value = load_factory(entry.factory)(call, clips)
    except Exception as error:  # noqa: BLE001  one measurement that fails leaves the others of the cell
        return Reading.unknown(f"{entry.provenance} raised {type(error).__name__}: {error}")
    number = finite(value)
    if number is not None:
        return Reading.of(number)
    return Reading.unknown("it cannot be measured here" if value is None else f"{value!r} is no finite number")
