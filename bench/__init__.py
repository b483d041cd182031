"""bench: a plugin-based benchmark harness for audio classification.

The names in ``__all__`` are the public interface; plugins import only these. They load on first use, so that
``import bench`` costs milliseconds and no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from bench.plugins.factories import takes_fields as takes_fields

__version__ = "0.1.0"

hookimpl = pluggy.HookimplMarker("bench")
"""Marks a function of a plugin as an implementation of one of the hooks in :mod:`bench.plugins.hookspecs`."""

_NAMES = {
    "bench.analysis.model": "Board",
    "bench.api": "load_records run",
    "bench.cell": "Cell",
    "bench.clips": "Clips",
    "bench.data.decoders": "SOUND_SUFFIXES audio_seconds",
    "bench.data.download": "unpack",
    "bench.data.unpacked": "unpacked",
    "bench.errors": "BenchError CheckpointError DataError LeakError PluginError",
    "bench.execution.weights": "read_tensors",
    "bench.job": "Job",
    "bench.planning.plan": "Plan",
    "bench.plugins.factories": "takes_fields",
    "bench.plugins.interfaces": "Answered Divide EpochEnded Event Finished Launcher Lost Observer ObserverFailed "
    "OnEvent Resources Started",
    "bench.plugins.libraries": "import_transformers",
    "bench.plugins.specs": "DatasetSpec FrontendSpec LauncherSpec MeasurementSpec MetricSpec ModelSpec ObserverSpec "
    "ProtocolSpec Reference ReporterSpec TaskInfo",
    "bench.results.records": "Failure Record",
    "bench.running.progress": "Progress",
    "bench.running.supervise": "supervise",
    "bench.textfiles": "file_size read_bytes read_text",
}
"""The public names by the module that defines them."""
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = tuple(sorted((*_HOMES, "__version__", "hookimpl")))


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'bench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
