"""Evaluate cells of one model, trained as one network: folds and seeds that differ in nothing else.

The process holds the training targets of all of them, and clips that one trains on may be the test clips of another.
No network is handed any: losses are the host's, and each member reads its own sealed data. Where a network keeps what
it saw in anything but its own tensors (:func:`bench.execution.stack.tried`), cells run one by one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bench.execution import provenance
from bench.execution.build import is_network
from bench.execution.evaluate import Begun, begin, finished
from bench.execution.network import Run, fitted_by, scored, started, training_data
from bench.execution.results import CellResult, OnEpoch, Progress
from bench.execution.seeding import deterministic
from bench.execution.stack import Member, StackError, train_together, tried
from bench.execution.train import Trained
from bench.job import Job
from bench.measurement.device_memory import NAMES, DevicePeak
from bench.measurement.readings import Reading
from bench.plugins.registry import Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One of the cells: who is told how far it is."""

    job: Job
    on_epoch: OnEpoch
    progress: Progress = field(default_factory=Progress)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
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
        Exception: They cannot be trained as one, or need not be (:class:`bench.execution.stack.StackError`).
    """
    ready = [_ready(registry, part) for part in parts]
    with deterministic() as offenders:
        trial = tried([one.member for one in ready], choose=choose)
        for part in parts:
            part.progress.stage = "train"
        ends, spent = train_together([one.member for one in ready], trial.draws)
    share = spent / len(parts)
    notes = {
        "nondeterministic": offenders,
        "stack": {"cells": len(parts), "reason": None, "seconds": spent, **trial.notes},
    }
    results: list[CellResult | BaseException] = []
    for part, one, end in zip(parts, ready, ends, strict=True):
        if not isinstance(end, Trained):
            results.append(end)
            continue
        try:
            results.append(_scored(registry, part, one, end, share, notes))
        except BaseException as error:  # noqa: BLE001  of this cell alone, whatever it is
            results.append(error)
    return results


def _ready(registry: Registry, part: Part) -> _Ready:
    begun = begin(registry, part.job, part.progress)
    if not is_network(begun.model):
        raise StackError("its factory gives an estimator")
    run = begun.run(registry, part.progress, part.on_epoch)
    pipeline, weights = started(begun.model, run)
    run = replace(run, data=run.data.on(part.job.cell.device))
    batches, validation = training_data(run)
    member = Member(
        pipeline=pipeline, settings=run.settings, batches=batches, validation=validation, on_epoch=part.on_epoch
    )  # fmt: skip
    return _Ready(begun=begun, run=run, member=member, weights=weights, seconds=time.perf_counter() - begun.at)


def _scored(
    registry: Registry, part: Part, one: _Ready, trained: Trained, share: float, notes: dict[str, Any]
) -> CellResult:
    start = time.perf_counter()
    fitted = fitted_by(trained, one.run)
    unknown = Reading.unknown(f"trained as one network with {notes['stack']['cells'] - 1} other cells")
    device = DevicePeak(part.job.cell.device)
    device.readings = dict.fromkeys(NAMES, unknown)
    timing = {**fitted.timing, "train_s": None, "train_clips_per_s": None, "stacked": notes["stack"]["cells"]}
    fitted = replace(fitted, timing=timing, notes={"weights": one.weights, **notes})
    fitted, predictions = scored(fitted, one.run, unknown, device)
    fitted = replace(fitted, memory=provenance.memory(unknown, unknown, device))
    elsewhere = start - one.begun.at - one.seconds - share
    return finished(registry, one.begun, part.progress, fitted, predictions, elsewhere_s=elsewhere)
