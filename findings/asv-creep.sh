#!/usr/bin/env bash
# asv's step detection sees nothing where every commit makes a benchmark 1 % slower.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check asv==0.6.6 numpy==2.3.5
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import importlib.metadata
import sys

import numpy as np
from asv.step_detect import detect_regressions, detect_steps

COMMITS = 60


def found(values):
    steps = detect_steps(list(values), [None] * len(values))
    latest, best, places = detect_regressions(steps, threshold=0.05)
    return len(steps), places


rng = np.random.default_rng(0)
creep = 1.01 ** np.arange(COMMITS)
series = {
    "1 % slower with each commit": creep,
    "the same with 0.5 % of noise": creep * np.exp(0.005 * rng.standard_normal(COMMITS)),
    "the same with 2 % of noise": creep * np.exp(0.02 * rng.standard_normal(COMMITS)),
    "one step of as much in the middle": np.where(np.arange(COMMITS) < COMMITS // 2, 1.0, creep[-1]),
}
print(f"asv {importlib.metadata.version('asv')}, {COMMITS} commits, {creep[-1]:.2f} times slower at the end:")
results = {name: found(values) for name, values in series.items()}
for name, (steps, places) in results.items():
    told = "no regression" if places is None else f"a regression after commit {places[0][0]}"
    print(f"{name}: {steps} level{'s' if steps > 1 else ''}, {told}")
creeping = [places is None and steps == 1 for steps, places in list(results.values())[:3]]
sys.exit(0 if all(creeping) and list(results.values())[3][1] is not None else 1)
PYTHON
