"""What bf16 gains on this CPU: training and inference of the default networks in both precisions, in turns.

``python benchmarks/precision.py [--rounds 12] [--steps 3] [--threads 2]``: ESC-10 (``BENCH_DATA``), fold 1, the recipe
``quick`` with the engine's own step and inference in one process. A round is ``--steps`` training steps and one batch
of inference (``eval_batch`` clips, where a training step has ``batch``) of each precision; milliseconds are medians
over rounds, ratios those of the geometric means of fp32 over bf16, with their 95 % interval over rounds.
Logits are of the same weights, as they start, in both: root mean square of the difference over that of the centred
logits.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tabulate import tabulate
from torch import nn

from bench.cli.progress import open_progress
from bench.config.selection import Selection
from bench.config.settings import Settings
from bench.execution.build import build_model, build_pipeline, materialise
from bench.execution.inputs import prepare
from bench.execution.step import Inference, StepSettings, TrainStep
from bench.measurement.machine import cpu_model
from bench.plugins.registry import Registry
from bench.running.runner import Runner
from bench.statistics.results import Refusal
from bench.statistics.rounds import effect_of_rounds

PAGE = Path(__file__).parent / "results" / "precision.md"
PRECISIONS = ("fp32", "bf16")


def timed(call: Callable[[], Any], times: int = 1) -> float:
    start = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - start) / times


def ratio(fp32: Sequence[float], bf16: Sequence[float]) -> str:
    """How many times as fast bf16 is, with its interval where rounds suffice."""
    effect = effect_of_rounds(fp32, bf16)
    if isinstance(effect, Refusal):
        return f"{np.exp(np.mean(np.log(fp32) - np.log(bf16))):.2f}"
    interval = effect.interval(0.05)
    return f"{interval.estimate:.2f} [{interval.low:.2f}, {interval.high:.2f}]"


class Side:
    """One network in one precision, with its own copy of the same weights."""

    def __init__(self, registry: Registry, job: Any, precision: str) -> None:
        data = prepare(registry, job)
        clips = np.arange(len(data.clips))
        model = build_model(registry.models[job.cell.model], data.task, job.cell.seed)
        self.network = isinstance(model, nn.Module)
        if not self.network:
            return
        pipeline = build_pipeline(model, data, job.recipe, clips[:64])
        materialise(pipeline, data, clips)
        self.infer = Inference(pipeline, "cpu", precision)
        self.tested = next(data.test_batches(clips, job.recipe.eval_batch).epoch(0))
        self.logits = self.infer(self.tested).float().numpy()
        self.step = TrainStep(pipeline, replace(StepSettings.of(job, data), precision=precision), 1000)
        self.batch = next(data.batches(clips, job.cell.batch, seed=0).epoch(1))
        self.step(self.batch)

    def round(self, steps: int) -> tuple[float, float]:
        """Seconds of a training step and of a batch of inference."""
        train = timed(lambda: self.step(self.batch), steps)
        self.infer(self.tested)  # back in eval(), warm
        return train, timed(lambda: self.infer(self.tested))


def rows(options: argparse.Namespace) -> Iterator[list[str]]:
    """A row for each default network."""
    chosen = Selection(datasets=("esc10",), folds=(1,), profile=False, device="cpu")
    with open_progress() as progress:
        runner = Runner(chosen, Settings(out=Path("results/runs/precision")), progress)
        for planned in runner.plan().cells:
            job = runner.preparation.job(planned, runner.launching.alone)
            sides = [Side(runner.host.registry, job, precision) for precision in PRECISIONS]
            if not sides[0].network:
                continue
            seconds = np.array([[side.round(options.steps) for side in sides] for _ in range(options.rounds)])
            centred = [side.logits - side.logits.mean(axis=1, keepdims=True) for side in sides]
            apart = np.sqrt(((centred[1] - centred[0]) ** 2).mean() / (centred[0] ** 2).mean())
            shown = [f"`{planned.cell.model}`"]
            for part in (0, 1):
                fp32, bf16 = seconds[:, 0, part], seconds[:, 1, part]
                shown += [f"{1e3 * np.median(fp32):.0f}, {1e3 * np.median(bf16):.0f}", ratio(fp32, bf16)]
            yield [*shown, f"{apart:.3f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12, help="an interval takes eight")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=PAGE)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    header = [
        "network", "training step fp32, bf16 (ms)", "times as fast", "inference batch fp32, bf16 (ms)",
        "times as fast", "logits apart",
    ]  # fmt: skip
    table = tabulate(list(rows(options)), header, tablefmt="github", disable_numparse=True)
    what = __doc__.partition("\n\n")[2]
    where = f"{cpu_model()}, {os.cpu_count()} cores, {options.threads} threads, torch {torch.__version__}"
    page = f"# bf16 on a CPU\n\n{table}\n\n{where}; {options.rounds} rounds of {options.steps} steps.\n\n{what}"
    print(page)
    options.out.write_text(page)


if __name__ == "__main__":
    main()
