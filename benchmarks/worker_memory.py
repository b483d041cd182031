"""What keeping freed memory is worth: steps in processes with the environment of a worker, and without its allocator.

    python -P benchmarks/worker_memory.py [--dataset esc10] [--threads 1] [--rounds 10] [--steps 6]

For each default network two processes of ``worker_environment``, one without its ``GLIBC_TUNABLES``, build what a
profile cell times and take ``steps`` training steps and as many batches of inference (16 clips) in turns; a ratio is
that of their seconds, with its 95 % interval over rounds. Below 1, the worker is the faster one.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from tabulate import tabulate

from bench.measurement.machine import cpu_model
from bench.plugins.discovery import discover
from bench.running.process import worker_environment
from bench.statistics.results import Refusal
from bench.statistics.rounds import effect_of_rounds

PAGE = Path(__file__).parent / "results" / "worker_memory.md"
WARM = 3


def serve(name: str, dataset: str, steps: int) -> None:
    """Answer each line on standard input with the seconds of training and of inference."""
    from bench.cell import Cell
    from bench.config.recipes import resolve
    from bench.execution.profile import build_calls
    from bench.execution.results import Progress
    from bench.job import Job

    registry = discover()
    spec = registry.models[name].spec
    cell = Cell(
        kind="profile", dataset=dataset, protocol="official@1", fold=0, model=name, frontend=spec.frontend,
        recipe="quick", batch=16, inputs="audio+image.derived" if "image" in spec.modalities else "audio",
    )  # fmt: skip
    _, calls = build_calls(registry, Job(cell=cell, recipe=resolve("quick", spec.recipes), fingerprint=""), Progress())
    for call in (calls.learn, calls.infer):
        for i in range(WARM):
            call(i)
    print("ready", flush=True)
    for _ in sys.stdin:
        took = []
        for call in (calls.learn, calls.infer):
            start = time.perf_counter()
            for i in range(steps):
                call(i)
            took.append(time.perf_counter() - start)
        print(json.dumps(took), flush=True)


class Side:
    """A process that computes when it is told to."""

    def __init__(self, name: str, options: argparse.Namespace, *, kept: bool) -> None:
        env = worker_environment(options.threads)
        if not kept:
            del env["GLIBC_TUNABLES"]
        command = [sys.executable, "-P", __file__, "--serve", name, "--dataset", options.dataset]
        self.process = subprocess.Popen(
            [*command, "--steps", str(options.steps)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
        )
        assert self.process.stdout.readline() == "ready\n"

    def round(self) -> list[float]:
        """Seconds of training and of inference."""
        print(file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def rows_of(name: str, options: argparse.Namespace) -> list[list[str]]:
    """Training and inference of a network."""
    sides = [Side(name, options, kept=kept) for kept in (False, True)]
    took = np.array([[side.round() for side in sides] for _ in range(options.rounds)])  # (rounds, sides, calls)
    for side in sides:
        side.close()
    rows = []
    for number, what in enumerate(("training", "inference")):
        before, now = took[:, :, number].T
        ratio = f"{np.exp(np.mean(np.log(now / before))):.2f}"
        effect = effect_of_rounds(now, before)
        if not isinstance(effect, Refusal):
            interval = effect.interval(0.05)
            ratio += f" [{interval.low:.2f}, {interval.high:.2f}]"
        shown = [f"{1e3 * float(np.median(x)) / options.steps:.0f}" for x in (before, now)]
        rows.append([f"`{name}`", what, *shown, ratio])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="esc10")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=10, help="an interval takes eight")
    parser.add_argument("--steps", type=int, default=6, help="of each side in a round")
    parser.add_argument("--out", type=Path, default=PAGE)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.dataset, options.steps)
        os._exit(0)
    if "GLIBC_TUNABLES" in os.environ:
        raise SystemExit("GLIBC_TUNABLES is set, and a worker would take it; unset it first")
    specs = [spec for spec in discover().models.specs() if "default" in spec.sets and not spec.estimator]
    rows = [row for spec in specs for row in rows_of(spec.name, options)]
    header = ["network", "16 clips", "ms, as the system has it", "ms, as a worker has it", "ratio"]
    page = (
        "# What keeping freed memory is worth\n\n"
        f"{tabulate(rows, header, tablefmt='github', disable_numparse=True)}\n\n"
        f"{options.dataset}, {options.threads} thread{'s' * (options.threads > 1)}, {options.rounds} rounds of "
        f"{options.steps} steps a side on {cpu_model()}, {os.cpu_count()} cores: medians, and the ratio of geometric "
        "means with its 95 % interval over rounds.\n"
    )
    print(page)
    options.out.write_text(page)


if __name__ == "__main__":
    main()
