"""What decides whether a stored record may be reused: a digest over everything that its numbers depend on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from bench.cell import GIVEN, WAVEFORM, Cell, parse_inputs
from bench.clips import Clips
from bench.plugins.registry import Registry
from bench.protocols.split import protocol_hash
from bench.recipe import Recipe
from bench.results.provenance import (
    PROFILE_CODE,
    RESULT_CODE,
    digest,
    engine_hash,
    extra_versions,
    library_versions,
    source_hash,
)


def fingerprint(
    cell: Cell, recipe: Recipe, registry: Registry, clips: Clips, *, limit: int | None = None, weights_sha256: str = ""
) -> str:
    """Sixteen hex digits over all that a cell's result depends on."""
    model = registry.models[cell.model]
    manifest = clips.manifest_sha256
    parts: list[Any] = [
        cell.id,
        recipe.digest(),
        _source(model.factory),
        [dict(model.spec.options), dict(model.spec.frontend_options)],
        engine_hash(RESULT_CODE if cell.kind == "evaluate" else PROFILE_CODE),
        manifest,
        clips.contents_sha256,
        library_versions(),
        limit,
    ]
    if cell.weights == "masked" and model.spec.pretrain is not None:
        parts.append(_source(model.home(model.spec.pretrain)))
    if model.spec.tokenizer is not None and "text" in parse_inputs(cell.inputs):
        parts.append(_source(model.home(model.spec.tokenizer)))
    if model.spec.extra is not None:
        parts.append(extra_versions(model.spec.extra, model.provenance.distribution))
    if cell.weights not in ("random", "masked"):
        parts.append(weights_sha256)
    if cell.frontend not in (WAVEFORM, GIVEN) and cell.frontend in registry.frontends:
        parts.append(_source(registry.frontends[cell.frontend].factory))
    if cell.kind == "evaluate":
        protocol, dataset = registry.protocols[cell.protocol.partition("@")[0]], registry.datasets[cell.dataset].spec
        parts += [protocol_hash(protocol, cell.dataset, manifest, dataset.known_leaks), _source(protocol.factory)]
    else:
        parts.append(machine())
        parts += [[name, _source(entry.factory)] for name, entry in registry.measurements.entries.items()]
    return digest(parts)


def _source(factory: str) -> str:
    return source_hash(factory.partition(":")[0])


def machine() -> dict[str, Any]:
    """What makes a timing comparable, as far as it can be read without torch."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []  # not Linux: the count of cores still separates machines
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    return {"cpu": model, "cores": os.cpu_count()}
