"""Evaluate cells of one model, trained as one network: folds and seeds that differ in nothing else.

The process holds the training targets of all of them, and clips that one trains on may be the test clips of another.
No network is handed any: losses are the host's, and each member reads its own sealed data. Where a network keeps what
it saw in anything but its own tensors (:func:`bench.execution.stack_trial.tried`), cells run one by one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from bench.execution import provenance
from bench.execution.build import is_network
from bench.execution.evaluate import Begun, begin, finished
from bench.execution.network import Run, fitted_by, scored, started, training_data
from bench.execution.results import CellResult, OnEpoch, Progress
from bench.execution.seeding import deterministic
from bench.execution.stack import Member, train_together
from bench.execution.stack_trial import tried
from bench.execution.streams import StackError
from bench.execution.train import Trained
from bench.job import Job
from bench.measurement.device_memory import NAMES, DevicePeak
from bench.measurement.readings import Reading
from bench.plugins.registry import Registry

Part = tuple[Job, Progress, OnEpoch]
"""A cell, where it is, and who is told of its epochs."""


class _Ready(NamedTuple):
    begun: Begun
    run: Run
    member: Member
    weights: dict[str, Any]
    seconds: float


def run_together(registry: Registry, parts: Sequence[Part], *, choose: bool) -> list[CellResult | BaseException]:
    """Train cells as one network; each then predicts its own sealed test clips.

    Args:
        registry: All plugins.
        parts: Cells that differ in fold and seed alone.
        choose: Whether they must be faster so than one by one.

    Returns:
        What became of each cell, or what it raised.

    Raises:
        Exception: They cannot be trained as one, or need not be (:class:`bench.execution.streams.StackError`).
    """
    ready = [_ready(registry, part) for part in parts]
    members = [one.member for one in ready]
    with deterministic() as offenders:
        draws, found = tried(members, choose=choose)
        for _, progress, _ in parts:
            progress.stage = "train"
        ends, spent = train_together(members, draws)
    stack = {"cells": len(parts), "reason": None, "seconds": spent, **found}
    notes = {"nondeterministic": offenders, "stack": stack}
    results: list[CellResult | BaseException] = []
    for one, end in zip(ready, ends, strict=True):
        try:
            results.append(_scored(registry, one, end, notes) if isinstance(end, Trained) else end)
        except BaseException as error:  # noqa: BLE001  of this cell alone, whatever it is
            results.append(error)
    return results


def _ready(registry: Registry, part: Part) -> _Ready:
    job, progress, on_epoch = part
    begun = begin(registry, job, progress)
    if not is_network(begun.model):
        raise StackError("its factory gives an estimator")
    run = begun.run(registry, progress, on_epoch)
    pipeline, weights = started(begun.model, run)
    run = replace(run, data=run.data.on(job.cell.device))
    batches, validation = training_data(run)
    member = Member(
        pipeline=pipeline, settings=run.settings, batches=batches, validation=validation, on_epoch=on_epoch
    )  # fmt: skip
    return _Ready(begun, run, member, weights, time.perf_counter() - begun.at)


def _scored(registry: Registry, one: _Ready, trained: Trained, notes: dict[str, Any]) -> CellResult:
    start, count = time.perf_counter(), notes["stack"]["cells"]
    unknown = Reading.unknown(f"{count} cells were trained as one network")
    device = DevicePeak(one.run.job.cell.device)
    device.readings = dict.fromkeys(NAMES, unknown)
    fitted = fitted_by(trained, one.run)
    timing = {**fitted.timing, "train_s": None, "train_clips_per_s": None, "stacked": count}
    fitted = replace(fitted, timing=timing, notes={"weights": one.weights, **notes})
    fitted, predictions = scored(fitted, one.run, unknown, device)
    fitted = replace(fitted, memory=provenance.memory(unknown, unknown, device))
    elsewhere_s = start - one.begun.at - one.seconds - notes["stack"]["seconds"] / count
    return finished(registry, one.begun, one.run.progress, fitted, predictions, elsewhere_s=elsewhere_s)
