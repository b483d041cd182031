"""bench: a plugin-based benchmark harness for audio classification.

The names in ``__all__`` are the public interface; plugins import only these. They load on first use, so that
``import bench`` costs milliseconds and no torch.
"""

from __future__ import annotations

import importlib
from typing import Any

import pluggy

__version__ = "0.1.0"

hookimpl = pluggy.HookimplMarker("bench")
"""Marks a function of a plugin as an implementation of one of the hooks in :mod:`bench.plugins.hookspecs`."""

_HOMES = {
    "BenchError": "bench.errors",
    "CheckpointError": "bench.errors",
    "DataError": "bench.errors",
    "LeakError": "bench.errors",
    "PluginError": "bench.errors",
    "Clips": "bench.clips",
    "DatasetSpec": "bench.plugins.specs",
    "Divide": "bench.plugins.interfaces",
    "FrontendSpec": "bench.plugins.specs",
    "LauncherSpec": "bench.plugins.specs",
    "MeasurementSpec": "bench.plugins.specs",
    "MetricSpec": "bench.plugins.specs",
    "ModelSpec": "bench.plugins.specs",
    "ProtocolSpec": "bench.plugins.specs",
    "ReporterSpec": "bench.plugins.specs",
    "TaskInfo": "bench.plugins.specs",
    "load_records": "bench.api",
    "run": "bench.api",
}

__all__ = [
    "BenchError",
    "CheckpointError",
    "Clips",
    "DataError",
    "DatasetSpec",
    "Divide",
    "FrontendSpec",
    "LauncherSpec",
    "LeakError",
    "MeasurementSpec",
    "MetricSpec",
    "ModelSpec",
    "PluginError",
    "ProtocolSpec",
    "ReporterSpec",
    "TaskInfo",
    "__version__",
    "hookimpl",
    "load_records",
    "run",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'bench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
