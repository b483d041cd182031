"""What a plan expects a training step to take, against the same step timed at that moment.

``python -P benchmarks/pricing.py [--data DIR]``: the default networks on the demo set, and on ESC-10 (fold 1) where
``DIR`` holds it; one thread. The plan's number comes from operators on the meta device, the other one from six steps.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from bench.cli.progress import open_progress
from bench.config.selection import Selection
from bench.config.settings import Settings
from bench.execution.counting import Known, count_work
from bench.execution.pricing import run_price
from bench.execution.results import Progress
from bench.measurement.calibration import calibrate
from bench.measurement.pace import estimate
from bench.running.runner import Runner


def compare(selection: Selection) -> Iterator[tuple[str, str, float, float]]:
    """Data set, network, expected and timed seconds of a step."""
    with open_progress() as progress:
        runner = Runner(selection, Settings(out=Path("results/runs/pricing")), progress)
        plan, known, pace = runner.plan(), Known(), calibrate()
        for planned in plan.cells:
            job = runner.preparation.job(planned, runner.launching.side_by_side)
            work = count_work(runner.host.registry, job, Progress(), known)
            expected = estimate(work, pace, batch=job.cell.batch, frozen=False)["step_s"]
            if expected is not None:
                timed = run_price(runner.host.registry, job, Progress())["step_s"]
                yield planned.cell.dataset, planned.cell.model, expected, timed


def main() -> int:
    """Print a table; 1 where some step lies outside a factor of two, beyond which plans decide by it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, metavar="DIR")
    data = parser.parse_args().data
    torch.set_num_threads(1)
    rows = list(compare(Selection(profile=False)))
    if data is not None:
        rows += compare(Selection(datasets=("esc10",), data=data, folds=(1,), profile=False))
    print("| set | network | expected, ms | timed, ms | ratio |\n| --- | --- | ---: | ---: | ---: |")
    for name, model, expected, timed in rows:
        print(f"| {name} | {model} | {1e3 * expected:.1f} | {1e3 * timed:.1f} | {expected / timed:.2f} |")
    return int(any(not 0.5 < expected / timed < 2 for _, _, expected, timed in rows))


if __name__ == "__main__":
    sys.exit(main())
