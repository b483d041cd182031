"""Clips per second of training, one by one and as one stacked network, for 1, 5 and 15 cells of a model.

Run from the repository root::

    python -P benchmarks/stacked.py [--models meamtm.micro] [--device auto] [--cells 1,5,15] [--steps 4] [--out FILE.md]

The cells are seeds of the data set ``demo``, each with its own network, order and draws. Rounds of both ways take turns
in one process; each number is the median of the rounds. ``difference`` is the largest difference of a loss in the first
two steps, where both ways start alike.
"""

from __future__ import annotations

import argparse
import itertools
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from bench.config.selection import Selection
from bench.data.locate import open_clips
from bench.execution.build import build_model, build_pipeline, materialise
from bench.execution.inputs import prepare
from bench.execution.opening import split_for
from bench.execution.stack import Member, StackedStep
from bench.execution.stack_trial import tried
from bench.execution.step import StepSettings
from bench.execution.streams import StackError
from bench.job import Job
from bench.measurement.clocks import synchronize
from bench.planning.plan import Loaded, expand
from bench.plugins.discovery import discover

ROUNDS = 3


def members_of(model: str, count: int, device: str, registry: Any) -> list[Member]:
    """So many networks of one kind, each about to be trained with a seed of its own."""
    entry = registry.datasets["demo"]
    loaded = {"demo": Loaded(entry=entry, clips=open_clips(entry.spec, None, load=entry.factory))}
    selection = Selection(models=(model,), datasets=("demo",), device=device, profile=False, seeds=tuple(range(count)))
    found = []
    for planned in expand(selection, registry, loaded).runnable[:count]:
        job = Job(cell=planned.cell, recipe=planned.recipe, fingerprint="")
        data = prepare(registry, job)
        split = split_for(registry, data.clips, job)
        network = build_model(registry.models[model], data.task, planned.cell.seed)
        pipeline = build_pipeline(network, data, job.recipe, split.train)
        materialise(pipeline, data, split.train)
        found.append(
            Member(
                pipeline=pipeline.to(device), settings=StepSettings.of(job, data),
                batches=data.on(device).batches(split.train, job.cell.batch, seed=job.cell.seed),
            )
        )  # fmt: skip
    return found


def seconds(step: Callable[[Any], Any], batches: Iterator[Any], steps: int, device: str) -> float:
    """Seconds of a step, the reading of its clips left out."""
    given = list(itertools.islice(batches, steps))
    synchronize(device)
    start = time.perf_counter()
    for batch in given:
        step(batch)
    synchronize(device)
    return (time.perf_counter() - start) / steps


def measure(model: str, count: int, device: str, steps: int, registry: Any) -> str:
    """One row of the table."""
    members = members_of(model, count, device, registry)
    try:
        draws, notes = tried(members, choose=False)
    except (StackError, RuntimeError) as error:
        return f"| {model} | {count} | - | - | {error} | - |"
    apart = [member.copy().step() for member in members]
    stack = StackedStep([member.copy().step() for member in members], draws)
    own = [member.some() for member in members]
    together = zip(*(member.some() for member in members), strict=True)
    ways: dict[str, list[float]] = {"apart": [], "stack": []}
    for number in range(ROUNDS + 1):
        one = sum(seconds(step, batches, steps, device) for step, batches in zip(apart, own, strict=True))
        all_of_them = seconds(stack, together, steps, device)
        if number:  # the first round warms up
            ways["apart"].append(one)
            ways["stack"].append(all_of_them)
    clips = count * members[0].batches.batch_size
    one, many = (clips / statistics.median(ways[name]) for name in ("apart", "stack"))
    return f"| {model} | {count} | {one:.3g} | {many:.3g} | {many / one:.2f} | {notes['difference']:.1g} |"


def main() -> None:
    """Read the command line, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="meamtm.micro,convnext_attention.tiny")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--cells", default="1,5,15")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    device = ("cuda" if torch.cuda.is_available() else "cpu") if given.device == "auto" else given.device
    registry = discover()
    where = f"{platform.machine()}, {torch.get_num_threads()} threads"
    if device != "cpu":
        where = torch.cuda.get_device_name()
    asked = " ".join(f"--{name} {getattr(given, name)}" for name in ("models", "device", "cells", "steps"))
    lines = [
        "# Folds and seeds as one network", "",
        f"`python -P benchmarks/stacked.py {asked}`, torch {torch.__version__}, {where}.",
        "", "| model | cells | one by one, clips/s | stacked, clips/s | gain | difference of a loss |",
        "| --- | --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    print("\n".join(lines), flush=True)
    for model in given.models.split(","):
        for count in map(int, given.cells.split(",")):
            lines.append(measure(model, count, device, given.steps, registry))
            print(lines[-1], flush=True)
    if given.out:
        given.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
