"""Two runs of the same profile cell, again and again: does the interval of their ratio contain 1 as often as it says?

``python benchmarks/aa.py --out results/aa.jsonl [--pairs 40] [--minutes M]``. A pair is two runs of eight fresh
processes each, A and B alternating in an order that turns round (ABBA...), measured by the same engine as every
published speed. Finished pairs are kept: a second call goes on, so that forty pairs may be gathered in several idle
hours. The promise: on an otherwise idle machine the 95 % interval contains 1 in at least 36 of 40 pairs, and pooling
processes narrows it.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.measurement.machine import describe_light, foreign_cpu
from bench.preparation import Settings
from bench.runner import Runner
from bench.selection import Selection
from bench.statistics import Refusal, compare_times
from bench.studies.sweep import at_batch

PROCESSES = 8
NEEDED = 36 / 40
MEASURES = ("infer", "train", "latency")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Seconds per clip of each process of both runs, and what others used of the machine meanwhile.

    Attributes:
        a: By measure, one value per process.
        b: The same for the second run.
        foreign_cores: Cores that other programs used at the start; ``None`` where it cannot be read.
        seconds: Wall time of the pair.
    """

    a: dict[str, list[float]]
    b: dict[str, list[float]]
    foreign_cores: float | None
    seconds: float


def measure(selection: Selection, turn: int) -> dict[str, float]:
    """One fresh process; seconds per clip by measure."""
    with tempfile.TemporaryDirectory(prefix="bench-aa-") as folder:
        (record,) = Runner(at_batch(selection, 16, turn), Settings(out=Path(folder))).run().records
    if record.status != "ok":
        message = record.error.message if record.error else "no reason given"
        raise SystemExit(f"{record.cell.id}: {record.status}: {message}")
    timing = record.timing
    return {
        "infer": 1 / timing["infer"]["clips_per_s"],
        "train": 1 / timing["train"]["clips_per_s"],
        "latency": timing["latency"]["median_ms"] / 1e3,
    }


def run_pair(selection: Selection, number: int, processes: int) -> Pair:
    """A and B alternating; which comes first turns round with every process and every pair."""
    start, others = time.monotonic(), foreign_cpu().value
    found: dict[str, dict[str, list[float]]] = {side: {name: [] for name in MEASURES} for side in "ab"}
    for turn in range(processes):
        for side in "ab" if (turn + number) % 2 == 0 else "ba":
            for name, value in measure(selection, turn).items():
                found[side][name].append(value)
    return Pair(a=found["a"], b=found["b"], foreign_cores=others, seconds=time.monotonic() - start)


def contains_one(pair: Pair, name: str) -> bool:
    """Whether the 95 % interval of B's ratio to A holds 1."""
    result = compare_times(pair.b[name], pair.a[name])
    if isinstance(result, Refusal) or isinstance(result.interval, Refusal):
        raise SystemExit(f"no interval: {result}")
    return result.interval.low <= 1 <= result.interval.high


def width(pairs: list[Pair], name: str) -> float | None:
    """Logarithmic width of the interval over all processes of some pairs."""
    a = [value for pair in pairs for value in pair.a[name]]
    b = [value for pair in pairs for value in pair.b[name]]
    result = compare_times(b, a)
    if isinstance(result, Refusal) or isinstance(result.interval, Refusal):
        return None
    return math.log(result.interval.high / result.interval.low)


def summary(pairs: list[Pair]) -> dict[str, object]:
    """Counts, and how the interval narrows with more processes."""
    others = [pair.foreign_cores for pair in pairs if pair.foreign_cores is not None]
    return {
        "pairs": len(pairs),
        "processes_a_run": len(pairs[0].a["infer"]),
        "contain_one": {name: sum(contains_one(pair, name) for pair in pairs) for name in MEASURES},
        "width_by_pairs_pooled": {
            name: {str(n): width(pairs[:n], name) for n in (1, 2, 4, 8, 16, 32) if n <= len(pairs)} for name in MEASURES
        },
        "others_cores_most": max(others, default=None),
        "machine": describe_light()["cpu"],
    }


def main() -> int:
    """Gather pairs; exit status 1 where forty are there and fewer than 36 contain 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="JSON lines, one pair each; kept and gone on with")
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--processes", type=int, default=PROCESSES, help="of each run; 8 give an interval")
    parser.add_argument("--minutes", type=float, default=math.inf, help="start no pair after this")
    parser.add_argument("--model", default="digit_fusion.audio_only")
    parser.add_argument("--dataset", default="demo")
    given = parser.parse_args()
    selection = Selection(models=(given.model,), datasets=(given.dataset,), recipe="smoke")
    pairs = [Pair(**json.loads(line)) for line in given.out.read_text().splitlines()] if given.out.is_file() else []
    deadline = time.monotonic() + 60 * given.minutes
    while len(pairs) < given.pairs and time.monotonic() < deadline:
        pair = run_pair(selection, len(pairs), given.processes)
        given.out.parent.mkdir(parents=True, exist_ok=True)
        with given.out.open("a") as file:
            file.write(json.dumps(asdict(pair)) + "\n")
        pairs.append(pair)
        print(f"pair {len(pairs)} of {given.pairs}: {pair.seconds:.0f} s", flush=True)
    if not pairs:
        return 0
    found = summary(pairs)
    print(json.dumps(found, indent=1))
    short = [name for name in MEASURES if found["contain_one"][name] < NEEDED * len(pairs)]  # type: ignore[index]
    return 1 if short and len(pairs) >= given.pairs else 0


if __name__ == "__main__":
    raise SystemExit(main())
