"""What decides whether a stored record may be reused: a digest over everything that its numbers depend on."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.cell import GIVEN, WAVEFORM, Cell, parse_inputs
from bench.clips import Clips
from bench.plugins.registry import Entry, Registry
from bench.plugins.specs import DatasetSpec
from bench.protocols.split import protocol_hash
from bench.recipe import Recipe
from bench.results.imports import ENGINE
from bench.results.provenance import (
    PROFILE_CODE,
    RESULT_CODE,
    digest,
    engine_hash,
    extra_versions,
    file_word,
    library_versions,
    source_hash,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A located and indexed data set; ``decoder`` reads its files."""

    entry: Entry[DatasetSpec]
    clips: Clips
    decoder: str = ""

    @property
    def label(self) -> str:
        """:attr:`bench.cell.Cell.dataset`: the name, with title and contents where the user decides the files."""
        spec, contents = self.entry.spec, self.clips.contents_sha256
        if not spec.needs_files or spec.manifest_sha256 or spec.archive_sha256 or not contents:
            return spec.name
        return f"{spec.name}@{file_word(self.clips.title)}~{contents[:6]}"


def fingerprint(  # noqa: PLR0913  all that a result depends on
    cell: Cell, recipe: Recipe, registry: Registry, loaded: Loaded, *,
    limit: int | None = None, weights_sha256: str = "", counters: str | None = None,
) -> str:  # fmt: skip
    """Sixteen hex digits over all that a cell's result depends on, but the metrics (:func:`metric_sources`)."""
    model, data, clips = registry.models[cell.model], loaded.entry, loaded.clips
    parts: list[Any] = [
        cell.id,
        recipe.digest(),
        source_hash(model.factory),
        [model.contents or dict(model.spec.options), dict(model.spec.frontend_options)],
        engine_hash(RESULT_CODE if cell.kind == "evaluate" else PROFILE_CODE),
        [clips.manifest_sha256, clips.contents_sha256, loaded.decoder],
        [source_hash(data.factory), data.spec.primary_metric, data.spec.task and data.spec.task.text_length],
        library_versions(),
        limit,
    ]
    if cell.weights == "masked" and model.spec.pretrain is not None:
        parts.append(source_hash(model.home(model.spec.pretrain)))
    if model.spec.tokenizer is not None and "text" in parse_inputs(cell.inputs):
        parts.append(source_hash(model.home(model.spec.tokenizer)))
    if model.spec.sample_rate is not None:
        parts.append(["sample_rate", model.spec.sample_rate])
    if model.spec.extra is not None:
        parts.append(extra_versions(model.spec.extra, model.provenance.distribution))
    if cell.weights not in ("random", "masked"):
        parts.append(weights_sha256)
    if cell.frontend not in (WAVEFORM, GIVEN) and cell.frontend in registry.frontends:
        frontend = registry.frontends[cell.frontend]
        parts.append([source_hash(frontend.factory), frontend.spec.bands])
    if cell.kind == "evaluate":
        protocol, known = registry.protocols[cell.protocol.partition("@")[0]], data.spec.known_leaks
        parts += [protocol_hash(protocol, data.spec.name, clips.manifest_sha256, known), source_hash(protocol.factory)]
        parts += [source_hash(protocol.home(protocol.spec.folds))] if protocol.spec.folds else []
    else:
        parts.append(machine())
        parts += [[name, source_hash(entry.factory)] for name, entry in registry.measurements.entries.items()]
        parts += [["counters", counters]] if counters else []
    return digest(parts)


def metric_sources(registry: Registry) -> dict[str, str]:
    """What decides whether stored scores hold: a digest of the code of each metric, the host's own apart.

    Not part of a fingerprint, since a metric that is new gives its score of stored predictions.
    """
    entries = registry.metrics.entries.items()
    return {name: source_hash(one.factory) for name, one in entries if not one.factory.startswith(f"{ENGINE}.")}


def machine() -> dict[str, Any]:
    """What makes a timing comparable, as far as it can be read without torch."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []  # not Linux: the count of cores still separates machines
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    return {"cpu": model, "cores": os.cpu_count()}
