"""What ``bench run`` costs beside its cell: one estimator cell of a second's work, whose cost is known.

``python benchmarks/run_overhead.py [--before DIR] [--pairs 10] [--json]``. The promise: at most 1.5 s of wall time
above the cell's own, and at most 0.7 of the wall time of the source tree ``--before``. The two trees run in turns, each
with a cache of its own; ratios are medians over the pairs, with 95 % intervals from resampling them. Wall time is worth
reading only on a machine with two idle cores; the processor time beside it is less disturbed by neighbours.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

RATIO, ABOVE_S = 0.7, 1.5
CELL = ("run", "--models", "classical.knn", "--dataset", "demo", "--folds", "0", "--no-profile", "--device", "cpu")
REMEMBER = """
import contextlib, importlib, sys
for name in ("bench.running.prices", "bench.running.preparation", "bench.running.pricing", "bench.costs"):
    with contextlib.suppress(ImportError):
        importlib.import_module(name).BUSY_CORES = 1e9  # costs are kept, whoever else is busy
from bench.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def run(tree: Path, scratch: Path, *python: str) -> tuple[float, float, float]:
    """Wall and processor seconds of one run in a fresh folder, and the wall seconds of its cell."""
    out = scratch / "out"
    shutil.rmtree(out, ignore_errors=True)
    path = os.pathsep.join(str(tree / part) for part in ("", "plugins", "datasets"))
    env = {**os.environ, "PYTHONPATH": path, "BENCH_CACHE": str(scratch / "cache")}
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-P", *(python or ("-m", "bench")), *CELL, "--out", str(out)]
    subprocess.run(command, check=True, env=env, capture_output=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    (record,) = (json.loads(file.read_text()) for file in (out / "records").rglob("*.json"))
    processor = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return wall, processor, record["timing"]["wall_s"]


def measure(trees: Sequence[Path], pairs: int) -> np.ndarray:
    """``(pairs, trees, 3)``: wall, processor and cell seconds."""
    with tempfile.TemporaryDirectory() as folder:
        places = [Path(folder) / str(number) for number in range(len(trees))]
        for tree, place in zip(trees, places, strict=True):
            run(tree, place, "-c", REMEMBER)
        found = np.empty((pairs, len(trees), 3))
        for pair in range(pairs):
            for number in range(len(trees))[:: 1 if pair % 2 else -1]:
                found[pair, number] = run(trees[number], places[number])
    return found


def median(values: np.ndarray, resamples: int = 2000) -> tuple[float, float, float]:
    """The median and its 95 % interval, by the percentile bootstrap."""
    drawn = np.median(np.random.default_rng(0).choice(values, size=(resamples, len(values))), axis=1)
    low, high = np.percentile(drawn, (2.5, 97.5))
    return float(np.median(values)), float(low), float(high)


def main() -> int:
    """Measure and print; 1 where a whole interval is above its limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, metavar="DIR")
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    here = Path(__file__).resolve().parents[1]
    trees = [here, *([options.before.resolve()] if options.before else [])]
    found = measure(trees, options.pairs)
    wall, processor, cell = (found[:, :, part] for part in range(3))
    numbers = {"wall_s": median(wall[:, 0]), "cell_s": median(cell[:, 0]), "above_s": median((wall - cell)[:, 0])}
    if options.before:
        numbers |= {"before_wall_s": median(wall[:, 1]), "before_above_s": median((wall - cell)[:, 1])}
        numbers |= {"ratio": median(wall[:, 0] / wall[:, 1])}
        numbers |= {"processor_ratio": median(processor[:, 0] / processor[:, 1])}
    if options.json:
        print(json.dumps(numbers))
    else:
        for name, (middle, low, high) in numbers.items():
            print(f"{name:16} {middle:.2f} [{low:.2f}, {high:.2f}]")
    limits = {"above_s": ABOVE_S, "ratio": RATIO}
    return int(any(numbers[name][1] > limit for name, limit in limits.items() if name in numbers))


if __name__ == "__main__":
    sys.exit(main())
