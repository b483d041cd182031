"""Kills -9 at random moments: ``python benchmarks/chaos.py --kills 100 [--seed 0] [--launcher local] [--pace 1.0]``.

A run of small cells goes on while its parent, a worker, what a worker imports in, a cell, or whoever reads the data for
it is killed; the same command runs the rest. After each run every record is whole and no process is left; in the end
every cell stands there once, with the scores and predictions of a run that nothing disturbed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from bench.results.store import Store

PLUGIN = Path(__file__).parents[1] / "tests" / "running" / "contract_plugin.py"
ROLES = ("parent", "worker", "guard", "importing", "cell", "data")
"""By depth below the command."""
CELLS = 20
SPARED = 0.9
"""How often the parent is: whatever else is killed, its run goes on."""
Contents = dict[str, tuple[dict[str, float | None], Mapping[str, Any]]]


class ChaosError(Exception):
    """Something was lost, torn, left behind or other than in the undisturbed run."""


def command(out: Path, launcher: str) -> list[str]:
    """The run, as a user types it."""
    return [
        sys.executable, "-P", "-m", "bench", "run", "--models", "does.good", "--dataset", "beats", "--recipe", "smoke",
        "--set", "recipe.budget_seconds=none", "--no-profile", "--seeds", f"0-{CELLS // 5 - 1}", "--jobs", "2",
        "--plugin", str(PLUGIN), "--launcher", launcher, "--out", str(out),
    ]  # fmt: skip


def contents(out: Path) -> Contents:
    """Scores and predictions of the cells that are done; none where the first kill came before the folder."""
    if not out.exists():
        return {}
    store = Store(out)
    records, problems = store.records()
    if problems:
        raise ChaosError("; ".join(map(str, problems)))
    return {
        r.cell.id: (
            {s.name: s.value for s in r.scores},
            {k: v for k, v in store.predictions(r).items() if not k.startswith("curve_seconds")},
        )
        for r in records
        if r.status == "ok"
    }


def compare(found: Contents, expected: Contents) -> None:
    """Raises where a cell that is done differs."""
    for name, (scores, arrays) in found.items():
        if scores != expected[name][0] or arrays.keys() != expected[name][1].keys():
            raise ChaosError(f"{name}: other scores or arrays than undisturbed")
        for key, values in arrays.items():
            if not np.array_equal(values, expected[name][1][key], equal_nan=values.dtype.kind == "f"):
                raise ChaosError(f"{name}: {key} differs from the undisturbed run")


def marked(mark: str) -> list[psutil.Process]:
    """Processes of a run, by their environment."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("BENCH_TEST_RUN") == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def targets(root: int) -> dict[str, list[int]]:
    """Processes of a run by role."""
    found: dict[str, list[int]] = {}
    level = [psutil.Process(root)]
    for role in ROLES:
        if level:
            found[role] = [process.pid for process in level]
        level = [child for process in level for child in _children(process)]
    return found


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        children: list[psutil.Process] = process.children()
    except psutil.Error:
        return []
    return children


def disturbed(line: list[str], env: Mapping[str, str], draw: random.Random, pace: float) -> Iterator[str]:
    """One run; yields the role of each process that was killed."""
    process = subprocess.Popen(line, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(draw.uniform(0.2, 3.0) * pace)
                break
            with contextlib.suppress(psutil.Error, ProcessLookupError):
                there = targets(process.pid)
                role = draw.choice(sorted(there))
                if role == "parent" and draw.random() < SPARED:
                    continue
                os.kill(draw.choice(there[role]), 9)
                yield role
    finally:
        process.wait(600)


def campaign(kills: int, seed: int, launcher: str, pace: float, folder: Path) -> Counter[str]:
    """Kill and run again until ``kills`` are done."""
    env = {**os.environ, "BENCH_CACHE": str(folder / "cache"), "BENCH_TEST_FIT_S": "1.0", "OMP_NUM_THREADS": "1"}
    calm = command(folder / "calm", launcher)
    subprocess.run(calm, env=env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    expected, done, draw = contents(folder / "calm"), Counter[str](), random.Random(seed)
    if len(expected) != CELLS:
        raise ChaosError(f"{len(expected)} of {CELLS} cells in the undisturbed run")
    rounds = 0
    while done.total() < kills:
        rounds += 1
        out = folder / f"round-{rounds}"
        env["BENCH_TEST_RUN"] = str(out)
        while len(found := contents(out)) < CELLS:
            for role in disturbed(command(out, launcher), env, draw, pace if done.total() < kills else 1e6):
                done[role] += 1
            until = time.monotonic() + 20
            while (left := marked(str(out))) and time.monotonic() < until:
                time.sleep(0.05)
            if left:
                raise ChaosError(f"left running: {[' '.join(process.cmdline()) for process in left]}")
            compare(contents(out), expected)
            print(f"round {rounds}: {len(contents(out))} of {CELLS} cells, kills {dict(done)}", flush=True)
        files = list((out / "records").rglob("*.json"))
        if found.keys() != expected.keys() or len(files) != CELLS:
            raise ChaosError(f"{len(files)} records of {CELLS} cells")
    return done


def main() -> int:
    """Print what was killed, by role."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--launcher", default="local")
    parser.add_argument("--pace", type=float, default=1.0, help="how much rarer kills are")
    asked = parser.parse_args()
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bench-chaos-") as folder:
        done = campaign(asked.kills, asked.seed, asked.launcher, asked.pace, Path(folder))
    roles = ", ".join(f"{role} {done[role]}" for role in ROLES if done[role])
    print(
        f"{done.total()} kills ({roles}) with seed {asked.seed} in {time.monotonic() - start:.0f} s: nothing was lost"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
