"""Run the cell of a stored record again, and say whether the number falls within its interval."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.config.selection import Selection
from bench.config.settings import Settings
from bench.errors import BenchError, SelectionError
from bench.results.predictions import Arrays
from bench.results.provenance import weights_sha256
from bench.results.records import Record
from bench.results.store import Store
from bench.running.progress import Progress
from bench.running.runner import Runner
from bench.statistics.bootstrap import cluster_bootstrap, wilson
from bench.statistics.results import Interval, Refusal
from bench.studies.common import why

JUDGED = "accuracy"
"""What a repetition is judged by: right or wrong on each clip."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduction:
    """A record beside its repetition.

    Attributes:
        before: The stored record.
        after: The new one.
        interval: Of the stored accuracy, over groups where there are any.
        same_predictions: Whether every logit is bit-identical; ``None`` where the new cell has none.
        changed: What differs in code, data, recipe or libraries (names only).
    """

    before: Record
    after: Record
    interval: Interval
    same_predictions: bool | None
    changed: tuple[str, ...]

    @property
    def values(self) -> tuple[float | None, float | None]:
        """The stored accuracy and the new one."""
        return self.before.score(JUDGED), self.after.score(JUDGED)

    @property
    def within(self) -> bool:
        """Whether the new accuracy lies in the stored one's interval."""
        value = self.values[1]
        return value is not None and self.interval.low <= value <= self.interval.high


def find_record(store: Store, name: str) -> Record:
    """The record that a cell id, a part of one, or a path names.

    Raises:
        SelectionError: None or several do.
    """
    records, _ = store.records()
    path = Path(name)
    if path.suffix == ".json" and path.is_file():
        found = [r for r in records if store.path(r.cell).resolve() == path.resolve()]
    else:
        found = [r for r in records if r.cell.id == name] or [r for r in records if name in r.cell.id]
    found = [r for r in found if r.cell.kind == "evaluate" and r.status == "ok"] if len(found) > 1 else found
    if not found:
        raise SelectionError(f"no record of {store.root} matches {name!r}; its cells are listed by `bench report`")
    if len(found) > 1:
        some = ", ".join(r.cell.id for r in found[:3])
        raise SelectionError(f"{name!r} matches {len(found)} records, e.g. {some}; give more of the cell's id")
    if found[0].status != "ok" or found[0].cell.kind != "evaluate":
        raise SelectionError(
            f"{found[0].cell.id} is {found[0].cell.kind}/{found[0].status}: only scores are reproduced"
        )
    return found[0]


def check_weights(record: Record, weights: Path | None) -> None:
    """Refuse to repeat a cell that started from a file unless that file is given.

    Raises:
        SelectionError: It is not given, is another one, or the cell started from no file.
    """
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


def selection_of(record: Record, data: Path | None, weights: Path | None = None) -> Selection:
    """The selection whose only cell is that of ``record``; every setting of its recipe is given.

    Raises:
        SelectionError: The cell started from a file of weights, and ``weights`` is not that file.
    """
    cell = record.cell
    check_weights(record, weights)
    return Selection(
        models=(cell.model,),
        datasets=(cell.dataset,),
        data=data,
        protocol=cell.protocol.partition("@")[0],
        folds=(cell.fold,),
        seeds=(cell.seed,),
        mode=cell.mode,
        weights=weights or cell.weights,
        inputs=cell.inputs,
        frontend=None if cell.frontend == "waveform" else cell.frontend,
        feeding=cell.feeding,
        recipe=base_recipe(cell.recipe),
        overrides=tuple(f"recipe.{key}={_toml(value)}" for key, value in record.recipe.items() if key != "name"),
        device=cell.device,
        precision=cell.precision,
        limit=record.provenance.get("limit"),
        profile=False,
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
    """Run the cell again in ``settings.out``.

    Args:
        store: Where the record is.
        record: What is repeated.
        settings: How to run.
        data: ``--data``.
        progress: Told what happens.
        weights: The file that the cell started from, where it did.

    Raises:
        BenchError: The cell cannot be run, or failed.
    """
    result = Runner(selection_of(record, data, weights), settings, progress).run()
    (after,) = result.records
    if after.status != "ok":
        raise BenchError(f"the repetition of {record.cell.id} is {after.status}: {why(after)}")
    before_arrays, after_arrays = store.predictions(record), Store(settings.out).predictions(after)
    same = before_arrays["logits"].shape == after_arrays["logits"].shape
    return Reproduction(
        before=record,
        after=after,
        interval=_interval(before_arrays),
        same_predictions=same and bool(np.array_equal(before_arrays["logits"], after_arrays["logits"])),
        changed=tuple(_changed(record, after)),
    )


def _interval(arrays: Arrays) -> Interval:
    correct = arrays["logits"].argmax(axis=1) == arrays["targets"]
    groups = arrays["groups"]
    found = cluster_bootstrap(correct.astype(float), groups) if (groups != "").any() else None
    if found is None or isinstance(found, Refusal):
        return wilson(int(correct.sum()), len(correct))
    return found


def _toml(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "none", True: "true", False: "false"}[value]
    return f'"{value}"' if isinstance(value, str) else str(value)


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
