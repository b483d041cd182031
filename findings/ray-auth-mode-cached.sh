#!/usr/bin/env bash
# RAY_AUTH_MODE set after `import ray` reaches the processes that ray.init() starts, but not the one that starts them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check ray==2.60.0
cd "$folder"
cat >look.py <<'PYTHON'
import os
import sys

if "before" in sys.argv:
    import ray
os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="0123456789abcdef" * 4, RAY_USAGE_STATS_ENABLED="0")
import ray

try:
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, configure_logging=False)
    print(ray.__version__, "connected")
except Exception as error:
    cached = "RAY_AUTH_MODE is currently 'disabled'" in str(error)
    print(ray.__version__, type(error).__name__, "says that RAY_AUTH_MODE is disabled" if cached else error)
PYTHON
look() { "$folder/venv/bin/python" -W ignore look.py "$@" 2>/dev/null | grep '^2'; }
after=$(look) before=$(look before)
echo "ray, own cluster, mode and token in os.environ before ray.init():"
echo "$after, where ray was imported after they were set"
echo "$before, where it was imported before"
[ "$after" = "2.60.0 connected" ] && [[ $before = "2.60.0 "*"says that RAY_AUTH_MODE is disabled" ]]
