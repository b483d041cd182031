"""What a cell costs that starts from a clean image, beside cells that share a process and a fresh process for each.

``python benchmarks/isolation.py [--model NAME] [--turns 3] [--json]``. Five folds of ESC-10 (``--limit`` clips a part,
one pass) go to a worker of each way in turns; the first cell of each, with all imports, stands for a fresh process.
Limit: half a second a cell, in processor time, which neighbours disturb less than wall time.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import select
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench.cell import Cell
from bench.config.recipes import resolve
from bench.job import Job
from bench.plugins.discovery import load
from bench.running.process import Worker

ABOVE_S, FOLDS = 0.5, 5
SHARED = """
from bench.running import isolation, worker
isolation.forks = lambda: True
isolation.in_child = lambda work: [] if work() is None else []
worker.main()
"""
WAYS = {"clean image": ("-m", "bench.running.worker"), "shared process": ("-c", SHARED)}
_TICK = os.sysconf("SC_CLK_TCK")


def jobs(model: str, limit: int, device: str) -> list[Job]:
    """The cells of one model."""
    spec = load().registry.models[model].spec
    recipe = resolve("smoke", spec.recipes, {"epochs": 1})
    cells = [
        Cell(
            kind="evaluate", dataset="esc10", protocol="4+1@1", fold=fold, model=model, recipe="smoke", batch=16,
            frontend=spec.frontend or "waveform", device=device,
        )
        for fold in range(1, FOLDS + 1)
    ]  # fmt: skip
    return [Job(cell=cell, recipe=recipe, fingerprint="f", limit=limit, keep_checkpoint=False) for cell in cells]


@contextlib.contextmanager
def worker(way: str) -> Iterator[Worker]:
    """A worker that serves its cells in one way."""
    started = Worker(1, (sys.executable, "-P", *WAYS[way]))
    try:
        yield started
    finally:
        started.kill()


def run(process: Worker, job: Job) -> tuple[float, float]:
    """Wall and processor seconds of one cell, those of the worker's children that have ended included."""
    image = importing(process.pid)
    start, before = time.perf_counter(), processor(image)
    process.send(job)
    status = ""
    while True:
        select.select([process.output, process.printed], [], [], 60)
        process.drain()
        for message in process.messages():
            if message.event == "idle":
                return time.perf_counter() - start, processor(image) - before
            status = json.loads(message.values["text"])["status"] if message.event == "record" else status
        if process.gone or status not in ("", "ok"):
            raise SystemExit(process.log() or status)


def importing(pid: int) -> int:
    """The process of a worker that imports, and forks the cells."""
    for _ in range(2):  # below the two that guard it
        while not (found := Path(f"/proc/{pid}/task/{pid}/children").read_text().split()):
            time.sleep(0.02)
        pid = int(found[0])
    return pid


def processor(pid: int) -> float:
    """User and system seconds of a process and of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / _TICK


def measure(cells: list[Job], turns: int) -> dict[str, np.ndarray]:
    """``(cells, 2)`` wall and processor seconds of each way."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in [*WAYS, "fresh process"]}
    for _ in range(turns):
        with contextlib.ExitStack() as stack:
            workers = {way: stack.enter_context(worker(way)) for way in WAYS}
            for number, job in enumerate(cells):
                for way, process in workers.items():
                    seconds = run(process, job)
                    found[way if number else "fresh process"].append(seconds)
    return {name: np.asarray(seconds) for name, seconds in found.items()}


def main() -> int:
    """Measure and print; 1 where a cell costs more than the limit above one that shares its process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="calm.conv")
    parser.add_argument("--limit", type=int, default=40)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = measure(jobs(options.model, options.limit, options.device), options.turns)
    table = {name: [float(x) for x in np.median(seconds, axis=0)] for name, seconds in found.items()}
    above = table["clean image"][1] - table["shared process"][1]
    if options.json:
        print(json.dumps({"model": options.model, "above_s": above, **table}))
    else:
        print(f"{options.model}: wall and processor seconds of a cell (median)")
        for name, (wall, busy) in table.items():
            print(f"{name:16} {wall:6.2f} {busy:6.2f}")
        print(f"a clean image costs {above:+.2f} s of processor time a cell; at most {ABOVE_S} s")
    return int(above > ABOVE_S)


if __name__ == "__main__":
    sys.exit(main())
