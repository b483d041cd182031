"""Which cells are to be trained as one network: those of one model that differ in fold and seed alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bench.cell import FROZEN
from bench.errors import SelectionError
from bench.job import Job
from bench.planning.plan import PlannedCell
from bench.plugins.registry import Registry
from bench.running.launching import Launching

MOST = 16
"""Cells of a stack where the user names no number: five folds and three seeds are one."""


def in_stacks(
    pairs: Sequence[tuple[PlannedCell, Job]], size: int | None, registry: Registry, launching: Launching
) -> list[Job]:
    """The jobs of evaluate cells in their order, each told which others are to be trained with it, or why none is.

    Raises:
        SelectionError: ``size`` (:attr:`bench.config.settings.Settings.stack`) is none, or the launcher scatters jobs.
    """
    if size is not None and size < 1:
        raise SelectionError(f"stack is {size}; it is 1 (each cell by itself) or more")
    if size is not None and size > 1 and not launching.stacks:
        raise SelectionError(f"launcher {launching.name!r} runs cells apart; leave out --stack {size}")
    most = size or (MOST if launching.stacks and any(job.cell.device == "cuda" for _, job in pairs) else 1)
    if most == 1:
        return [job for _, job in pairs]
    # A process that trains another fold too knows what this one is tested on: not unless somebody asks for it.
    models = [replace(job.cell, fold=job.cell.fold if size is None else 0, seed=0) for _, job in pairs]
    alike: dict[Any, list[Job]] = defaultdict(list)
    for model, (planned, job) in zip(models, pairs, strict=True):
        alike[model, planned.train_clips].append(job)
    told: dict[Any, Job] = {}
    for (model, clips), jobs in alike.items():
        why = _problem(jobs[0], registry)
        for first in range(0, len(jobs), most):
            group = jobs[first : first + most]
            if len(group) == 1 and Counter(models)[model] > 1:
                why = why or f"no other cell of this model is left that trains on {clips} clips"
            told |= {job.cell: job for job in _together(group, why, if_faster=size is None)}
    return [told[job.cell] for _, job in pairs]


def _problem(job: Job, registry: Registry) -> str:
    """Why the cells of a model cannot be trained as one network, empty where they can for all that is known."""
    cell, recipe = job.cell, job.recipe
    problems = {
        "an estimator is no network": registry.models[cell.model].spec.estimator,
        f"mode {cell.mode} trains no network": cell.mode in FROZEN,
        "masked pre-training": cell.weights == "masked",
        f"{cell.nproc} processes train it": cell.nproc > 1,
        "recipe.compile": recipe.compile,
        "recipe.cuda_graphs": recipe.cuda_graphs,
    }
    return next((why for why, there in problems.items() if there), "")


def _together(jobs: Sequence[Job], why: str, *, if_faster: bool) -> list[Job]:
    """The jobs as those of one stack, which the first trains in the time of all; or each by itself."""
    if why or len(jobs) == 1:
        return [replace(job, apart=why) for job in jobs]
    first, *others = (replace(job, stack=jobs[0].cell.id) for job in jobs)
    limits = [job.timeout_s for job in jobs if job.timeout_s is not None]
    limit = sum(limits) if limits else None
    return [replace(first, mates=tuple(others), if_faster=if_faster, timeout_s=limit), *others]
