"""Where the processor seconds of a first board go: ``bench run --dataset demo`` in an empty cache, watched.

``python benchmarks/first_board.py [--before DIR] [--json] [ARGUMENT ...]``. User and system seconds of every process
are read from ``/proc`` twenty times a second and booked by stage (planning, evaluate cells, profile cells, board) and
by what the process is: the host, what imports and forks, or a cell. The promise: at most 0.35 of the 150 s that a board
took on two idle cores when it was made; wall time is worth reading only there, processor time is less disturbed. A
profile cell may take 1.3 times its timed passes and 3 s. Other arguments go to ``bench run``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

BOARD = ("--dataset", "demo", "--set", "recipe.budget_seconds=none")
"""A busy machine leaves no cell out."""
BOARD_S = 0.35 * 150
STAGES = ("planning", "evaluate", "profile", "board")
ROLES = ("host", "guard", "warm", "image", "cell")
"""By depth in the tree of processes: a profile cell runs in what is the image of evaluate cells."""
COLUMNS = {
    "evaluate": ("accuracy", "epochs", "train_s", "wall_s"),
    "profile": ("timed_s", "wall_s", "relative_error", "host_mib"),
}
_TICK, _EVERY_S = os.sysconf("SC_CLK_TCK"), 0.05


class Watch:
    """Processor seconds of a process tree by stage and role."""

    def __init__(self, root: int, out: Path) -> None:
        self.root, self.out = root, out
        self.spent: Counter[tuple[str, str]] = Counter()
        self.starts: Counter[tuple[str, str]] = Counter()
        self.wall: Counter[str] = Counter()
        self._seen: dict[int, tuple[str, float]] = {}
        self._planned: Counter[str] = Counter()
        self._last = time.perf_counter()

    def look(self) -> None:
        """Book what was used since the last look."""
        stage, now = self._stage(), time.perf_counter()
        self.wall[stage] += now - self._last
        self._last = now
        for pid, depth in descendants(self.root):
            used, role = processor(pid), ROLES[min(depth, len(ROLES) - 1)]
            if pid not in self._seen:
                self.starts[stage, role] += 1
            before = self._seen.get(pid, (role, 0.0))[1]
            self.spent[stage, role] += max(0.0, used - before)
            self._seen[pid] = role, used

    def _stage(self) -> str:
        """What the run is at, by the files it has written."""
        if not self._planned:
            plan = self.out / "plan.json"
            if not plan.exists():
                return "planning"
            self._planned = Counter(cell["kind"] for cell in json.loads(plan.read_text())["cells"])
        done = Counter(path.name.partition("-")[0] for path in (self.out / "records").rglob("*.json"))
        return next((kind for kind in ("evaluate", "profile") if done[kind] < self._planned[kind]), "board")


def descendants(root: int) -> Iterator[tuple[int, int]]:
    """Each process of a tree and its depth."""
    level = [root]
    for depth in range(20):
        yield from ((pid, depth) for pid in level)
        level = [child for pid in level for child in children(pid)]


def children(pid: int) -> list[int]:
    """Processes that the threads of one have started."""
    found: list[int] = []
    with contextlib.suppress(OSError):  # it has ended
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found


def processor(pid: int) -> float:
    """User and system seconds of a process, 0 of one that has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:13])) / _TICK


def run(tree: Path, arguments: Sequence[str], keep: Path | None = None) -> dict[str, Any]:
    """One board in fresh folders: seconds by stage and role, and of each profile cell what is timed of it."""
    path = os.pathsep.join(str(tree / part) for part in ("", "plugins", "datasets"))
    with tempfile.TemporaryDirectory() as scratch:
        out = keep or Path(scratch) / "out"
        env = {**os.environ, "PYTHONPATH": path, "BENCH_CACHE": str(Path(scratch) / "cache")}
        command = [sys.executable, "-P", "-m", "bench", "run", *BOARD, *arguments, "--out", str(out)]
        start = time.perf_counter()
        with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            watch = Watch(process.pid, out)
            while process.poll() is None:
                watch.look()
                time.sleep(_EVERY_S)
        wall = time.perf_counter() - start
        records = [json.loads(file.read_text()) for file in sorted((out / "records").rglob("*.json"))]
    return {
        "wall_s": wall,
        "processor_s": sum(watch.spent.values()),  # what a killed process has waited for is in no rusage
        "stages": {
            stage: {"wall_s": watch.wall[stage], **{role: watch.spent[stage, role] for role in ROLES}}
            for stage in STAGES
        },
        "processes": {stage: {role: watch.starts[stage, role] for role in ROLES} for stage in STAGES},
        "cells": [told(record) for record in records],
    }


def told(record: Mapping[str, Any]) -> dict[str, Any]:
    """What a record says of itself."""
    timing, cell = record["timing"], record["cell"]
    found = {"kind": cell["kind"], "model": cell["model"], "status": record["status"], "wall_s": timing.get("wall_s")}
    if cell["kind"] == "profile":
        passes = [timing.get(name) or {} for name in ("latency", "infer", "train")]
        rates = [p.get("block_clips_per_s") or [] for p in passes[1:]]
        means = [statistics.stdev(r) / statistics.mean(r) / len(r) ** 0.5 for r in rates if len(r) > 1]
        return found | {
            "timed_s": sum(p.get("wall_s", 0.0) for p in passes), "relative_error": max(means, default=None),
            "host_mib": (record["memory"] or {}).get("host_peak_mib"),
        }  # fmt: skip
    scores = {one["name"]: one["value"] for one in record["scores"]}
    return found | {"accuracy": scores.get("accuracy")} | {name: timing.get(name) for name in ("epochs", "train_s")}


def table(found: Mapping[str, Any]) -> str:
    """The numbers as Markdown."""
    lines = [
        f"{found['wall_s']:.0f} s of wall time, {found['processor_s']:.0f} s of processor time.",
        "", "| stage | wall s | " + " | ".join(ROLES) + " |", "| --- |" + " ---: |" * (1 + len(ROLES)),
    ]  # fmt: skip
    for stage, spent in found["stages"].items():
        started = found["processes"][stage]
        cells = [f"{spent[role]:.1f} ({started[role]})" for role in ROLES]
        lines.append(f"| {stage} | {spent['wall_s']:.1f} | {' | '.join(cells)} |")
    for kind, columns in COLUMNS.items():
        lines += ["", f"| {kind} | " + " | ".join(columns) + " |", "| --- |" + " ---: |" * len(columns)]
        for cell in found["cells"]:
            if cell["kind"] == kind:
                lines.append(f"| {cell['model']} | " + " | ".join(_shown(cell.get(name)) for name in columns) + " |")
    return "\n".join(lines)


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def main() -> int:
    """Measure and print; 1 where the board takes longer than it may."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, metavar="DIR")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="the run folder")
    options, arguments = parser.parse_known_args()
    trees = {"now": Path(__file__).resolve().parents[1]}
    if options.before:
        trees = {"before": options.before.resolve(), **trees}
    found = {name: run(tree, arguments, options.keep and options.keep / name) for name, tree in trees.items()}
    print(json.dumps(found) if options.json else "\n\n".join(f"## {n}\n\n{table(f)}" for n, f in found.items()))
    return int(found["now"]["wall_s"] > BOARD_S)


if __name__ == "__main__":
    sys.exit(main())
