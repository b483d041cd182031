#!/usr/bin/env bash
# A driver with log_to_driver=False still gets messages of Ray on its standard output, among what it prints itself.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check ray==2.60.0
cd "$folder"
cat >look.py <<'PYTHON'
import os
import signal
import time

import ray

ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, configure_logging=False)


@ray.remote(max_retries=0)
def dies():
    os.kill(os.getpid(), signal.SIGKILL)


print('{"ray":', f'"{ray.__version__}",', flush=True)
try:
    ray.get(dies.remote())
except ray.exceptions.WorkerCrashedError:
    time.sleep(10)
print('"ended": true}')
PYTHON
RAY_USAGE_STATS_ENABLED=0 "$folder/venv/bin/python" -W ignore look.py >out.json 2>/dev/null
echo "standard output of a program that prints one JSON object, log_to_driver=False:"
cut -c1-120 out.json
grep -q '"2.60.0"' out.json && grep -q '(raylet).*worker died' out.json
