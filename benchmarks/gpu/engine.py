"""The engine's training step and inference on a GPU: captured, launched kernel by kernel, and against the bare limit.

Run from the repository root, on the machine with the GPU::

    python -P benchmarks/gpu/engine.py --data DIR [--models default] [--precisions fp32,bf16] [--json FILE]

The three ways take turns in one process: ``captured`` is what ``--set recipe.cuda_graphs=true`` runs; ``launched`` is
the same step without capture; ``bare`` is a hand-captured graph of front end, forward, cross-entropy, backward and a
fused AdamW, without augmentation, clipping, averaging or copies: the limit of what a step can reach.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from bench.config.selection import Selection
from bench.data.locate import open_clips
from bench.execution.build import build_model, build_pipeline, materialise
from bench.execution.graphs import cuda_graph
from bench.execution.inputs import prepare
from bench.execution.profile_parts import NetworkCalls
from bench.execution.step import TARGETS, TrainStep, autocast
from bench.job import Job
from bench.planning.plan import Loaded, expand
from bench.plugins.discovery import discover

ROUNDS, BLOCK_S = 5, 0.25


def calls_of(job: Job, registry: Any) -> NetworkCalls:
    """A model on its device with rotating batches, as a profile cell has it."""
    data = prepare(registry, job)
    model = build_model(registry.models[job.cell.model], data.task, job.cell.seed)
    clips = np.arange(64, dtype=np.int64)
    pipeline = build_pipeline(model, data, job.recipe, clips)
    materialise(pipeline, data, clips)
    pipeline.to(job.cell.device)
    return NetworkCalls.of(pipeline, data, job, clips, few=1)


def bare_step(calls: NetworkCalls) -> Callable[[int], None]:
    """A graph of the step with nothing around it, captured by hand."""
    step = calls.step
    pipeline, settings = step.pipeline, step.settings
    batch = step.received(calls.trained[0])
    targets = batch.pop(TARGETS)
    trained = [p for p in pipeline.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5, fused=True, capturable=True)

    def learn() -> torch.Tensor:
        with autocast(settings.device, settings.precision):
            logits = pipeline.logits(pipeline.prepare(batch))
        loss = F.cross_entropy(logits.float(), targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.detach()

    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            learn()
    torch.cuda.current_stream().wait_stream(aside)
    replay, _ = cuda_graph(learn)
    return lambda _: replay()


def rate(call: Callable[[int], object], clips: int) -> float:
    """Clips per second over about ``BLOCK_S`` seconds, the device waited for at both ends."""
    torch.cuda.synchronize()
    start, count = time.perf_counter(), 0
    while count < 3 or time.perf_counter() - start < BLOCK_S:
        call(count)
        count += 1
        if count % 8 == 0:
            torch.cuda.synchronize()
    torch.cuda.synchronize()
    return count * clips / (time.perf_counter() - start)


def measure(job: Job, registry: Any) -> dict[str, Any]:
    """Clips per second of every way, the median of interleaved rounds with the extremes."""
    calls = calls_of(job, registry)
    torch.cuda.reset_peak_memory_stats()
    plain = replace(calls.step.settings, recipe=job.recipe.model_copy(update={"cuda_graphs": False}))
    launched = TrainStep(calls.step.pipeline, plain, 100)
    infer_launched = calls.inference.graphs.call
    size = len(calls.trained[0])
    ways: dict[str, tuple[Callable[[int], object], int]] = {
        "train launched": (lambda i: launched(calls.trained[i % len(calls.trained)]), size),
        "train captured": (calls.learn, size),
        "infer launched": (lambda i: infer_launched(dict(calls.tested[i % len(calls.tested)].inputs)), size),
        "infer captured": (calls.infer, size),
        "one captured": (calls.one, 1),
    }
    for call, _ in ways.values():
        for i in range(6):
            call(i)
    peak = torch.cuda.max_memory_allocated() / 2**20
    found: dict[str, Any] = {"graphs": calls.graphs, "peak_mib": peak}
    try:
        calls.step.pipeline.train()
        ways["train bare"] = (bare_step(calls), size)
    except RuntimeError as error:
        found["bare"] = str(error).splitlines()[0]
    rounds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(ROUNDS):
        for name in list(ways) if number % 2 else list(ways)[::-1]:
            call, clips = ways[name]
            if name.startswith("train"):
                calls.step.pipeline.train()
            rounds[name].append(rate(call, clips))
    found |= {name: [float(x) for x in np.percentile(values, (0, 50, 100))] for name, values in rounds.items()}
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--dataset", default="esc10")
    parser.add_argument("--models", default="default")
    parser.add_argument("--precisions", default="fp32,bf16")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    registry = discover()
    entry = registry.datasets[given.dataset]
    loaded = {given.dataset: Loaded(entry=entry, clips=open_clips(entry.spec, given.data, load=entry.factory))}
    results: dict[str, Any] = {
        "device": torch.cuda.get_device_name(), "torch": torch.__version__, "python": platform.python_version(),
    }  # fmt: skip
    print(results, flush=True)
    for precision in given.precisions.split(","):
        selection = Selection(
            models=tuple(given.models.split(",")), datasets=(given.dataset,), data=given.data, device="cuda",
            precision=precision, evaluate=False, overrides=("recipe.cuda_graphs=true",),
        )  # fmt: skip
        for planned in expand(selection, registry, loaded).runnable:
            if registry.models[planned.cell.model].spec.estimator:
                continue
            job = Job(cell=planned.cell, recipe=planned.recipe, fingerprint="", data=given.data)
            name = f"{planned.cell.model} {precision}"
            try:
                results[name] = measure(job, registry)
            except Exception as error:  # noqa: BLE001  one model that fails leaves the others
                results[name] = {"error": f"{type(error).__name__}: {error}"}
            print(name, json.dumps(results[name]), flush=True)
            torch.cuda.empty_cache()
            if given.json:
                given.json.write_text(json.dumps(results, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
