"""A bank of processes to draw gates from: the same network unchanged, 2 % and 5 % slower, 1 % fatter, and under load.

``python benchmarks/gate_power/bank.py --to bank.jsonl [--rounds 150] [--minutes 40]``; called again it goes on. The
machine should be otherwise idle. Quiet stretches of 10 rounds alternate with stretches during which two programs burn
both cores for seconds at a time and then rest.

A round is what a round of ``bench gate --against`` is: each side has a new image, a process that has imported torch and
has run nothing; once all are there, three forks of each measure in turns, in an order that rotates. A fork builds the
network anew at another place of its memory, takes about a fifth of a second and leaves.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

STRETCH, FORKS = 10, 3
LAYERS = 100
SIDES: Mapping[str, Mapping[str, int]] = {
    "quiet": {"base": LAYERS, "again": LAYERS, "same": LAYERS, "slow2": LAYERS + 2, "slow5": LAYERS + 5},
    "loaded": {"base": LAYERS, "again": LAYERS, "same": LAYERS},
}
"""Part to side to equal layers: a slowdown is a share of real work more."""
WIDTH, CLIPS, BLOCKS, BLOCK_SECONDS = 96, 16, 6, 0.02
FATTER, MOVED_BY = 0.01, 64
BURN = "import random, time\nwhile True:\n end = time.monotonic() + random.expovariate(1 / 3)\n"
BURN += " while time.monotonic() < end: sum(range(20000))\n time.sleep(random.expovariate(1 / 3))\n"


class Image:
    """A process that has imported everything and forks one that measures for each line it reads."""

    def __init__(self, layers: int) -> None:
        command = [sys.executable, __file__, "--image", str(layers)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
        self._process = subprocess.Popen(command, stdin=-1, stdout=-1, text=True, env=environment)

    def ready(self) -> None:
        """Wait until everything is imported."""
        assert self._process.stdout is not None
        self._process.stdout.readline()

    def measure(self) -> dict[str, Any]:
        """One process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        found: dict[str, Any] = json.loads(self._process.stdout.readline())
        return found

    def close(self) -> None:
        """End it."""
        self._process.communicate()


def serve(layers: int) -> None:
    """What an image does."""
    import torch

    for name in ("memory", "throughput"):
        importlib.import_module(f"bench.measurement.{name}")
    torch.set_num_threads(1)
    print("ready", flush=True)
    while sys.stdin.buffer.raw.read(1):
        child = os.fork()
        if not child:
            print(json.dumps(measure(layers)), flush=True)
            os._exit(0)
        os.waitpid(child, 0)


def measure(layers: int) -> dict[str, Any]:
    """Seconds a step of each block, the peak of a step, and the same with a hundredth of it held besides."""
    import numpy as np
    import torch

    from bench.measurement.memory import HostPeak, read_field
    from bench.measurement.throughput import Blocks, measure_throughput

    torch.manual_seed(0)
    moved = [bytes(size) for size in np.random.default_rng().integers(1, 8192, size=MOVED_BY)]
    network = torch.nn.Sequential(*(torch.nn.Linear(WIDTH, WIDTH) for _ in range(layers)))
    clips = torch.randn(CLIPS, WIDTH)

    def step(_: int) -> int:
        with torch.inference_mode():
            network(clips)
        return CLIPS

    rule = Blocks(warmup_steps=2, warmup_seconds=0, count=BLOCKS, min_steps=1, seconds=BLOCK_SECONDS, max_seconds=1)
    run = measure_throughput(step, device="cpu", blocks=rule)

    def memory() -> float:  # as the gate has it: without mapped files, of which the page cache decides
        with HostPeak() as peak:
            step(0)
        return (peak.peak_mib.value or 0.0) - (read_field(Path("/proc/self/status"), "RssFile").value or 0.0)

    plain = memory()
    del moved
    held = bytearray(round(FATTER * plain * 2**20))
    held[::4096] = b"x" * len(held[::4096])
    return {"seconds": (CLIPS / run.block_rates).tolist(), "memory_mib": plain, "fatter_mib": memory()}


def stretch(part: str, rounds: range) -> Iterator[dict[str, Any]]:
    """Complete rounds of one part."""
    burners = [subprocess.Popen([sys.executable, "-c", BURN]) for _ in range(2 if part == "loaded" else 0)]
    try:
        for number in rounds:
            yield {"part": part, "round": number, "sides": one_round(SIDES[part], number)}
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


def one_round(sides: Mapping[str, int], number: int) -> dict[str, list[dict[str, Any]]]:
    """What the forks of each side measure, in new images."""
    images = {side: Image(layers) for side, layers in sides.items()}
    try:
        for image in images.values():
            image.ready()
        for image in images.values():
            image.measure()
        found: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
        names = [*images]
        for turn in range(number, number + FORKS):
            for side in names[turn % len(names) :] + names[: turn % len(names)]:
                found[side].append(images[side].measure())
        return found
    finally:
        for image in images.values():
            image.close()


def read(path: Path) -> list[dict[str, Any]]:
    """Complete rounds; a torn last line is none."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def collect(path: Path, rounds: int, minutes: float) -> bool:
    """Measure what the bank lacks; says whether it is complete."""
    from bench.measurement.machine import describe_light

    end = time.monotonic() + 60 * minutes
    known = read(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    known = known or [{"machine": describe_light()}]
    whole = path.with_name(f"{path.name}.new")
    whole.write_text("".join(json.dumps(line) + "\n" for line in known), encoding="utf-8")
    whole.replace(path)
    with path.open("a", encoding="utf-8") as file:
        done = {part: sum(line.get("part") == part for line in known) for part in SIDES}
        for part in itertools.cycle(SIDES):
            if min(done.values()) >= rounds:
                return True
            for line in stretch(part, range(done[part], min(rounds, done[part] + STRETCH))):
                file.write(json.dumps(line) + "\n")
                file.flush()
                done[part] += 1
                if time.monotonic() > end:
                    return min(done.values()) >= rounds
            print(", ".join(f"{part} {count}" for part, count in done.items()), f"of {rounds} rounds", flush=True)
    return False


def main() -> int:
    """Collect, or be an image."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, default=Path("results/runs/gate_power.jsonl"))
    parser.add_argument("--rounds", type=int, default=150)
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--image", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.image:
        serve(asked.image)
        return 0
    return 0 if collect(asked.to, asked.rounds, asked.minutes) else 1


if __name__ == "__main__":
    raise SystemExit(main())
