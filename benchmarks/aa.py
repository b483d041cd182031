"""Two runs of the same profile cell, again and again: does the interval of their ratio contain 1 as often as it says?

``python benchmarks/aa.py --out results/aa.jsonl [--pairs 40] [--together 4] [--minutes M] [--to FILE.md]``. In a
round several runs of eight fresh processes each take turns, in an order that rotates and turns round, measured by the
same engine as every published speed. All pairs of runs of a round are compared: two runs give one pair; four give six
in the time of two pairs, but only two of the six share no run, so they are not six independent ones. Both counts are
reported. Finished rounds are kept: a second call goes on, so that forty pairs may be gathered in several idle hours.
The promise: on an otherwise idle machine the 95 % interval contains 1 in at least 36 of 40 pairs, and pooling processes
narrows it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.config.selection import Selection
from bench.config.settings import Settings
from bench.measurement.machine import describe_light, foreign_cpu
from bench.running.runner import Runner
from bench.statistics.results import Interval, Refusal
from bench.statistics.timing import compare_times
from bench.studies.profile.run import at_batch

PROCESSES = 8
BATCH = 16
NEEDED = 36 / 40
MEASURES = ("infer", "train", "latency")


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """Seconds per clip of each process of runs that took turns, and what others used of the machine meanwhile.

    Attributes:
        cell: What was measured, in words.
        runs: For each run, by measure, one value per process.
        foreign_cores: Cores that other programs used at the start; ``None`` where it cannot be read.
        seconds: Wall time of the round.
    """

    cell: str
    runs: list[dict[str, list[float]]]
    foreign_cores: float | None
    seconds: float


def measure(selection: Selection, turn: int) -> dict[str, float]:
    """One fresh process; seconds per clip by measure."""
    with tempfile.TemporaryDirectory(prefix="bench-aa-") as folder:
        (record,) = Runner(at_batch(selection, BATCH, turn), Settings(out=Path(folder))).run().records
    if record.status != "ok":
        message = record.error.message if record.error else "no reason given"
        raise SystemExit(f"{record.cell.id}: {record.status}: {message}")
    timing = record.timing
    return {
        "infer": 1 / timing["infer"]["clips_per_s"],
        "train": 1 / timing["train"]["clips_per_s"],
        "latency": timing["latency"]["median_ms"] / 1e3,
    }


def words_of(selection: Selection) -> str:
    """What is measured, as it stands in every round."""
    return f"{selection.models[0]} on {selection.datasets[0]}, batch {BATCH}"


def run_round(selection: Selection, number: int, processes: int, together: int) -> Round:
    """Runs taking turns; who comes first rotates, and every second turn goes the other way round."""
    start, others = time.monotonic(), foreign_cpu().value
    runs: list[dict[str, list[float]]] = [{name: [] for name in MEASURES} for _ in range(together)]
    for turn in range(processes):
        order = [(number + turn // 2 + i) % together for i in range(together)]
        for run in order if turn % 2 == 0 else reversed(order):
            for name, value in measure(selection, turn).items():
                runs[run][name].append(value)
    return Round(cell=words_of(selection), runs=runs, foreign_cores=others, seconds=time.monotonic() - start)


def interval(b: list[float], a: list[float]) -> Interval:
    """The 95 % interval of B's ratio to A."""
    result = compare_times(b, a)
    if isinstance(result, Refusal):
        raise SystemExit(f"no interval: {result}")
    return result


def contain_one(runs: Iterable[tuple[dict[str, list[float]], dict[str, list[float]]]], name: str) -> int:
    """In how many pairs the interval holds 1."""
    found = [interval(b[name], a[name]) for a, b in runs]
    return sum(one.low <= 1 <= one.high for one in found)


def width(sides: list[list[dict[str, list[float]]]], runs: int, name: str) -> float:
    """Logarithmic width of the interval over all processes of the first runs of both sides."""
    a, b = ([value for run in side[:runs] for value in run[name]] for side in sides)
    found = interval(b, a)
    return math.log(found.high / found.low)


def summary(rounds: list[Round]) -> dict[str, Any]:
    """Counts, and how the interval narrows with more processes."""
    others = [one.foreign_cores for one in rounds if one.foreign_cores is not None]
    pairs = [pair for one in rounds for pair in itertools.combinations(one.runs, 2)]
    disjoint = [pair for one in rounds for pair in zip(one.runs[::2], one.runs[1::2], strict=False)]
    sides = [[run for one in rounds for run in one.runs[first::2]] for first in (0, 1)]
    counts = [n for n in (1, 2, 4, 8, 16, 32) if n <= min(map(len, sides))]
    processes = len(rounds[0].runs[0]["infer"])
    return {
        "cell": rounds[0].cell,
        "rounds": len(rounds),
        "runs_a_round": [len(one.runs) for one in rounds],
        "processes_a_run": processes,
        "pairs": len(pairs),
        "contain_one": {name: contain_one(pairs, name) for name in MEASURES},
        "disjoint_pairs": len(disjoint),
        "disjoint_contain_one": {name: contain_one(disjoint, name) for name in MEASURES},
        "width_by_processes_a_side": {
            name: {str(processes * n): width(sides, n, name) for n in counts} for name in MEASURES
        },
        "others_cores_most": max(others, default=None),
        "machine": describe_light()["cpu"],
    }


def page(found: dict[str, Any]) -> str:
    """The summary as Markdown."""
    widths = found["width_by_processes_a_side"]
    head = ["measure", "pairs whose interval contains 1", "of them without a shared run"]
    head += [f"width, {n} processes a side" for n in widths["infer"]]
    lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    for name in MEASURES:
        counts = [
            f"{found['contain_one'][name]} of {found['pairs']}",
            f"{found['disjoint_contain_one'][name]} of {found['disjoint_pairs']}",
        ]
        lines.append(f"| {' | '.join([name, *counts, *(f'{100 * one:.1f} %' for one in widths[name].values())])} |")
    others = found["others_cores_most"]
    busy = "what others used cannot be read" if others is None else f"others used at most {others:.2f} cores"
    together = sorted(set(found["runs_a_round"]))
    words = (
        f"`benchmarks/aa.py`, {found['cell']}: {found['rounds']} rounds of {' or '.join(map(str, together))} runs, "
        f"{found['processes_a_run']} fresh processes a run, on {found['machine']['model']}, "
        f"{found['machine']['cores']} cores ({busy} when a round started). 95 % intervals of the ratio of two runs; "
        "pairs that share a run are not independent."
    )
    return "\n".join(["# The same cell twice", "", words, "", *lines, ""])


def main() -> int:
    """Gather pairs; exit status 1 where forty are there and fewer than 36 contain 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="JSON lines, one round each; kept and gone on with")
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--together", type=int, default=2, help="runs that take turns; all their pairs are compared")
    parser.add_argument("--processes", type=int, default=PROCESSES, help="of each run; 8 give an interval")
    parser.add_argument("--minutes", type=float, default=math.inf, help="start no round after this")
    parser.add_argument("--model", default="digit_fusion.audio_only")
    parser.add_argument("--dataset", default="demo")
    parser.add_argument("--to", type=Path, help="Markdown file to write the table to")
    given = parser.parse_args()
    if given.together < 2:
        parser.error(f"--together is {given.together}; a pair takes two runs: give 2 or more")
    selection = Selection(models=(given.model,), datasets=(given.dataset,), recipe="quick")
    rounds = [Round(**json.loads(line)) for line in given.out.read_text().splitlines()] if given.out.is_file() else []
    if other := next((one.cell for one in rounds if one.cell != words_of(selection)), None):
        parser.error(f"{given.out} holds rounds of {other}; give another --out for {words_of(selection)}")
    deadline = time.monotonic() + 60 * given.minutes
    while sum(math.comb(len(one.runs), 2) for one in rounds) < given.pairs and time.monotonic() < deadline:
        found = run_round(selection, len(rounds), given.processes, given.together)
        given.out.parent.mkdir(parents=True, exist_ok=True)
        with given.out.open("a") as file:
            file.write(json.dumps(asdict(found)) + "\n")
        rounds.append(found)
        print(
            f"round {len(rounds)}, {summary(rounds)['pairs']} of {given.pairs} pairs: {found.seconds:.0f} s", flush=True
        )
    if not rounds:
        return 0
    result = summary(rounds)
    print(json.dumps(result, indent=1))
    if given.to is not None:
        given.to.write_text(page(result))
    short = [name for name in MEASURES if result["contain_one"][name] < NEEDED * result["pairs"]]
    return 1 if short and result["pairs"] >= given.pairs else 0


if __name__ == "__main__":
    raise SystemExit(main())
