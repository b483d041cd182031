#!/usr/bin/env bash
# Apache Otava finds that a counter left zero, and reports the change as 0 %.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check apache-otava==0.8.0
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import importlib.metadata
import sys

from otava.series import AnalysisOptions, Metric, Series

RUNS = 20


def change(before):
    """Per cent that a benchmark's counter (say, graph breaks or kernel recompilations) went up to 50."""
    values = [before] * RUNS + [50.0] * RUNS
    times = list(range(len(values)))
    series = Series("step", None, times, {"breaks": Metric(-1)}, {"breaks": values}, {})
    (point,) = series.analyze(AnalysisOptions()).change_points["breaks"]
    return float(point.forward_change_percent()), int(point.index), float(point.mean_after())


print(f"apache-otava {importlib.metadata.version('apache-otava')}, a counter that goes up to 50 in run {RUNS}:")
found = {before: change(before) for before in (0.0, 1.0)}
for before, (percent, index, after) in found.items():
    print(f"from {before:.0f}: change point at run {index}, mean {after:.0f} after it, reported change {percent:+.0f} %")
sys.exit(0 if found[0.0] == (0.0, RUNS, 50.0) and found[1.0] == (4900.0, RUNS, 50.0) else 1)
PYTHON
