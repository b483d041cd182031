#!/usr/bin/env bash
# pyperf's comparison calls two runs of one program different far more often than the 5 % it tests at: it counts every
# value of a process as if it came from a process of its own.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check pyperf==2.11.0 numpy==2.3.5 scipy==1.16.3
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import re
import subprocess
import sys

import numpy as np
import pyperf
from scipy.stats import ttest_ind

TRIALS = 200
rng = np.random.default_rng(0)


def times(processes: int, values: int) -> np.ndarray:
    """Seconds ``(processes, values)`` of one program: 1 % from process to process (layout in memory), 0.3 % within."""
    start = 0.01 * (1 + 0.01 * rng.standard_normal((processes, 1)))
    return start * (1 + 0.003 * rng.standard_normal((processes, values)))


def write(path: str, measured: list[np.ndarray]) -> None:
    """As pyperf itself stores them: a Run for each process."""
    kept = []
    for number, seconds in enumerate(measured):
        about = {"name": f"trial{number:03}"}
        runs = [pyperf.Run(row.tolist(), metadata=about, collect_metadata=False) for row in seconds]
        kept.append(pyperf.Benchmark(runs))
    pyperf.BenchmarkSuite(kept).dump(path, replace=True)


def alarms(processes: int, values: int) -> tuple[float, float]:
    """Share of trials called faster or slower by ``pyperf compare_to``, and by a t-test of the means of processes."""
    old, new = ([times(processes, values) for _ in range(TRIALS)] for _ in range(2))
    write("old.json", old)
    write("new.json", new)
    command = [sys.executable, "-m", "pyperf", "compare_to", "old.json", "new.json", "-v"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    called = len(re.findall(r"^Significant \(t=", said, re.MULTILINE))
    means = [ttest_ind(a.mean(1), b.mean(1)).pvalue for a, b in zip(old, new, strict=True)]
    return called / TRIALS, float(np.mean(np.array(means) < 0.05))


print(f"pyperf {pyperf.__version__}, {TRIALS} comparisons of a program with itself:")
found = {}
for processes, values in ((20, 3), (10, 10), (5, 20)):
    found[processes] = alarms(processes, values)
    theirs, means = found[processes]
    print(f"{processes} processes of {values} values: called significant {theirs:.0%}, by the means of processes {means:.0%}")
sound = all(means < 0.1 for _, means in found.values())
sys.exit(0 if sound and found[20][0] > 0.15 and found[10][0] > 0.4 and found[5][0] > 0.5 else 1)
PYTHON
