"""Run the cell of a stored record again, and say whether the number falls within its interval."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.analysis.evidence import evidence, shown_score
from bench.analysis.predictions import Metrics, Reader
from bench.config.selection import Selection
from bench.config.settings import Settings
from bench.data.contents import content_digest
from bench.data.locate import open_clips
from bench.errors import BenchError, SelectionError
from bench.metrics.specs import PRIMARY
from bench.plugins.registry import Entry
from bench.plugins.specs import DatasetSpec
from bench.reports import formatting
from bench.results.predictions import Predictions
from bench.results.provenance import weights_sha256
from bench.results.records import Record, Score
from bench.results.store import Store
from bench.running.progress import Progress
from bench.running.runner import Runner
from bench.statistics.bootstrap import score_interval
from bench.statistics.results import Interval, Refusal
from bench.studies.common import why


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduction:
    """A record beside its repetition."""

    before: Record
    after: Record
    score: Score
    interval: Interval | Refusal
    same_predictions: bool
    changed: tuple[str, ...]

    @property
    def value(self) -> float | None:
        """The new score."""
        return self.after.score(self.score.name)

    @property
    def within(self) -> bool:
        """Whether the new score lies in the stored one's interval; without an interval, whether it is the same."""
        if self.value is None or isinstance(self.interval, Refusal):
            return self.value is not None and self.value == self.score.value
        return self.interval.low <= self.value <= self.interval.high

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "cell": self.before.cell.id,
            "metric": self.score.name,
            "unit": self.score.unit,
            "before": self.score.value,
            "after": self.value,
            "interval": None if isinstance(self.interval, Refusal) else [self.interval.low, self.interval.high],
            "reason": self.interval.reason if isinstance(self.interval, Refusal) else "",
            "within": self.within,
            "same_predictions": self.same_predictions,
            "changed": self.changed,
        }

    def sentence(self) -> str:
        """The verdict in words."""
        score, interval = self.score, self.interval
        if score.value is None or self.value is None:
            return f"{self.before.cell.id}: no score to compare"
        verdict = "reproduced" if self.within else "NOT reproduced"
        name = "" if score.name == PRIMARY["single_label"] else f"{score.name} "
        after, before = (
            f"{formatting.score(value, score)}{formatting.unit(score)}" for value in (self.value, score.value)
        )
        ends = (
            f"[no interval: {interval.reason}]"
            if isinstance(interval, Refusal)
            else formatting.between(interval, score)
        )
        exactly = ", every prediction identical" if self.same_predictions else ""
        changed = f"changed since: {', '.join(self.changed)}" if self.changed else "nothing it depends on has changed"
        return f"{verdict}: {self.before.cell.id}: {name}{after} against {before} {ends}{exactly}; {changed}"


def check_weights(record: Record, weights: Path | None) -> None:
    """Refuse to repeat a cell that started from a file unless that file is given."""
    cell = record.cell
    started = cell.weights not in ("random", "masked")
    told = record.provenance.get("weights")
    sha256 = told.get("sha256") if isinstance(told, Mapping) else None
    digits = sha256 or f"{cell.weights.rpartition('~')[2]}..."
    if started and weights is None:
        raise SelectionError(
            f"{cell.id} started from the weights {cell.weights!r} (sha256 {digits}); give that file with --weights FILE"
        )
    if weights is None:
        return
    if not started:
        raise SelectionError(f"{cell.id} started from {cell.weights} weights; leave out --weights {weights}")
    found = weights_sha256(weights)
    same = found == sha256 if sha256 else found.startswith(cell.weights.rpartition("~")[2])
    if not same:
        raise SelectionError(
            f"--weights {weights} has sha256 {found}; {cell.id} started from {cell.weights!r} (sha256 {digits})"
        )


def check_data(record: Record, entry: Entry[DatasetSpec], data: Path | None) -> None:
    """Refuse to repeat a cell on other clips than its own: the number would say nothing about the record's."""
    told = record.provenance.get("dataset") or {}
    clips = open_clips(entry.spec, data, load=entry.factory)
    found = {"manifest_sha256": clips.manifest_sha256, "contents_sha256": content_digest(clips)}
    for name, here in found.items():
        if told.get(name) not in (None, "", here):
            what = "lists other clips" if name == "manifest_sha256" else "holds other recordings"
            raise SelectionError(
                f"{clips.title} here {what} than {record.cell.id} was scored on ({name} {here[:12]}, its record says "
                f"{told[name][:12]}); give its own data with --data, or score these with `bench run`"
            )


def selection_of(record: Record, data: Path | None, weights: Path | None = None) -> Selection:
    """The selection whose only cell is that of ``record``; every setting of its recipe is given."""
    cell = record.cell
    typed = dict(record.provenance.get("typed") or ())
    referred = typed.get("--models")
    own_files = ":" in (referred or "").partition("?")[0]
    if not own_files:
        check_weights(record, weights)
    return Selection(
        models=(referred or cell.model,),
        datasets=(cell.data_name,),
        data=data,
        protocol=cell.protocol.partition("@")[0],
        folds=(cell.fold,),
        seeds=(cell.seed,),
        weights=weights or (None if own_files else cell.weights),
        weights_prefix=typed.get("--weights-prefix", ""),
        frontend=None if cell.frontend == "waveform" else cell.frontend,
        recipe=base_recipe(cell.recipe),
        overrides=tuple(f"recipe.{key}={_toml(value)}" for key, value in record.recipe.items() if key != "name"),
        limit=record.provenance.get("limit"),
        profile=False,
        **{name: getattr(cell, name) for name in ("mode", "inputs", "feeding", "device", "precision", "nproc")},
    )


def base_recipe(label: str) -> str:
    """The built-in recipe that a cell's label starts from: ``quick~ab12cd@limit5`` is ``quick``."""
    name = label.partition("@")[0].partition("~")[0]
    return name if name in ("smoke", "quick", "full") else "quick"


def reproduce(
    store: Store,
    record: Record,
    settings: Settings,
    data: Path | None,
    progress: Progress | None,
    weights: Path | None = None,
) -> Reproduction:
    """Run the cell again in ``settings.out``; other data or weights than its own are refused."""
    runner = Runner(selection_of(record, data, weights), settings, progress)
    if record.cell.model not in runner.host.registry.models:
        (asked,) = runner.selection.models
        raise SelectionError(f"{asked} here is not {record.cell.model}: its files or options are others")
    check_data(record, runner.host.registry.datasets[runner.selection.datasets[0]], data)
    result = runner.run()
    (after,) = result.records
    if after.status != "ok":
        raise BenchError(f"the repetition of {record.cell.id} is {after.status}: {why(after)}")
    old, new = (found["logits"] for found in (store.predictions(record), result.store.predictions(after)))
    score, interval = judged(record, store.predictions, result.metrics)
    return Reproduction(
        before=record,
        after=after,
        score=score,
        interval=interval,
        same_predictions=old.shape == new.shape and bool(np.array_equal(old, new)),
        changed=tuple(_changed(record, after)),
    )


def judged(record: Record, predictions: Predictions, metrics: Metrics) -> tuple[Score, Interval | Refusal]:
    """The score that the data set of a record is judged by, and its interval, over groups where there are enough."""
    shown, fold = shown_score([record], metrics), record.cell.fold
    reader = Reader(predictions, metrics, shown)
    one = reader.read([record]).get(record.cell)
    pair = (fold, record.cell.seed)
    score = shown.of(record.score(shown.name) if one is None else one.value)
    compared = evidence({pair: one}, [fold], [pair[1]], reader) if one else Refusal(reason="no predictions")
    if isinstance(compared, Refusal):
        return score, compared
    interval = score_interval(compared, reader.groups([fold]))
    # Of too few groups there is no interval; each clip alone gives one that is too narrow, but a bound.
    return score, score_interval(compared, None) if isinstance(interval, Refusal) else interval


def _toml(value: Any) -> str:
    """A setting as ``--set`` reads it."""
    if value is None or isinstance(value, bool):
        return {None: "none", True: "true", False: "false"}[value]
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key} = {_toml(one)}' for key, one in value.items() if one is not None)}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)


PARTS = {
    "engine": ("engine_sha256",), "model code": ("model", "code_sha256"), "data": ("dataset", "manifest_sha256"),
    "protocol": ("protocol", "hash"),
}  # fmt: skip
"""What a number depends on, and where a record's provenance names it."""


def _changed(before: Record, after: Record) -> list[str]:
    def at(record: Record, path: tuple[str, ...]) -> Any:
        return functools.reduce(lambda found, key: found.get(key, {}), path, record.provenance)

    found = [name for name, path in PARTS.items() if at(before, path) != at(after, path)]
    old, new = (record.environment.get("libraries", {}) for record in (before, after))
    found += sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    if before.environment.get("hardware_fingerprint") != after.environment.get("hardware_fingerprint"):
        found.append("hardware")
    return found
