"""Hardware and software of a record in words; the names are those of ``bench.measurement.environment.describe``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.results.records import Record


def hardware_words(record: Record) -> str:
    """The machine and device of a record: ``AMD EPYC, 2 cores, 1 thread (cpu)``."""
    environment = record.environment
    cpu, gpu, torch = (_block(environment, name) for name in ("cpu", "gpu", "torch"))
    device = record.cell.device
    words = [str(gpu["name"])] if device == "cuda" and gpu.get("name") else []
    words += [str(cpu["model"])] if cpu.get("model") else []
    words += [f"{cpu['logical_cores']} cores"] if cpu.get("logical_cores") else []
    threads = torch.get("threads")
    words += [f"{threads} thread{'' if threads == 1 else 's'}"] if threads else []
    if not words:
        words = [f"hardware {str(environment.get('hardware_fingerprint') or 'unknown')[:12]}"]
    return f"{', '.join(words)} ({device})"


def environment_words(record: Record) -> str:
    """Operating system, Python and library versions: ``CPython 3.11.7, torch 2.11.0``."""
    environment = record.environment
    words = [str(environment[name]) for name in ("os", "python") if environment.get(name)]
    libraries = _block(environment, "libraries")
    words += [f"{name} {version}" for name, version in sorted(libraries.items()) if version]
    return ", ".join(words) or "versions unknown"


def _block(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = values.get(name)
    return found if isinstance(found, Mapping) else {}
