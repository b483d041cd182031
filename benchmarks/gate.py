"""Does the gate catch what it should on real runs, and let pass what it should?

``python benchmarks/gate.py [--unchanged 10] [--processes 8] [--to benchmarks/results/gate.md]``. One run is pinned;
then runs of the same model as often as told, and one each of the model 30 % slower, 5 % fatter and 5 points worse
(`benchmarks/gate_subject.py`), go through ``bench gate`` with the default policy; last, the baseline pretends to come
from another machine. Speed comes from eight processes a run: one process may be a quarter slower than the next for as
long as it lives, which no number of samples from a single one shows. Exit status 1 where a verdict is not the expected
one. The machine should be otherwise idle.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.measurement.machine import describe_light

SUBJECT = Path(__file__).with_name("gate_subject.py")
PASSED, REFUSED, REGRESSION = 0, 2, 3
EXPECTED = {"slower": "latency", "fatter": "host_memory", "worse": "accuracy"}
"""Change to a quantity that the gate has to blame."""


def bench(*arguments: str, change: str = "") -> subprocess.CompletedProcess[str]:
    """One command of the harness with the subject changed."""
    environment = {**os.environ, "BENCH_GATE_CHANGE": change}
    command = [sys.executable, "-P", "-m", "bench", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def run(out: Path, processes: int, change: str = "") -> Path:
    """A run of the subject, trained, and profiled in as many processes."""
    recipe = ("--recipe", "smoke", "--set", "recipe.epochs=4", "--set", "recipe.lr=3e-3")
    done = bench(
        "run", "--models", "subject.net", "--dataset", "subject", "--plugin", str(SUBJECT), *recipe,
        "--processes", str(processes), "--no-keep-checkpoints", "--out", str(out), change=change,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"bench run failed with {done.returncode}:\n{done.stderr[-2000:]}")
    return out


def gate(results: Path, baseline: Path) -> tuple[int, dict[str, dict[str, float]], str]:
    """Exit status, the changes by quantity with their status, and what was said."""
    verdict = results / "verdict.json"
    done = bench("gate", str(results), "--baseline", str(baseline), "--json", str(verdict))
    found = json.loads(verdict.read_text())["findings"] if verdict.is_file() else []
    return done.returncode, {one["quantity"]: one for one in found}, done.stdout.strip() or done.stderr.strip()


def other_machine(baseline: Path) -> Path:
    """The baseline as if it came from elsewhere."""
    pinned = json.loads(baseline.read_text())
    for row in pinned["rows"]:
        if row.get("hardware"):
            row["hardware"] = "0" * len(row["hardware"])
    moved = baseline.with_name("elsewhere.json")
    moved.write_text(json.dumps(pinned))
    return moved


def line(name: str, status: int, expected: int, found: dict[str, dict[str, float]]) -> str:
    """One row of the table."""

    def change(quantity: str) -> str:
        one = found.get(quantity)
        if one is None or one["change"] is None:
            return "-"
        points = quantity == "accuracy"
        return f"{100 * one['change']:+.1f} {'points' if points else '%'}"

    blamed = ", ".join(quantity for quantity, one in found.items() if one["status"] == "regression") or "-"
    changes = " | ".join(change(quantity) for quantity in ("accuracy", "latency", "infer_throughput", "host_memory"))
    return f"| {name} | {status} | {expected} | {blamed} | {changes} |"


def main() -> int:
    """All runs and verdicts, as a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--unchanged", type=int, default=10, help="runs of the unchanged model")
    parser.add_argument("--processes", type=int, default=8, help="of each run, for its speed and memory")
    parser.add_argument("--to", type=Path, help="Markdown file to write the table to")
    given = parser.parse_args()
    rows, wrong = [], []
    with tempfile.TemporaryDirectory(prefix="bench-gate-") as folder:
        root = Path(folder)
        baseline = root / "baseline.json"
        pinned = bench("baseline", "pin", str(run(root / "pinned", given.processes)), "--to", str(baseline))
        if pinned.returncode:
            raise SystemExit(pinned.stderr)
        cases = [(f"unchanged {i + 1}", "", PASSED) for i in range(given.unchanged)]
        cases += [(change, change, REGRESSION) for change in EXPECTED]
        for name, change, expected in cases:
            status, found, said = gate(run(root / name.replace(" ", "-"), given.processes, change), baseline)
            blamed = {quantity for quantity, one in found.items() if one["status"] == "regression"}
            rows.append(line(name, status, expected, found))
            print(rows[-1], flush=True)
            if status != expected or (change and EXPECTED[change] not in blamed):
                wrong.append(f"{name}: exit {status}, expected {expected}\n{said}")
        status, _, said = gate(root / "pinned", other_machine(baseline))
        rows.append(line("another machine's baseline", status, REFUSED, {}))
        if status != REFUSED:
            wrong.append(f"another machine's baseline: exit {status}, expected {REFUSED}\n{said}")
    head = "| run | exit | expected | blamed | accuracy | latency | throughput | host memory |"
    words = (
        f"`benchmarks/gate.py`, default policy, speed and memory from {given.processes} processes a run, on "
        f"{describe_light()['cpu']['model']}; changes against the pinned run."
    )
    text = "\n".join(["# The gate on real runs", "", words, "", head, "|" + " --- |" * 8, *rows, ""])
    print(text, *wrong, sep="\n")
    if given.to is not None:
        given.to.write_text(text)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
