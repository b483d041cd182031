"""What the operators of the models that come with bench do, for the plugin package: ``operators.json``.

A first plan then counts nothing. An entry stands under all that it depends on (``count_key``), so that one whose model,
front end or way of counting has changed is a miss, and stale here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from bench.clips import Clips
from bench.config.selection import Selection
from bench.data.locate import open_clips
from bench.job import Job
from bench.planning.costs import count_key
from bench.planning.fingerprints import Loaded
from bench.planning.plan import PlannedCell, expand
from bench.plugins.registry import Registry
from bench.plugins.specs import DatasetSpec

SETS = ("demo", "esc10", "esc50")
RECIPES = ("smoke", "quick", "full")


def page(registry: Registry, path: Path) -> str:
    """The file: what it holds already under the keys of now, the rest counted."""
    kept = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"labels": {}, "work": {}}
    labels = {name: kept["labels"].get(name) or _labels(registry, name) for name in SETS}
    found, known = dict[str, Any](), None
    for key, planned, clips in wanted(registry, labels):
        cell = planned.cell
        if key in found:
            continue
        if not (one := kept["work"].get(key)):
            known = known or _known()
            one = {"work": counted(registry, planned, clips, known)}
        axes = (cell.data_name, cell.model, cell.mode, cell.inputs, cell.frontend, cell.batch)
        found[key] = {"of": " ".join(map(str, axes)), "work": one["work"]}
    ordered = sorted(found.items(), key=lambda item: (item[1]["of"], item[0]))
    rows = ",\n".join(f"{json.dumps(key)}: {json.dumps(one, separators=(',', ':'))}" for key, one in ordered)
    return f'{{"labels": {json.dumps(labels)},\n"work": {{\n{rows}\n}}}}\n'


def wanted(registry: Registry, labels: dict[str, list[str]]) -> Iterator[tuple[str, PlannedCell, Clips]]:
    """Key, cell and clips of every network on every data set that fits it."""
    for name in SETS:
        entry = registry.datasets[name]
        clips = stand_in(entry.spec, labels[name]) if entry.spec.needs_files else open_clips(entry.spec, None)
        for recipe in RECIPES:
            selection = Selection(models=("all",), datasets=(name,), recipe=recipe, evaluate=False)
            for planned in expand(selection, registry, {name: Loaded(entry=entry, clips=clips)}).runnable:
                if not registry.models[planned.cell.model].spec.estimator:
                    yield count_key(planned, registry, clips), planned, clips


def stand_in(spec: DatasetSpec, labels: list[str]) -> Clips:
    """A data set of sounds as it is declared, of which there are no files."""
    task = spec.task
    if task is None or task.modalities != ("audio",):
        raise ValueError(f"{spec.name} declares no task of sounds alone")
    return Clips(
        title=spec.name, ids=("0", "1"), targets=np.zeros(2, dtype=np.int64), label_names=tuple(labels),
        audio=lambda _: (np.zeros(task.clip_samples, dtype=np.float32), task.sample_rate),
        sample_rate=task.sample_rate, clip_samples=task.clip_samples, manifest_sha256="",
    )  # fmt: skip


def counted(registry: Registry, planned: PlannedCell, clips: Clips, known: Any) -> dict[str, Any]:
    """The operators of a cell, counted now."""
    from bench.execution.counting import count_work
    from bench.execution.opening import noise_of
    from bench.execution.results import Progress

    job = Job(cell=planned.cell, recipe=planned.recipe, fingerprint="")
    opened = noise_of(clips.at(registry.models[planned.cell.model].spec.sample_rate))
    return asdict(count_work(registry, job, Progress(), known, opened))


def _known() -> Any:
    from bench.execution.counting import Known

    return Known()


def _labels(registry: Registry, name: str) -> list[str]:
    """As the files say, which must be here the first time."""
    return list(open_clips(registry.datasets[name].spec, None).label_names)
