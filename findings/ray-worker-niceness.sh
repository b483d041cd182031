#!/usr/bin/env bash
# Ray runs its workers at nice 15: what a task times beside one busy process is not what the same code times anywhere else.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check ray==2.60.0
cd "$folder"
cat >look.py <<'PYTHON'
import os
import subprocess
import sys
import time

import ray


def timed():
    start = time.perf_counter()
    sum(i * i for i in range(6_000_000))
    return time.perf_counter() - start, os.nice(0)


os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # one core, for the task too
ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, configure_logging=False)
task = ray.remote(timed)
ray.get(task.remote())
busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
(here, own), (there, nice) = timed(), ray.get(task.remote())
busy.kill()
said = "the same function beside one busy process on the same core"
print(f"ray {ray.__version__}, {said}: {here:.1f} s called, {there:.1f} s as a task; niceness {own} and {nice}")
sys.exit(not (ray.__version__ == "2.60.0" and nice == min(19, own + 15) and there > 3 * here))
PYTHON
RAY_USAGE_STATS_ENABLED=0 "$folder/venv/bin/python" -W ignore look.py
