"""What ``bench run`` takes where every cell is finished: planning, checking records and predictions, the board.

``python benchmarks/resume_speed.py [--cells 2000,...] [--models NAME,...] [--against FOLDER] [--pairs 5]``: seconds of
processor time, and with ``--against`` the ratio to the bench of another source tree, run in turns (median, smallest,
largest). Records are made up, with predictions of 80 clips in 10 classes, under the fingerprints that each tree plans;
costs are known. A run takes at most 1 000 seeds, five folds: 100 000 cells are 20 models.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from report_speed import SCORES, arrays, packed_npz, provenance

MODELS, FOLDS = "classical.knn,classical.svm,classical.forest,classical.forest_tuned", 5
KEEP_COSTS = """
import contextlib, importlib, sys
for name in ("bench.running.prices", "bench.running.preparation", "bench.costs"):
    with contextlib.suppress(ImportError):
        importlib.import_module(name).BUSY_CORES = 1e9  # costs are kept, whoever else is busy
from bench.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def bench(tree: Path, scratch: Path, verb: str, cells: int, models: str, *more: str) -> tuple[str, float]:
    """What one command prints, and its processor seconds."""
    path = os.pathsep.join(str(tree / part) for part in ("", "plugins", "datasets"))
    env = {**os.environ, "PYTHONPATH": path, "BENCH_CACHE": str(scratch / "cache"), "OMP_NUM_THREADS": "1"}
    seeds = f"0-{-(-cells // (FOLDS * len(models.split(',')))) - 1}"
    command = [
        sys.executable, "-P", "-c", KEEP_COSTS, verb, "--models", models, "--dataset", "demo", "--protocol", "4+1",
        "--seeds", seeds, "--no-profile", "--device", "cpu", "--out", str(scratch / "out"), *more,
    ]  # fmt: skip
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{' '.join(command[4:])}\n{done.stderr[-2000:]}")
    return done.stdout, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def fill(tree: Path, scratch: Path, cells: int, models: str) -> int:
    """Write a record with predictions for every cell that a tree plans; returns how many."""
    plan = json.loads(bench(tree, scratch, "plan", cells, models, "--json")[0])
    rng = np.random.default_rng(0)
    for cell, decision in zip(plan["cells"], plan["decisions"], strict=True):
        path = scratch / "out" / "records" / f"{decision['id']}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        content = packed_npz(arrays(cell["fold"], 0.7, rng))
        path.with_suffix(".npz").write_bytes(content)
        path.write_text(json.dumps(record(cell, decision["fingerprint"], path, content)), encoding="utf-8")
    return len(plan["cells"])


def record(cell: dict[str, Any], fingerprint: str, path: Path, content: bytes) -> dict[str, Any]:
    """A finished cell."""
    entry = {"file": f"{path.stem}.npz", "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    scores = [{"name": name, "value": 0.7, "unit": "fraction", "higher_is_better": True} for name in SCORES]
    told = {**provenance(cell["dataset"], cell["model"], fingerprint), "schema_version": 2 if "weights" in cell else 1}
    return {
        "cell": cell, "status": "ok", "scores": scores, "timing": {"wall_s": 10.0}, "memory": {}, "recipe": {},
        "environment": {"hardware_fingerprint": "f00d"}, "provenance": told, "artifacts": {"predictions": entry},
        "started_at": "2026-01-01T00:00:00Z", "error": None,
    }  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", default="2000")
    parser.add_argument("--models", default=MODELS)
    parser.add_argument("--against", type=Path, metavar="FOLDER")
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    trees = [Path(__file__).resolve().parents[1], *([options.against.resolve()] if options.against else [])]
    models = options.models
    for cells in map(int, options.cells.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            places = [Path(folder) / str(number) for number in range(len(trees))]
            made = [fill(tree, place, cells, models) for tree, place in zip(trees, places, strict=True)]
            for tree, place in zip(trees, places, strict=True):
                bench(tree, place, "run", cells, models)  # costs are measured once
            took = np.array(
                [
                    [bench(tree, place, "run", cells, models)[1] for tree, place in zip(trees, places, strict=True)]
                    for _ in range(options.pairs)
                ]
            )
        print(f"{made[0]:6d} finished cells: {np.median(took[:, 0]):.2f} s of processor time", flush=True)
        if len(trees) > 1:
            ratios = took[:, 0] / took[:, 1]
            print(f"        ratio {np.median(ratios):.2f} [{ratios.min():.2f}, {ratios.max():.2f}]", flush=True)


if __name__ == "__main__":
    main()
